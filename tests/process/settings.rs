//! Owns what settings promise: which wins, and that a wrong one is told in one sentence that names it.

use clap::Args;
use serde_json::Value;
use signet::config::{Config, environment_variable};
use tokio::net::TcpListener;

use crate::harness::{Finished, Place};

/// A key of the right form.
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Settings that take any text there is.
const FREE_TEXT: [&str; 1] = ["--data-dir"];

/// Every setting, as a flag.
pub(crate) fn every_setting() -> Vec<String> {
    let command = Config::augment_args(clap::Command::new("signet"));
    // A former name is told nowhere.
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| arg.get_long()).map(|name| format!("--{name}")).collect()
}

/// Asserts that the start was refused for the setting `flag`, and returns the rest of the sentence.
#[track_caller]
fn refused_for<'a>(finished: &'a Finished, flag: &str) -> &'a str {
    let sentence = finished.failed(2);
    let name = format!("{flag} ({}): ", environment_variable(flag));
    sentence.strip_prefix(&name).unwrap_or_else(|| panic!("{name:?} does not begin {sentence:?}"))
}

#[tokio::test]
async fn every_setting_is_refused_by_its_name_when_the_environment_has_nonsense_for_it() {
    let place = Place::new();
    for flag in every_setting().iter().filter(|flag| !FREE_TEXT.contains(&flag.as_str())) {
        let finished = place.signet(&[]).env(&environment_variable(flag), "no sense").run().await;
        refused_for(&finished, flag);
    }
    assert!(!place.has_data(), "nothing is made before the settings are right");
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_what_would_be_right() {
    let place = Place::new();
    for (flag, value, right) in [
        ("--grpc-addr", "localhost", "IP address and a port"),
        ("--http-addr", "127.0.0.1", "IP address and a port"),
        (
            "--operations-addr",
            "on",
            "IP address and a port, such as `127.0.0.1:50051` or `[::1]:0`; or `off`",
        ),
        ("--admin-addr", "localhost", "; or `off`"),
        ("--operations-hosts", "*", "or `*.example` for all names below one"),
        ("--operations-hosts", "http://signet", "without a scheme and a port"),
        ("--operations-hosts", "signet:8089", "without a scheme and a port"),
        ("--access-token-ttl", "0s", "between 1s and 1day"),
        ("--access-token-ttl", "25h", "between 1s and 1day"),
        ("--access-token-ttl", "15", "such as `500ms`, `30s` or `15m`"),
        ("--clock-leeway", "301s", "between 0s and 5m"),
        ("--assertion-leeway", "61s", "between 0s and 1m"),
        ("--refresh-repeat-window", "999ms", "between 1s and 12h"),
        ("--key-rotation-interval", "59s", "between 1m and "),
        ("--key-publish-ahead", "0s", "between 1s and 30days"),
        ("--drain-timeout", "2h", "between 0s and 1h"),
        ("--signing-alg", "none", "ES256, EdDSA, RS256, HS256"),
        ("--signing-alg", "es256", "ES256, EdDSA, RS256, HS256"),
        ("--password-min-length", "7", "from 8 to 64"),
        ("--reserved-usernames", "two words", "spaces are not allowed"),
        ("--username-rest", "11years", "between 0s and "),
        ("--log-level", "loud", "off, error, warn, info, debug, trace"),
        ("--log-level", "warn,signet=loud", "off, error, warn, info, debug, trace"),
        ("--log-format", "xml", "text, json"),
        ("--issuer", "signet", "http or https URL"),
        ("--issuer", "https://id.example/a/../b", "path of letters, digits"),
        ("--issuer", "https://id.example/{a}", "path of letters, digits"),
        ("--issuer", "https://id.example//a", "path of letters, digits"),
        ("--issuer", "https://id.example/.well-known/openid-configuration", "path of letters, digits"),
        ("--http-password-grant", "maybe", "on, off"),
        ("--explorer", "maybe", "on, off, admin"),
        ("--audience", "", "a name of printable ASCII"),
        ("--audience", "two words", "without spaces"),
        ("--database-statement-timeout", "99ms", "between 100ms and 1m"),
        ("--max-connections", "many", "must be a whole number"),
        ("--max-watchers", "0", "from 1 to 1000000"),
        ("--memory-budget", "much", "such as `512MiB`"),
        ("--memory-budget", "1GiB more", "such as `512MiB`"),
        ("--memory-budget", "63MiB", "at least 64.0 MiB"),
        ("--ext-authz", "yes", "on, off"),
        ("--ext-authz-addr", "localhost:50053", "must be an IP address and a port"),
        ("--ext-authz-header-prefix", "X-Signet-", "lower-case"),
        ("--ext-authz-header-prefix", "x_signet_", "lower-case"),
        ("--ext-authz-header-prefix", ":", "lower-case"),
        ("--trusted-proxy-addresses", "proxy.example", "an IP address or a network"),
        ("--trusted-proxy-addresses", "10.1.2.3/8", "zeros after its prefix: `10.0.0.0/8`"),
        ("--trusted-proxy-addresses", "0.0.0.0/0", "any client could pass for a proxy"),
        ("--trusted-proxy-header", "x-real-ip", "`x-forwarded-for` or `forwarded`"),
        ("--web-origins", "*", "an origin such as"),
        ("--web-origins", "null", "without wildcards"),
        ("--web-origins", "https://*.app.example", "without wildcards"),
        ("--web-origins", "https://App.Example/", "as browsers write it: `https://app.example`"),
    ] {
        let finished = place.run(&[&format!("{flag}={value}")]).await;
        let rest = refused_for(&finished, flag);
        assert!(rest.starts_with(&format!("`{value}` ")) && rest.contains(right), "{flag} {value}: {rest}");
        // An empty variable counts as unset.
        if value.is_empty() {
            continue;
        }
        let finished = place.signet(&[]).env(&environment_variable(flag), value).run().await;
        assert_eq!(refused_for(&finished, flag), rest, "the same from the environment");
    }
    assert!(!place.has_data());
}

#[tokio::test]
async fn a_former_name_of_a_setting_still_counts() {
    let place = Place::new();
    let finished = place.run(&["--grpc-web-origins", "*"]).await;
    assert!(
        refused_for(&finished, "--grpc-web-origins")
            .starts_with("`*` cannot be used: must be an origin such as")
    );
    let finished = place.signet(&[]).env("SIGNET_GRPC_WEB_ORIGINS", "*").run().await;
    assert!(
        refused_for(&finished, "--grpc-web-origins")
            .starts_with("`*` cannot be used: must be an origin such as")
    );
}

#[tokio::test]
async fn settings_that_do_not_fit_each_other_are_refused() {
    let place = Place::new();
    let key_file = place.write("key", MASTER_KEY);
    let sqlite = format!("sqlite:{}", place.path("other.db").display());
    for (args, flag) in [
        (&["--argon2-memory-kib=8", "--argon2-parallelism=2"][..], "--argon2-memory-kib"),
        (&["--database-url", &sqlite], "--master-key"),
        (&["--key-publish-ahead=2h", "--key-rotation-interval=2h"], "--key-rotation-interval"),
        (&["--key-publish-ahead=5s"], "--key-publish-ahead"),
        (&["--refresh-repeat-window=451s"], "--refresh-repeat-window"),
        (&["--refresh-repeat-window=2s", "--access-token-ttl=3s"], "--refresh-repeat-window"),
        (&["--memory-budget=80MiB"], "--memory-budget"),
        (&["--memory-budget=1GiB", "--max-in-flight-calls=100000"], "--memory-budget"),
        (&["--memory-budget=1GiB", "--argon2-memory-kib=1048576"], "--memory-budget"),
        (&["--key-publish-ahead=5m", "--clock-leeway=5m"], "--key-publish-ahead"),
        (&["--database-url=postgres://signet:hunter2@db/signet"], "--master-key"),
        (&["--database-url=postgres://signet:hunter2@db"], "--database-url"),
        (&["--database-url=postgres://signet:hunter2@db/signet?ssl_mode=verify-full"], "--database-url"),
        (&["--database-url=mysql://signet:hunter2@db/signet?tls=true"], "--database-url"),
        (&["--database-url=oracle://signet:hunter2@db/signet"], "--database-url"),
        (&["--database-url=sqlite:", "--master-key", MASTER_KEY], "--database-url"),
        (&["--master-key", MASTER_KEY, "--master-key-file", &key_file], "--master-key"),
        (&["--master-key-file=/dev/null/nothing"], "--master-key-file"),
        (&["--ext-authz-addr=127.0.0.1:0"], "--ext-authz-addr"),
        (&["--explorer=admin", "--admin-addr=off"], "--explorer"),
        (&["--database-url-file=/dev/null/nothing"], "--database-url-file"),
        (&["--bootstrap=/dev/null/nothing"], "--bootstrap"),
    ] {
        let finished = place.run(args).await;
        let rest = refused_for(&finished, flag);
        assert!(!rest.contains("hunter2") && !rest.contains(MASTER_KEY), "{rest}");
    }
    let args = ["users", "create", "alice", "--argon2-memory-kib=8", "--argon2-parallelism=2"];
    refused_for(&place.signet(&args).password().run().await, "--argon2-memory-kib");
    let both = ["--grpc-addr=127.0.0.1:1", "--grpc-addr=127.0.0.1:2"];
    assert!(place.run(&both).await.failed(2).contains("--grpc-addr"));
    assert!(!place.has_data() && !place.path("other.db").exists());
}

#[tokio::test]
async fn a_memory_budget_that_is_too_small_names_the_smallest_that_is_not() {
    let place = Place::new();
    let mut found = Vec::new();
    for flags in [
        &[][..],
        &["--otlp-endpoint=http://127.0.0.1:1"],
        &["--max-in-flight-calls=20000"],
        &["--max-message-bytes=16777216"],
    ] {
        let refused = place.run(&[flags, &["--memory-budget=80MiB"]].concat()).await;
        let told = refused_for(&refused, "--memory-budget");
        let (_, told) = told.split_once("set it to ").unwrap();
        let least: u64 = told.split_once("MiB or more").unwrap().0.parse().unwrap();
        let less = format!("--memory-budget={}MiB", least - 1);
        refused_for(&place.run(&[flags, &[&less]].concat()).await, "--memory-budget");
        let enough = format!("--memory-budget={least}MiB");
        place.serve(&[flags, &[&enough]].concat()).await.stop().await;
        found.push(least);
    }
    assert_eq!(found[1], found[0] + 8, "traces that leave have their own part");
}

#[tokio::test]
async fn argon2_that_is_weaker_than_each_of_owasps_pairs_is_refused_unless_that_is_meant() {
    let place = Place::embedded().await;
    let nobody = place.write("nobody.ndjson", "");
    let import = async |memory: u32, passes: u32, below: &[&str]| {
        let (memory, passes) =
            (format!("--argon2-memory-kib={memory}"), format!("--argon2-iterations={passes}"));
        let args = [&["users", "import", &nobody, "--dry-run", &memory, &passes], below].concat();
        place.signet(&args).without_env("SIGNET_ARGON2_BELOW_OWASP").run().await
    };
    for (memory, passes) in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)] {
        import(memory, passes, &[]).await.succeeded();
        import(memory * 2, passes + 1, &[]).await.succeeded();
        let weaker = import(memory - 1, passes, &[]).await;
        let rest = refused_for(&weaker, "--argon2-memory-kib");
        for part in [
            "OWASP",
            "47104 with 1, 19456 with 2, 12288 with 3, 9216 with 4, 7168 with 5",
            "--argon2-below-owasp",
        ] {
            assert!(rest.contains(part), "{part}: {rest}");
        }
        import(memory - 1, passes, &["--argon2-below-owasp"]).await.succeeded();
    }
    refused_for(&import(4_194_304, 0, &["--argon2-below-owasp"]).await, "--argon2-iterations");
    let start =
        place.signet(&["--argon2-memory-kib=7168"]).without_env("SIGNET_ARGON2_BELOW_OWASP").run().await;
    refused_for(&start, "--argon2-memory-kib");
}

