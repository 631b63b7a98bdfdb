//! Owns handing on where `identity/v1/access.proto` is, which the protos of protected services import: `DEP_SIGNET_SDK_PROTO` for whoever
//! depends on this crate directly.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(proto) = std::env::var("DEP_SIGNET_PROTO") {
        println!("cargo::metadata=proto={proto}");
    }
}
