//! Compiles `proto/` into the gRPC stubs and one descriptor set, without a `protoc` to install.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=proto");

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files([
        "identity/v1/identity_service.proto",
        "identity/v1/token_service.proto",
        "identity/v1/error_reason.proto",
    ])?;

    // The encoded set keeps the custom method options, which prost's own structs drop: reflection
    // and the access policy read these bytes.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
