//! Owns what `signet top` promises: what a service does, look by look, to people and to programs.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

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

/// The address of a server that answers each request with the next of `answers`, a status and a body; where that is none, it ends the
/// connection without a word.
async fn answering(answers: Vec<Option<(&'static str, &'static str)>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = format!("--operations-addr={}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::from("the first");
            while !line.trim().is_empty() {
                line.clear();
                stream.read_line(&mut line).await.unwrap();
            }
            let Some((status, body)) = answer else { continue };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    addr
}

const METRICS: (&str, &str) =
    ("200 OK", "signet_build_info 1\nsignet_ready 1\nprocess_start_time_seconds 1\n");

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
        // Of whole seconds there would be none in one of two looks that are shorter than that.
        assert!(look["cores_busy"].as_f64().unwrap() > 0.0, "{look}");
        let long = |number: &serde_json::Value| {
            number.to_string().split('.').nth(1).is_some_and(|part| part.len() > 3)
        };
        let rates = look.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_per_second"));
        assert!(!rates.map(|(_, rate)| rate).chain([&look["cores_busy"]]).any(long), "{look}");
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

#[tokio::test]
async fn who_looks_is_not_what_is_seen() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let idle = top(&place, &service, &["--times=1", "--json"]).await.succeeded().object();
    assert_eq!(idle["fullest_pool"], serde_json::Value::Null, "{idle}");
    assert_eq!(
        (&idle["http_requests_per_second"], &idle["connections"]),
        (&0.0.into(), &0.0.into()),
        "{idle}"
    );
}

#[tokio::test]
async fn a_terminal_is_written_anew_each_time() {
    let place = Place::new();
    let service = place.serve(&[]).await;
    let addr = format!("--operations-addr={}", service.operations_addr());
    let terminal = [
        "bash",
        "-c",
        r#"exec script -qec "stty cols 200 rows 40; exec $(printf '%q ' "$@")" /dev/null"#,
        "bash",
    ];
    for (term, expected) in [("xterm", 2), ("dumb", 0)] {
        let invocation = place.signet_exactly(&["top", "--every=200ms", "--times=2", &addr]);
        let invocation = invocation.env("TERM", term).env("SHELL", "/bin/bash").through(&terminal);
        let shown = invocation.stdin("").run().await.succeeded();
        let anew: Vec<_> = shown.stdout.split("\x1b[H\x1b[J").skip(1).collect();
        assert_eq!(anew.len(), expected, "{term}: {shown:?}");
        for screen in anew {
            assert!(screen.starts_with("signet ") && screen.contains("\nprocess "), "{shown:?}");
        }
        assert_eq!(shown.stdout.matches(": ready").count(), 2, "{term}: {shown:?}");
    }
}

#[tokio::test]
async fn it_goes_on_while_the_service_is_away_unless_a_program_reads() {
    let place = Place::new();
    let addr = answering(vec![Some(METRICS), None, Some(METRICS)]).await;
    let shown = place.run(&["top", "--every=100ms", "--times=2", &addr]).await.succeeded();
    let lines: Vec<_> = shown.stdout.lines().filter(|line| line.starts_with("signet ")).collect();
    let [away, back] = &lines[..] else { panic!("{shown:?}") };
    assert!(away.contains(": NO METRICS: ") && back.ends_with(": ready"), "{shown:?}");

    let addr = answering(vec![Some(METRICS), None]).await;
    let program = place.run(&["top", "--every=100ms", "--times=2", "--json", &addr]).await;
    assert!(program.failed(69).contains("needs the service's settings"), "{program:?}");

    let addr = answering(vec![Some(("404 Not Found", "Not Found"))]).await;
    let off = place.run(&["top", &addr]).await;
    assert!(off.failed(69).contains("404 Not Found: its --metrics is off"), "{off:?}");
}

#[tokio::test]
async fn no_number_that_it_is_told_is_too_much() {
    let place = Place::new();
    for start in ["", "process_start_time_seconds -Inf\n", "process_start_time_seconds NaN\n"] {
        let body: &str = format!("signet_build_info 1\nsignet_ready 1\n{start}").leak();
        let addr = answering(vec![Some(("200 OK", body)); 2]).await;
        let shown = place.run(&["top", "--every=100ms", "--times=1", &addr]).await.succeeded();
        assert!(shown.stdout.contains(", up -: ready\n"), "{start}: {shown:?}");
    }
}
