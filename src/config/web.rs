//! Owns the settings of what browsers may call.

use clap::Args;
use http::HeaderValue;
use url::Url;

/// What browsers may call.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Browsers")]
pub struct WebConfig {
    /// The web pages that may call: their origins, separated by commas, such as `https://app.example`. They may call --grpc-addr by
    /// gRPC-Web and Connect, and --http-addr where tokens are got, revoked and shown (/oauth2/token, /oauth2/revoke, /oauth2/userinfo,
    /// and what --model-api serves). None unless set. Clients that are not browsers are always allowed. --grpc-web-origins is the former
    /// name, and counts where this one is not set.
    #[arg(long, env = "SIGNET_WEB_ORIGINS", global = true, value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub web_origins: Vec<HeaderValue>,

    /// The former name of --web-origins, so that one environment serves this release and the one before. It counts where --web-origins
    /// is not set: an origin that is taken out there is out.
    #[arg(long, env = "SIGNET_GRPC_WEB_ORIGINS", global = true, hide = true, value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub grpc_web_origins: Vec<HeaderValue>,
}

impl WebConfig {
    /// The origins; by the former name if none is given by the present one.
    #[must_use]
    pub fn origins(&self) -> Vec<HeaderValue> {
        let counts = if self.web_origins.is_empty() { &self.grpc_web_origins } else { &self.web_origins };
        counts.clone()
    }
}

/// An origin, as browsers write it in the header `Origin` (RFC 6454 section 6.2): they are compared byte by byte.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    // A wildcard would let in whoever gets hold of a forgotten subdomain.
    let url = url.filter(|_| !text.contains('*'));
    let written = url.map(|url| url.origin().ascii_serialization());
    match written {
        Some(written) if written == text => HeaderValue::from_str(text).map_err(|error| error.to_string()),
        Some(written) => Err(format!("must be as browsers write it: `{written}`")),
        None => Err(
            "must be an origin such as `https://app.example` or `http://localhost:3000`, without wildcards"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_taken_as_browsers_write_it_and_in_no_other_way() {
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "https://app.example:8443",
            "http://127.0.0.1:8081",
            "http://[::1]:8081",
            "https://xn--bcher-kva.example",
        ] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for (bad, good) in [
            ("https://app.example/", "https://app.example"),
            ("https://App.Example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://app.example:80/path?query#fragment", "http://app.example"),
            ("https://user:hunter2@app.example", "https://app.example"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("http://127.1", "http://127.0.0.1"),
            (" https://app.example", "https://app.example"),
        ] {
            assert_eq!(origin(bad).unwrap_err(), format!("must be as browsers write it: `{good}`"), "{bad}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://*",
            "https://*.app.example",
            "ftp://app.example",
            "file:///",
            "chrome-extension://abc",
        ] {
            assert!(origin(bad).unwrap_err().starts_with("must be an origin such as"), "{bad}");
        }
    }

    #[test]
    fn the_former_name_adds_nothing_to_the_present_one() {
        let origins = |texts: &[&str]| texts.iter().map(|text| origin(text).unwrap()).collect::<Vec<_>>();
        let (app, old) = ("https://app.example", "https://old.example");
        for (present, former, counts) in [
            (&[app][..], &[old, app][..], &[app][..]),
            (&[app], &[], &[app]),
            (&[], &[old], &[old]),
            (&[], &[], &[]),
        ] {
            let web = WebConfig { web_origins: origins(present), grpc_web_origins: origins(former) };
            assert_eq!(web.origins(), origins(counts));
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_an_origin_and_nothing_else(text in r"(https?://)?[a-zA-Z0-9.:/@*?# \[\]\u{fc}-]{0,20}") {
            if let Ok(taken) = origin(&text) {
                prop_assert_eq!(taken.as_bytes(), text.as_bytes());
                let (scheme, rest) = text.split_once("://").unwrap();
                prop_assert!(matches!(scheme, "http" | "https"));
                prop_assert!(!rest.contains(['/', '?', '#', '@', '*', ' ', ',']));
            }
        }
    }
}
