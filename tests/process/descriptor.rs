//! Owns what `signet descriptor` promises: whoever has it can read everything, with no proto and no reflection.

use std::{
    collections::BTreeSet,
    fs::{self, File},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{DescriptorPool, Value};

use crate::harness::Place;

#[tokio::test]
async fn the_descriptor_set_has_the_api_its_access_rules_and_the_error_details() {
    let place = Place::new();
    let file = place.path("api.binpb");
    let done = place.signet(&["descriptor"]).stdout(File::create(&file).unwrap()).run().await.succeeded();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("", ""));
    let set = fs::read(&file).unwrap();
    let pool = DescriptorPool::decode(set.as_slice()).unwrap();

    let service = pool.get_service_by_name("identity.v1.IdentityService").unwrap();
    let method = service.methods().find(|method| method.name() == "GetMe").unwrap();
    let access = pool.get_extension_by_name("identity.v1.access").unwrap();
    let rule = method.options().get_extension(&access).into_owned();
    let Value::Message(rule) = rule else { panic!("{rule:?}") };
    assert!(rule.has_field_by_name("authenticated"), "the options are there");
    assert!(pool.get_service_by_name("identity.v1.TokenService").is_some());
    assert!(pool.get_service_by_name("grpc.health.v1.Health").is_some());
    for detail in ["ErrorInfo", "BadRequest", "RetryInfo"] {
        assert!(pool.get_message_by_name(&format!("google.rpc.{detail}")).is_some(), "{detail}");
    }
    // By the names that they have everywhere: who has the code of others beside them registers each file once.
    let names: BTreeSet<_> = pool.files().map(|file| file.name().to_owned()).collect();
    for name in ["google/rpc/error_details.proto", "grpc/health/v1/health.proto"] {
        assert!(names.contains(name), "{name}");
    }
    for name in names {
        assert!(["google/", "grpc/", "identity/"].iter().any(|folder| name.starts_with(folder)), "{name}");
    }
    assert!(!place.has_data(), "it needs no database");

    let told = place.run(&["--json", "descriptor"]).await.succeeded();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(STANDARD.decode(told["descriptor_set"].as_str().unwrap()).unwrap(), set);
}