#[tokio::test]
async fn a_secret_of_the_wrong_form_is_refused_without_being_shown() {
    let place = Place::new();
    let secret = "5ec7e7-of-the-wrong-form";
    let file = place.write("key", secret);
    for args in
        [&["--master-key", secret][..], &["--master-key-file", &file], &["--master-key", secret, "--json"]]
    {
        let finished = place.run(args).await;
        assert_eq!(finished.code, Some(2));
        assert!(finished.stderr.contains("(SIGNET_MASTER_KEY"), "{finished:?}");
        assert!(finished.stderr.contains("64 hexadecimal digits"), "{finished:?}");
        assert!(!finished.stderr.contains(secret), "{finished:?}");
    }
    let finished = place.signet(&[]).env("SIGNET_MASTER_KEY", secret).run().await;
    assert!(!refused_for(&finished, "--master-key").contains(secret));
    // A slip of the hand puts the secret where no argument is wanted.
    let finished = place.signet(&["keys", "list"]).env("SIGNET_DATABASE_URL", secret).run().await;
    assert!(!refused_for(&finished, "--database-url").contains(secret));
}

#[tokio::test]
async fn an_admin_address_that_others_reach_is_refused_without_tls() {
    let place = Place::new();
    for addr in ["0.0.0.0:0", "[::]:0", "203.0.113.1:50053"] {
        let finished = place.run(&["--admin-addr", addr]).await;
        let refused = refused_for(&finished, "--admin-addr");
        let told = format!(
            "{addr} is reached from other machines, and tokens that administer the service would pass there in plaintext"
        );
        assert!(refused.starts_with(&told) && refused.contains("--admin-plaintext on"), "{refused}");
    }
    let with_tls = ["--admin-plaintext=on", "--tls-cert=tls.crt", "--tls-key=tls.key"];
    let refused = place.run(&with_tls).await;
    assert!(refused_for(&refused, "--admin-plaintext").contains("means nothing with --tls-cert"));
    assert!(!place.has_data());
}

