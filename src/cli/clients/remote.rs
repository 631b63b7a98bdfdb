//! Owns `signet clients` over the admin API.

use prost_types::FieldMask;
use zeroize::Zeroizing;

use super::{
    Command, Existing, Update, heading, new_client, read_keys, show, show_created, tell, tell_deleted,
};
use crate::{
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, from_the_start, read},
        roles::{changed, set, texts},
    },
    config::Switch,
    identity::clients::{ClientProof, CreatedClient},
    model::{CertificateSubject, NameSet},
    proto::identity::admin::v1::{
        self as wire, CreateClientRequest, DeleteClientRequest, DisableClientRequest, EnableClientRequest,
        ListClientsRequest, RotateClientSecretRequest, UpdateClientRequest, client::Certificate,
        client::Kind,
    },
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let new = new_client(create)?;
            let kind = if new.proof.is_none() { Kind::Public } else { Kind::Confidential };
            let (jwks, certificate) = match new.proof {
                Some(ClientProof::Keys(jwks)) => (jwks, None),
                Some(ClientProof::Certificate(subject)) => (String::new(), Some(wire_subject(subject))),
                Some(ClientProof::Secret) | None => (String::new(), None),
            };
            let client = wire::Client {
                name: new.name.as_str().to_owned(),
                kind: kind.into(),
                scopes: texts(&new.scopes),
                audiences: texts(&new.audiences),
                jwks,
                certificate,
                may_claim_address: new.may_claim_address,
                token_claims: texts(&new.token_claims),
                ..wire::Client::default()
            };
            let request = CreateClientRequest { client: Some(client), ..CreateClientRequest::default() };
            let answer = answered(remote.clients().create_client(request).await)?;
            let created = CreatedClient {
                client: read::client(answer.client.unwrap_or_default())?,
                secret: answer.client_secret.map(Zeroizing::new),
                user_scopes: NameSet::default().with(answer.user_scopes.iter().map(String::as_str)),
            };
            show_created(&created, output)
        }
        Command::Existing(command) => existing(command, remote, output).await,
    }
}

async fn existing(command: Existing, remote: &Remote, output: Output) -> Result<(), Failure> {
    let mut clients = remote.clients();
    match command {
        Existing::List { limit, after } => {
            from_the_start("--after", after)?;
            let read = async |page_size, page_token| {
                let request = ListClientsRequest { page_size, page_token, ..ListClientsRequest::default() };
                let page = answered(remote.clients().list_clients(request).await)?;
                Ok((page.clients, page.next_page_token))
            };
            each(limit, || heading(output), read, async |client| tell(&read::client(client)?, output)).await
        }
        Existing::Show(who) => show(&read::client(remote.client(&who.client).await?)?, None, output),
        Existing::RotateSecret { who, end_older } => {
            let id = remote.client(&who.client).await?.id;
            let request = RotateClientSecretRequest { id, end_older, ..RotateClientSecretRequest::default() };
            let answer = answered(clients.rotate_client_secret(request).await)?;
            let secret = Zeroizing::new(answer.client_secret);
            show(&read::client(answer.client.unwrap_or_default())?, Some(&secret), output)
        }
        Existing::SetKeys { who, public_key } => {
            let jwks = read_keys(&public_key)?;
            let set = |client: &mut wire::Client| client.jwks = jwks;
            change(&who.client, &["jwks"], set, remote, output).await
        }
        Existing::SetCertificate { who, subject, none: _ } => {
            let subject = subject.into_certificate().map(wire_subject);
            let set = |client: &mut wire::Client| client.certificate = subject;
            change(&who.client, &["spiffe_id", "tls_client_auth_san_dns"], set, remote, output).await
        }
        Existing::SetMayClaimAddress { who, whether } => {
            let set = |client: &mut wire::Client| client.may_claim_address = whether == Switch::On;
            change(&who.client, &["may_claim_address"], set, remote, output).await
        }
        Existing::Update(said) => update(*said, remote, output).await,
        Existing::Disable(who) => {
            let id = remote.client(&who.client).await?.id;
            let request = DisableClientRequest { id, ..DisableClientRequest::default() };
            let answer = answered(clients.disable_client(request).await)?;
            show(&read::client(answer.client.unwrap_or_default())?, None, output)
        }
        Existing::Enable(who) => {
            let id = remote.client(&who.client).await?.id;
            let request = EnableClientRequest { id, ..EnableClientRequest::default() };
            let answer = answered(clients.enable_client(request).await)?;
            show(&read::client(answer.client.unwrap_or_default())?, None, output)
        }
        Existing::Delete(who) => {
            let client = remote.client(&who.client).await?;
            let request = DeleteClientRequest { id: client.id.clone(), ..DeleteClientRequest::default() };
            answered(clients.delete_client(request).await)?;
            tell_deleted(&read::client(client)?, output)
        }
    }
}

async fn update(said: Update, remote: &Remote, output: Output) -> Result<(), Failure> {
    let sets = [
        (set("--add-scope", &said.add_scopes)?, set("--remove-scope", &said.remove_scopes)?),
        (set("--add-audience", &said.add_audiences)?, set("--remove-audience", &said.remove_audiences)?),
        (
            set("--add-token-claim", &said.add_token_claims)?,
            set("--remove-token-claim", &said.remove_token_claims)?,
        ),
    ];
    let is_changed: Vec<_> = sets.iter().map(|(add, remove)| !add.is_empty() || !remove.is_empty()).collect();
    let named = [
        ("name", said.name.is_some()),
        ("scopes", is_changed[0]),
        ("audiences", is_changed[1]),
        ("token_claims", is_changed[2]),
    ];
    let paths: Vec<_> = named.iter().filter(|(_, is_named)| *is_named).map(|(path, _)| *path).collect();
    let set = |client: &mut wire::Client| {
        if let Some(name) = said.name {
            name.as_str().clone_into(&mut client.name);
        }
        let wire::Client { scopes, audiences, token_claims, .. } = client;
        for (names, (add, remove)) in [scopes, audiences, token_claims].into_iter().zip(&sets) {
            *names = changed(names, add, remove);
        }
    };
    change(&said.who.client, &paths, set, remote, output).await
}

/// Changes what `paths` name. The client's etag goes with it: what somebody else has changed meanwhile is not undone.
async fn change(
    who: &str,
    paths: &[&str],
    set: impl FnOnce(&mut wire::Client),
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let mut client = remote.client(who).await?;
    set(&mut client);
    if paths.is_empty() {
        return show(&read::client(client)?, None, output);
    }
    let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateClientRequest { client: Some(client), update_mask, ..UpdateClientRequest::default() };
    let answer = answered(remote.clients().update_client(request).await)?;
    show(&read::client(answer.client.unwrap_or_default())?, None, output)
}

fn wire_subject(subject: CertificateSubject) -> Certificate {
    match subject {
        CertificateSubject::SpiffeId(id) => Certificate::SpiffeId(id.as_str().to_owned()),
        CertificateSubject::DnsName(name) => Certificate::TlsClientAuthSanDns(name.as_str().to_owned()),
    }
}
