//! Owns how a client proves to Signet that it is this one (RFC 6749 section 2.3, RFC 7523, RFC 8705).

use std::{fmt, sync::Arc};

use serde_json::json;
use signet::{
    base::Timestamp,
    proto::identity::v1::{ClientAuthentication, client_authentication::Credential},
};
use tonic::Status;

use crate::{
    replicas::ClientError,
    signing_key::{SigningKey, unique_id},
};

/// For how many seconds an assertion counts: one is made for each request.
const ASSERTION_LIFETIME: i64 = 60;

/// The `typ` of an assertion (draft-ietf-oauth-rfc7523bis).
const ASSERTION_TYP: &str = "client-authentication+jwt";

/// A registered client, and how it proves that it is this one. It never shows a secret.
#[derive(Clone)]
pub struct ClientCredential {
    client_id: String,
    proof: Proof,
}

#[derive(Clone)]
enum Proof {
    None,
    Secret(Arc<str>),
    Key(Arc<SigningKey>, Arc<str>),
}

impl ClientCredential {
    /// By its secret.
    pub fn secret(client_id: impl Into<String>, secret: impl AsRef<str>) -> Self {
        Self { client_id: client_id.into(), proof: Proof::Secret(secret.as_ref().into()) }
    }

    /// By assertions that it signs (`private_key_jwt`) for `issuer`, the `--issuer` of Signet, with the private key in `pem`: of P-256
    /// (ES256), Ed25519 (EdDSA) or RSA (RS256).
    ///
    /// # Errors
    /// [`ClientError::PrivateKey`].
    pub fn private_key(
        client_id: impl Into<String>,
        pem: impl AsRef<[u8]>,
        issuer: impl AsRef<str>,
    ) -> Result<Self, ClientError> {
        let key = SigningKey::from_pem(pem.as_ref()).map_err(ClientError::PrivateKey)?;
        Ok(Self { client_id: client_id.into(), proof: Proof::Key(Arc::new(key), issuer.as_ref().into()) })
    }

    #[cfg(test)]
    pub(super) fn of_key(client_id: &str, key: SigningKey, issuer: &str) -> Self {
        Self { client_id: client_id.to_owned(), proof: Proof::Key(Arc::new(key), issuer.into()) }
    }

    /// By the certificate that the connection shows (`tls_client_auth`): [`Signet::tls`](crate::Signet::tls) has it. Also a public client,
    /// which proves nothing and has refresh tokens alone.
    pub fn certificate(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), proof: Proof::None }
    }

    /// What a request at `now` says.
    pub(super) fn authentication(&self, now: Timestamp) -> Result<ClientAuthentication, Status> {
        let credential = match &self.proof {
            Proof::None => None,
            Proof::Secret(secret) => Some(Credential::ClientSecret(secret.as_ref().to_owned())),
            Proof::Key(key, issuer) => Some(Credential::ClientAssertion(self.assertion(key, issuer, now)?)),
        };
        Ok(ClientAuthentication { client_id: self.client_id.clone(), credential })
    }

    fn assertion(&self, key: &SigningKey, issuer: &str, now: Timestamp) -> Result<String, Status> {
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": issuer,
            "iat": now.as_secs(), "exp": now.as_secs() + ASSERTION_LIFETIME, "jti": unique_id().to_string(),
        });
        let signed = key.sign(ASSERTION_TYP, None, &claims);
        signed.map_err(|problem| Status::internal(format!("the private key {problem}")))
    }
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredential").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_assertion_is_made_anew_for_each_request_and_says_what_the_issuer_reads() {
        let credential = ClientCredential::of_key("c", SigningKey::generate(), "https://id.example");
        let now = Timestamp::from_micros(1_000_000_000);
        let read = || {
            let Some(Credential::ClientAssertion(assertion)) =
                credential.authentication(now).unwrap().credential
            else {
                panic!("no assertion")
            };
            let parts: Vec<_> = assertion
                .split('.')
                .take(2)
                .map(|part| {
                    serde_json::from_slice::<Value>(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
                })
                .collect();
            (parts[0].clone(), parts[1].clone())
        };
        let ((header, first), (_, second)) = (read(), read());
        assert_eq!(header, json!({ "typ": "client-authentication+jwt", "alg": "ES256" }));
        assert_eq!(
            (&first["iss"], &first["sub"], &first["aud"]),
            (&json!("c"), &json!("c"), &json!("https://id.example"))
        );
        assert_eq!((&first["iat"], &first["exp"]), (&json!(1_000), &json!(1_060)));
        assert_ne!(first["jti"], second["jti"]);
    }

    #[test]
    fn no_secret_is_shown() {
        let credential = ClientCredential::secret("c", "hunter2");
        assert!(!format!("{credential:?}").contains("hunter2"));
        assert!(ClientCredential::private_key("c", "no key", "i").is_err());
    }
}