#[tokio::test]
async fn an_address_that_cannot_be_taken_is_refused() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for flag in ["--grpc-addr", "--http-addr", "--operations-addr", "--admin-addr"] {
        let finished = place.run(&[flag, &addr]).await;
        let expected = format!("{addr} cannot be taken: another process listens there");
        assert_eq!(refused_for(&finished, flag), expected);
        let finished = place.run(&[flag, "203.0.113.1:50051", "--admin-plaintext=on"]).await;
        assert!(refused_for(&finished, flag).contains("this machine has no such address"));
    }
    assert!(!place.has_data());

    drop(taken);
    // It has made its data by then, and a key, of which both logs tell.
    let quiet = ["--log-level=off", "--audit-log=off"];
    let finished = place.run(&[&["--grpc-addr", &addr, "--http-addr", &addr][..], &quiet[..]].concat()).await;
    assert!(refused_for(&finished, "--http-addr").contains("of this service itself"));
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_refused() {
    let place = Place::new();
    let file = place.write("file", "");
    let below = format!("{file}/below");
    for dir in [file.as_str(), &below, "/proc/signet-data"] {
        let finished = place.run(&["--data-dir", dir]).await;
        let rest = refused_for(&finished, "--data-dir");
        assert!(rest.starts_with(&format!("{dir} cannot be made: ")), "{rest}");
    }
    let finished = place.run(&["--data-dir", &file]).await;
    assert!(refused_for(&finished, "--data-dir").ends_with("it is not a directory"), "{finished:?}");
    std::fs::create_dir(place.path("signet-data")).unwrap();
    place.write("signet-data/signet.db", &"this is no database ".repeat(100));
    let finished = place.run(&["--master-key", MASTER_KEY]).await;
    assert!(refused_for(&finished, "--data-dir").contains("cannot be opened as a SQLite database"));
}

