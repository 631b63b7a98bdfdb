//! Compiles `proto/` into the stubs and the descriptor set. The set is written as protox encodes it, or protoc writes it: prost's own
//! structs would lose the options by which the RPCs declare who may call them.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    // Where identity/v1/access.proto is: the build script of signet-sdk says so.
    let signet_proto = env::var("DEP_SIGNET_SDK_PROTO")?;
    let mut compiler = protox::Compiler::new(["proto", &signet_proto])?;
    compiler.include_imports(true).open_file("stock/v1/stock_service.proto")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(".identity.v1", "::signet_sdk::proto::identity::v1")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
