//! Owns what is asked of the certificate of a database server: as much as the URL says, and never less without a word.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    client::PASSWORD,
    cluster::{Cluster, certificate},
    harness::Place,
};

/// The address that the certificate of the nodes does not name.
const NOT_CERTIFIED: &str = "127.0.0.2:0";

/// The URL of `place`'s database at `addr`, for the user whom the servers take by TLS alone.
fn url(place: &Place, addr: &str, parameters: &str) -> String {
    let url = place.url_at(addr);
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, rest) = rest.split_once('@').unwrap();
    format!("{scheme}://over_tls@{rest}?{parameters}")
}

/// What checks the certificate: by `ca`, and whether its name is checked, too.
fn checks(place: &Place, ca: &str, by_name: bool) -> String {
    let ca = certificate(ca);
    match (place.server_kind(), by_name) {
        (Some("postgres"), true) => format!("sslmode=verify-full&sslrootcert={ca}"),
        (Some("postgres"), false) => format!("sslmode=verify-ca&sslrootcert={ca}"),
        (_, true) => format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"),
        (_, false) => format!("ssl-mode=VERIFY_CA&ssl-ca={ca}"),
    }
}

/// Passes every connection to `addr` on, from an address that is returned.
async fn passed_on(addr: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(NOT_CERTIFIED).await.unwrap();
    let local = listener.local_addr().unwrap().to_string();
    let passing = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&addr).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    (local, passing)
}

/// What is said of a database that is not to be used. It does not wait for it: waiting would not help.
async fn refusal(place: &Place, url: &str) -> String {
    let finished = place.signet(&["migrate", "status"]).env("SIGNET_DATABASE_URL", url).run().await;
    finished.failed(2).to_owned()
}

#[tokio::test]
async fn a_database_is_used_by_tls_and_its_certificate_checked() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let url = url(&place, &cluster.addr(0).await, &checks(&place, "ca.crt", true));
    let service = place.signet(&[]).env("SIGNET_DATABASE_URL", &url).serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    service.stop().await;
}

/// What URLs say that want the certificate checked, and name no authority: those of the system are asked, or the public ones.
const OF_THE_SYSTEM: [&str; 3] = [
    "sslmode=require&channel_binding=require",
    "sslmode=verify-full&sslrootcert=system",
    "channel_binding=require",
];

#[tokio::test]
async fn what_is_to_be_bound_to_the_channel_is_checked_by_the_authorities_of_the_system() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    if place.server_kind() != Some("postgres") {
        return; // MySQL's clients know no such parameter.
    }
    let addr = cluster.addr(0).await;
    let (elsewhere, _passing) = passed_on(addr.clone()).await;
    for parameters in OF_THE_SYSTEM {
        let run = async |command: &str, addr: &str, ca: &str| {
            let url = url(&place, addr, parameters);
            let run = place.signet(&["migrate", command]).env("SIGNET_DATABASE_URL", &url);
            run.env("SSL_CERT_FILE", &certificate(ca)).run().await
        };
        run("up", &addr, "ca.crt").await.succeeded();
        for (addr, ca) in [(&addr, "other-ca.crt"), (&elsewhere, "ca.crt")] {
            let refused = run("status", addr, ca).await;
            assert!(refused.failed(2).contains("certificate"), "{parameters} {ca}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let addr = cluster.addr(0).await;
    for by_name in [true, false] {
        let said = refusal(&place, &url(&place, &addr, &checks(&place, "other-ca.crt", by_name))).await;
        assert!(said.contains("certificate"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let (addr, _passing) = passed_on(cluster.addr(0).await).await;
    let said = refusal(&place, &url(&place, &addr, &checks(&place, "ca.crt", true))).await;
    assert!(said.contains("certificate"), "{said}");
    let url = url(&place, &addr, &checks(&place, "ca.crt", false));
    place.signet(&["migrate", "up"]).env("SIGNET_DATABASE_URL", &url).run().await.succeeded();
}

#[tokio::test]
async fn without_tls_nothing_is_said_to_a_server_that_wants_it() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let plain = if place.server_kind() == Some("postgres") { "sslmode=disable" } else { "ssl-mode=DISABLED" };
    let said = refusal(&place, &url(&place, &cluster.addr(0).await, plain)).await;
    assert!(said.contains("over_tls"), "{said}");
}