#[tokio::test]
async fn what_is_no_setting_and_no_command_is_refused() {
    let place = Place::new();
    for (args, named) in [
        (&["--nothing"][..], "'--nothing' found; see `signet --help`"),
        (&["--grpc_addr=127.0.0.1:0"], "'--grpc_addr'"),
        (&["nothing"], "'nothing'"),
        (&["users", "nothing"], "'nothing'"),
        (&["serve", "nothing"], "'nothing'"),
        (&["users", "list", "--limit=few"], "--limit: `few` cannot be used"),
        (&["users", "list", "--after=alice"], "--after: `alice` cannot be used"),
        (&["--grpc-addr"], "--grpc-addr (SIGNET_GRPC_ADDR): needs a value"),
        (&["users", "create"], "<USERNAME>"),
        (
            &["users", "show"],
            "<ID|USERNAME>, --id <ID> or --name <USERNAME> must be given; see `signet users show --help`",
        ),
        (&["users", "show", "--id=bob"], "a username goes by --name"),
        (&["users", "create", "--nothing"], "see `signet users create --help`"),
        (&["users"], "create, import, export, list, search, show, update, disable, enable"),
        (&["keys"], "list, rotate, revoke, reseal"),
        (&["keys", "revoke"], "<KID>"),
        (&["keys", "rotate", "tomorrow"], "'tomorrow'"),
        (&["keys", "reseal", "--new-master-key-file"], "--new-master-key-file: needs a value"),
        (&["migrate"], "up, status"),
    ] {
        let finished = place.run(args).await;
        let sentence = finished.failed(2);
        assert!(sentence.contains(named), "{args:?}: {sentence}");
        assert!(!sentence.contains(":;") && !sentence.contains("``"), "{args:?}: {sentence}");
    }
    assert!(!place.has_data());
}

