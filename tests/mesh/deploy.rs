//! Owns that the files of `examples/deploy` are what the programs understand that they are written for.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    envoy,
    proxies::Kind,
    support::pki::Authority,
    support::program::{directory, find},
};

/// The files of `examples/deploy/FOLDER` in YAML.
fn manifests(folder: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(example(folder)).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths.filter(|path| path.extension() == Some(OsStr::new("yaml"))).collect();
    assert!(!found.is_empty(), "there are files in {folder}");
    found
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy").join(name)
}

/// What a checker says, if it has nothing against the file.
type Verdict = Result<String, String>;

fn run(command: &mut Command) -> Verdict {
    let output = command.output().unwrap();
    let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    if output.status.success() { Ok(said) } else { Err(format!("{said}{complained}")) }
}

/// Asserts that `check` takes the file, and refuses it with any of `mistakes` made: each is what stands there, and what is to.
#[track_caller]
fn assert_checked(file: &Path, mistakes: &[(&str, &str)], check: impl Fn(&Path) -> Verdict) {
    if let Err(problem) = check(file) {
        panic!("{}: {problem}", file.display());
    }
    let directory = TempDir::new().unwrap();
    let broken = directory.path().join(file.file_name().unwrap());
    let text = fs::read_to_string(file).unwrap();
    for (right, wrong) in mistakes {
        assert!(text.contains(right), "{} does not say {right:?}", file.display());
        fs::write(&broken, text.replacen(right, wrong, 1)).unwrap();
        assert!(check(&broken).is_err(), "{}: nobody noticed {wrong:?}", file.display());
    }
}

#[test]
fn envoy_takes_its_configurations() {
    let work = TempDir::new().unwrap();
    let descriptors = Command::new(env!("CARGO_BIN_EXE_signet")).arg("descriptor").output().unwrap().stdout;
    // Where rest.yaml names it.
    fs::write(work.path().join("api.binpb"), descriptors).unwrap();
    // And what mtls.yaml reads.
    let authority = Authority::new("an authority");
    let own = authority.issue(&["gateway.example"]);
    for (name, text) in [("envoy.crt", &own.cert), ("envoy.key", &own.key), ("ca.crt", &authority.pem)] {
        fs::write(work.path().join(name), text).unwrap();
    }
    let at_work = format!("{}/", work.path().display());
    for file in manifests("envoy") {
        assert_checked(&file, &[("typed_config", "type_config"), ("port_value", "port")], |file| {
            let config = fs::read_to_string(file).unwrap().replace("/etc/certs/", &at_work);
            fs::write(work.path().join("envoy.yaml"), config).unwrap();
            let mut envoy = Command::new(envoy::program());
            let validate = ["--mode", "validate", "--log-level", "error", "-c", "envoy.yaml"];
            run(envoy.args(validate).current_dir(&work))
        });
    }
}

#[test]
fn the_issuer_of_the_command_is_that_of_the_file() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MESH.md")).unwrap();
    let (_, command) = page.split_once("    signet --issuer ").expect("the command");
    let issuer = command.split_whitespace().next().expect("the issuer");
    let file = fs::read_to_string(example("envoy/jwt-authn.yaml")).unwrap();
    assert!(file.contains(&format!("issuer: {issuer} ")), "{issuer}");
    // Whoever follows the page starts each of them so.
    for file in ["ext-authz", "jwt-authn", "rest", "web"] {
        assert!(page.contains(&format!("    envoy -c examples/deploy/envoy/{file}.yaml")), "{file}");
    }
}

