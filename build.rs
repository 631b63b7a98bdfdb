//! Compiles the protos into the gRPC stubs and descriptor sets, without a `protoc` to install.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

/// What Envoy asks.
const EXT_AUTHZ: &str = "envoy/service/auth/v3/external_auth.proto";

/// What takes traces.
const OTLP: &str = "opentelemetry/proto/collector/trace/v1/trace_service.proto";

/// What others have written the code for, by the names that it has everywhere: a program that registers such a file under two names, one of
/// them Google's own, does not start in Go or Python. With the name of what is made of each.
const DESCRIBED: [(&str, &str); 4] = [
    ("google/rpc/error_details.proto", "error_details_descriptor_set.bin"),
    ("grpc/health/v1/health.proto", "health_descriptor_set.bin"),
    ("grpc/reflection/v1/reflection.proto", "reflection_v1_descriptor_set.bin"),
    ("grpc/reflection/v1alpha/reflection.proto", "reflection_v1alpha_descriptor_set.bin"),
];

/// The page that shows the API, by others (third_party/swagger-ui).
#[cfg(feature = "server")]
const SWAGGER_UI: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

/// What `signet apply` sends, and the time in it.
const MANIFEST: &str = ".identity.admin.v1.Manifest";
const MANIFEST_TIME: &str = ".identity.admin.v1.Manifest.Binding.expire_time";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let (own, third_party) = (root.join("proto"), root.join("third_party/proto"));
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=third_party/proto");
    // For the protos of other services, which import identity/v1/access.proto.
    println!("cargo::metadata=proto={}", own.display());

    let is_server = env::var_os("CARGO_FEATURE_SERVER").is_some();
    api(&own, &third_party, &out, is_server)?;
    if is_server {
        ext_authz(&third_party, &out)?;
        otlp(&third_party)?;
        for (file, set) in DESCRIBED {
            let compiler = compiled(&[&third_party], &[third_party.join(file)])?;
            fs::write(out.join(set), compiler.encode_file_descriptor_set())?;
        }
    }
    #[cfg(feature = "server")]
    swagger_ui(&root.join("third_party/swagger-ui"), &out)?;
    Ok(())
}

/// Compresses what browsers are sent compressed: nobody waits for that at run time, and the program is smaller.
#[cfg(feature = "server")]
fn swagger_ui(from: &Path, out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed=third_party/swagger-ui");
    for name in SWAGGER_UI {
        let file = fs::File::create(out.join(format!("{name}.gz")))?;
        let mut compressed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
        io::Write::write_all(&mut compressed, &fs::read(from.join(name))?)?;
        compressed.finish()?;
    }
    Ok(())
}

/// Signet's own API: every file below `proto/`, so that a new one is named nowhere else.
fn api(own: &Path, third_party: &Path, out: &Path, is_server: bool) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    collect_protos(own, &mut files)?;
    files.sort();
    let compiler = compiled(&[own, third_party], &files)?;
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let mut set = compiler.file_descriptor_set();
    // Only options use google.api, and only proxies read them: no stub needs its types.
    set.file.retain(|file| file.package() != "google.api");
    tonic_prost_build::configure()
        // A service that only verifies its callers opens no connections by these stubs: it chooses tonic's transport itself.
        .build_transport(is_server)
        // In their order, so that one request is encoded in one way: by that a repetition is known.
        .btree_map(".identity")
        // Its keys are those of the files that people write, so both are read by the same names.
        .type_attribute(
            MANIFEST,
            "#[derive(serde::Deserialize, serde::Serialize)]\n#[serde(default, deny_unknown_fields)]",
        )
        .field_attribute(MANIFEST_TIME, "#[serde(with = \"crate::proto::time_as_text\")]")
        .include_file("api.rs")
        .compile_fds(set)?;
    Ok(())
}

/// Envoy's question: only the service answers it.
fn ext_authz(third_party: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = compiled(&[third_party], &[third_party.join(EXT_AUTHZ)])?;
    fs::write(out.join("ext_authz_descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        // Of the few headers of a request that are looked through once, a tree is quicker than a table to build.
        .btree_map(".envoy")
        .include_file("ext_authz.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// What a collector of traces takes. The server's side is for the tests, which are one.
fn otlp(third_party: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = compiled(&[third_party], &[third_party.join(OTLP)])?;
    tonic_prost_build::configure().include_file("otlp.rs").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Adds the protos below `dir` to `files`.
fn collect_protos(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// `files`, which are below `roots`, and what they import. The encoded set keeps the custom method options, which prost's own structs
/// drop: reflection and the access policy read these bytes.
fn compiled(roots: &[&Path], files: &[PathBuf]) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new(roots)?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    Ok(compiler)
}
