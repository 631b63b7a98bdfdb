//! Owns what `signet top` promises: what a service does, look by look, to people and to programs.

use crate::{
    client::PASSWORD,
    harness::{Finished, Place, Service},
    support::ports::free_addr,
};

/// `signet top` on `service`, with `args`.
async fn top(place: &Place, service: &Service, args: &[&str]) -> Finished {
    let addr = format!("--operations-addr={}", service.operations_addr());
    place.run(&[&["top", "--every=300ms", &addr], args].concat()).await
}

#[tokio::test]
async fn each_look_tells_what_has_happened_within_it() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    let calling = async {
        for _ in 0..u64::MAX {
            client.get_me(&token).await.unwrap();
        }
    };
    let looked = tokio::select! {
        looked = top(&place, &service, &["--times=2", "--json"]) => looked,
        () = calling => unreachable!(),
    };
    let finished = looked.succeeded();
    let looks: Vec<serde_json::Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second] = &looks[..] else { panic!("{}", finished.stdout) };
    for look in [first, second] {
        assert_eq!((&look["ready"], &look["database_up"]), (&true.into(), &true.into()), "{look}");
        assert!(look["calls_per_second"].as_f64().unwrap() > 1.0, "{look}");
        assert!(look["call_seconds_p99"].as_f64().is_some(), "{look}");
        assert_eq!(look["methods"][0]["method"], "identity.v1.IdentityService/GetMe", "{look}");
        assert!(look["memory_bytes"].as_f64().unwrap() > 1_000_000.0, "{look}");
        assert_eq!(look["hash_threads"], 2.0, "{look}");
    }

    let finished = top(&place, &service, &["--times=2"]).await.succeeded();
    assert!(!finished.stdout.contains('\x1b'), "no terminal, no signs for one: {}", finished.stdout);
    for name in ["signet", "calls", "http", "sessions", "hashes", "places", "database", "feed lag", "process"]
    {
        let lines = finished.stdout.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(lines, 2, "{name}: {}", finished.stdout);
    }
    assert!(finished.stdout.contains(": ready\n"), "{}", finished.stdout);
}

#[tokio::test]
async fn where_nobody_answers_or_nobody_could_it_says_so() {
    let place = Place::new();
    let nowhere = format!("--operations-addr={}", free_addr());
    let problem = place.run(&["top", &nowhere]).await;
    assert!(problem.failed(69).contains("needs the service's settings"), "{}", problem.stderr);
    let problem = place.run(&["top", "--operations-addr=off"]).await;
    assert!(problem.failed(2).starts_with("--operations-addr: it is off"), "{}", problem.stderr);
}