#[test]
fn nginx_and_caddy_take_their_configurations() {
    for kind in Kind::ALL {
        let mistakes: &[_] = match kind {
            Kind::Nginx => &[
                ("auth_request /", "auth_requests /"),
                ("include verify.conf", "include verified.conf"),
                ("grpc_pass grpc:", "grpc_pass tcp:"),
            ],
            Kind::Caddy => &[
                ("forward_auth", "forwarded_auth"),
                ("copy_headers", "copied_headers"),
                ("import signet", "import signets"),
            ],
        };
        assert_checked(&kind.folder().join(kind.file()), mistakes, |file| {
            let work = TempDir::new().unwrap();
            kind.install(work.path(), &fs::read_to_string(file).unwrap());
            run(&mut kind.command(work.path(), true))
        });
    }
    let caddyfile = Kind::Caddy.folder().join(Kind::Caddy.file());
    let formatted = run(Command::new(Kind::Caddy.program()).arg("fmt").arg(&caddyfile)).unwrap();
    assert_eq!(formatted, fs::read_to_string(caddyfile).unwrap());
}

#[test]
fn systemd_takes_its_unit() {
    let file = example("systemd/signet.service");
    assert_checked(&file, &[("Type=notify", "Type=notified"), ("WatchdogSec=", "WatchDogSec=")], |file| {
        let work = TempDir::new().unwrap();
        let unit = work.path().join("signet.service");
        // Verified as on a host where the program is installed.
        let text =
            fs::read_to_string(file).unwrap().replace("/usr/local/bin/signet", env!("CARGO_BIN_EXE_signet"));
        fs::write(&unit, text).unwrap();
        let verified =
            Command::new(systemd_analyze()).args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        // What it does not know it says, and passes over.
        let said = String::from_utf8([verified.stdout, verified.stderr].concat()).unwrap();
        if verified.status.success() && said.is_empty() { Ok(said) } else { Err(said) }
    });
    // Of 10 ("UNSAFE") to 0, what is exposed: 2 is "OK".
    let mut security = Command::new(systemd_analyze());
    security.args(["security", "--offline=true", "--threshold=20"]).arg(&file);
    run(&mut security).unwrap();
}

fn systemd_analyze() -> PathBuf {
    find("SIGNET_TEST_SYSTEMD_ANALYZE", "systemd-analyze")
}

/// Mistakes that must be noticed in a file, so that none is there unchecked: each is what stands there, and what is to.
fn mistakes(file: &Path) -> &'static [(&'static str, &'static str)] {
    let name = file.strip_prefix(example("")).unwrap().to_str().unwrap();
    match name {
        "kubernetes/signet.yaml" => &[
            ("readinessProbe", "readynessProbe"),
            ("maxUnavailable: 1", "maxUnavailable: [1]"),
            ("# SIGNET_EXT_AUTHZ: \"on\"", "SIGNET_EXT_AUTHZ: on"),
        ],
        "kubernetes/network-policy.yaml" => &[("policyTypes", "policyType"), ("{port: 5432}", "5432")],
        "istio/network-policy.yaml" => &[("egress:", "egres:"), ("to: *istiod", "to: istiod")],
        "linkerd/network-policy.yaml" => &[("ingress:", "ingres:"), ("{port: 4143}]", "4143]")],
        "istio/jwt.yaml" => {
            &[("notValues", "notValuez"), ("action: DENY", "action: REFUSE"), ("prefix:", "prefixes:")]
        }
        "istio/ext-authz.yaml" => &[("provider:", "providers:")],
        "istio/headers.yaml" => &[("remove:", "removes:"), ("gateways: [", "gateway: [")],
        "istio/signet.yaml" => {
            &[("attempts: 3", "attempts: three"), ("h2UpgradePolicy", "http2UpgradePolicy")]
        }
        "linkerd/signet.yaml" => &[
            ("type: PathPrefix", "type: Prefix"),
            ("type: Exact", "type: Exactly"),
            ("- method: {service", "- methods: {service"),
        ],
        unknown => panic!("{unknown} is not checked"),
    }
}