#[tokio::test]
async fn programs_are_told_of_an_error_as_one_json_line() {
    let place = Place::new();
    for args in [
        &["--json", "--master-key-file=/dev/null/nothing"][..],
        &["--json", "--grpc-addr=nowhere"],
        &["users", "list", "--json"],
        &["--json", "--nothing"],
    ] {
        let finished = place.run(args).await;
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
        let object: Value = serde_json::from_str(&finished.stderr).unwrap();
        let sentence = object["error"].as_str().unwrap();
        assert!(!sentence.is_empty() && object["reason"] == "INVALID_USAGE", "{object}");
    }
}

/// The algorithm of the newest key: a start with another one publishes the next.
async fn newest_alg(place: &Place) -> Value {
    let keys = place.run(&["keys", "list", "--json"]).await.succeeded().objects();
    keys.last().unwrap()["alg"].clone()
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_default() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    assert_eq!(newest_alg(&place).await, "ES256");
    place.signet(&[]).env("SIGNET_SIGNING_ALG", "EdDSA").serve().await.stop().await;
    assert_eq!(newest_alg(&place).await, "EdDSA");
    place.signet(&["--signing-alg=HS256"]).env("SIGNET_SIGNING_ALG", "EdDSA").serve().await.stop().await;
    assert_eq!(newest_alg(&place).await, "HS256");

    let other = place.path("other").display().to_string();
    let invocation = place.signet(&["users", "list", "--data-dir", &other]);
    let finished = invocation.env("SIGNET_DATA_DIR", "/nowhere").run().await;
    assert!(refused_for(&finished, "--data-dir").contains(&other), "a flag after the command counts too");
}

#[tokio::test]
async fn a_secret_can_come_from_a_file_that_ends_with_a_newline() {
    let place = Place::new();
    let database = place.path("other.db").display().to_string();
    let url = place.write("url", &format!("sqlite:{database}\n"));
    let key = place.write("key", &format!("{MASTER_KEY}\r\n"));
    let signet = |command: &[&str]| {
        let args = [command, &["--database-url-file", &url]].concat();
        place.signet(&args).env("SIGNET_MASTER_KEY_FILE", &key)
    };
    let refused = signet(&["serve"]).run().await;
    let rest = refused_for(&refused, "--database-url");
    assert!(rest.starts_with(&database) && rest.contains("`signet migrate up`"), "{rest}");
    signet(&["migrate", "up"]).run().await.succeeded();
    let service = signet(&["serve"]).serve().await;
    assert_eq!(service.started["database"], database);
    assert_eq!(service.started["master_key_made"], Value::Null);
    let signing_key = service.started["signing_key"].clone();
    service.stop().await;
    assert!(!place.has_data(), "the embedded database is not used");

    let direct =
        ["--database-url", &format!("sqlite:{database}"), "--master-key", MASTER_KEY, "--auto-migrate"];
    let service = place.serve(&direct).await;
    assert_eq!(service.started["signing_key"], signing_key, "the same database under the same key");
}
