//! Compiles `proto/` into the gRPC stubs and descriptor sets, without a `protoc` to install.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let third_party = root.join("third_party");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=proto");
    // For the protos of other services, which import identity/v1/access.proto.
    println!("cargo::metadata=proto={}", root.display());

    let own = ["identity_service", "token_service", "error_reason"];
    let own = own.map(|name| format!("identity/v1/{name}.proto"));
    let compiler = compiled(&[&root, &third_party], &own)?;
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let is_server = env::var_os("CARGO_FEATURE_SERVER").is_some();
    // Who only recognises callers opens no connections by these stubs: tonic's transport is left to the choice of that service.
    tonic_prost_build::configure().build_transport(is_server).compile_fds(compiler.file_descriptor_set())?;

    if is_server {
        ext_authz(&third_party, &out)?;
    }
    Ok(())
}

/// What Envoy asks: nobody else needs it.
fn ext_authz(third_party: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = compiled(&[third_party], &["envoy/service/auth/v3/external_auth.proto".to_owned()])?;
    fs::write(out.join("ext_authz_descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        // Of the few headers of a request that are looked through once, a tree is quicker than a table to build.
        .btree_map(".envoy")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// `files` under `roots` and what they import. The encoded set keeps the custom method options, which prost's own structs drop:
/// reflection and the access policy read these bytes.
fn compiled(roots: &[&Path], files: &[String]) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new(roots)?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    Ok(compiler)
}