#[test]
fn kubernetes_takes_its_manifests() {
    let checker = directory("SIGNET_TEST_DEPLOY_CHECKERS").join("bin/kubernetes-validate");
    let of_meshes = ["istio", "linkerd"].map(|mesh| example(mesh).join(NETWORK_POLICY));
    for file in manifests("kubernetes").into_iter().chain(of_meshes) {
        assert_checked(&file, mistakes(&file), |file| run(Command::new(&checker).arg("--strict").arg(file)));
    }
}

/// What a mesh's folder has of Kubernetes itself.
const NETWORK_POLICY: &str = "network-policy.yaml";

/// What else it has.
fn manifests_of_mesh(mesh: &str) -> Vec<PathBuf> {
    // No package has the schema of Istio's mesh configuration.
    let others = [NETWORK_POLICY, "mesh-config.yaml"];
    manifests(mesh).into_iter().filter(|file| !others.iter().any(|other| file.ends_with(other))).collect()
}

/// Checks what packages have the schemas of.
fn check_models(file: &Path) -> Verdict {
    let packages = directory("SIGNET_TEST_DEPLOY_CHECKERS");
    let work = TempDir::new().unwrap();
    let script = work.path().join("check.mjs");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/deploy/check.mjs"), &script).unwrap();
    // Node.js looks for packages beside the script.
    symlink(packages.join("node_modules"), work.path().join("node_modules")).unwrap();
    run(Command::new(packages.join("bin/node")).arg(script).arg(file))
}

#[test]
fn istio_takes_its_manifests() {
    for file in manifests_of_mesh("istio") {
        assert_checked(&file, mistakes(&file), |file| {
            let said = check_models(file)?;
            assert!(!said.contains("not checked"), "{said}");
            Ok(said)
        });
    }
}

#[test]
fn the_gateway_api_takes_what_linkerds_manifests_have_of_it() {
    for file in manifests_of_mesh("linkerd") {
        assert_checked(&file, mistakes(&file), |file| {
            let said = check_models(file)?;
            // No package has the schemas of Linkerd's own kinds.
            let unchecked: Vec<_> = said.lines().filter(|line| line.starts_with("not checked")).collect();
            assert!(
                unchecked.iter().all(|line| line.starts_with("not checked policy.linkerd.io/")),
                "{unchecked:?}"
            );
            Ok(said)
        });
    }
}

#[test]
fn hadolint_has_nothing_against_the_dockerfile() {
    let mistakes = [("cc-debian12:nonroot", "cc-debian12"), ("WORKDIR /src", "WORKDIR src")];
    assert_checked(&example("Dockerfile"), &mistakes, |file| {
        run(Command::new(find("SIGNET_TEST_HADOLINT", "hadolint")).arg(file))
    });
}

#[test]
fn docker_compose_takes_its_files() {
    let of_service: &[_] =
        &[("depends_on:", "depend_on:"), ("secrets: [master-key", "secrets: [another-key")];
    let of_observability: &[_] =
        &[("mem_limit: 1g", "mem_limits: 1g"), ("depends_on: [jaeger]", "depends_on: [tempo]")];
    let files = [("compose/compose.yaml", of_service), ("../observability/compose.yaml", of_observability)];
    for (file, mistakes) in files {
        assert_checked(&example(file), mistakes, |file| {
            let compose = find("SIGNET_TEST_COMPOSE", "docker-compose");
            run(Command::new(compose).arg("--file").arg(file).args(["config", "--quiet"]))
        });
    }
}

/// The files that a container is given are there, and each image has a version.
#[test]
fn what_the_containers_of_observability_are_given_is_there() {
    let folder = example("../observability");
    let text = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    let given: Vec<_> = text.split("./").skip(1).filter_map(|rest| rest.split_once(':')).collect();
    assert_eq!(given.len(), 6, "{given:?}");
    for (name, _) in given {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let images: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert_eq!(images.len(), 4, "{images:?}");
    for image in images {
        let tag = image.rsplit_once(':').expect("a tag").1.trim_start_matches('v');
        assert_eq!(tag.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{image}");
    }
}
