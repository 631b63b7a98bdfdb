//! Owns the files of the explorer's page: Swagger UI, which is compressed where the program is built, and what begins it.

use std::{io::Read, sync::LazyLock};

use axum::{
    body::Bytes,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::read::GzDecoder;

use super::CACHE_CONTROL;
use crate::{
    base::{GZIP, takes_gzip},
    http::{etag, refusal::Refusal},
    model::Error,
};

/// A file. Of one that is kept compressed, the text is there once somebody asks who does not take it so.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    compressed: Option<&'static [u8]>,
    text: LazyLock<Bytes>,
    etag: LazyLock<String>,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const BUNDLE_STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));
const BEGIN: &str = include_str!("explorer.js");
const OWN_STYLE: &str = include_str!("page.css");

static ASSETS: [Asset; 4] = [
    Asset {
        name: "swagger-ui-bundle.js",
        content_type: SCRIPT,
        compressed: Some(BUNDLE),
        text: LazyLock::new(|| inflated(BUNDLE)),
        etag: LazyLock::new(|| etag::of(BUNDLE)),
    },
    Asset {
        name: "swagger-ui.css",
        content_type: STYLE,
        compressed: Some(BUNDLE_STYLE),
        text: LazyLock::new(|| inflated(BUNDLE_STYLE)),
        etag: LazyLock::new(|| etag::of(BUNDLE_STYLE)),
    },
    Asset {
        name: "explorer.js",
        content_type: SCRIPT,
        compressed: None,
        text: LazyLock::new(|| Bytes::from_static(BEGIN.as_bytes())),
        etag: LazyLock::new(|| etag::of(BEGIN.as_bytes())),
    },
    Asset {
        name: "page.css",
        content_type: STYLE,
        compressed: None,
        text: LazyLock::new(|| Bytes::from_static(OWN_STYLE.as_bytes())),
        etag: LazyLock::new(|| etag::of(OWN_STYLE.as_bytes())),
    },
];

fn inflated(compressed: &[u8]) -> Bytes {
    let mut text = Vec::new();
    // It cannot fail: the build has written what it reads. A test compares both files.
    let _ = GzDecoder::new(compressed).read_to_end(&mut text);
    text.into()
}

/// The file `name`.
pub(super) async fn asset(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // A name that is not UTF-8 is that of none.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or(Error::Unimplemented)?;
    // RFC 9110 section 8.8.3: what is compressed is another representation, of another tag.
    let compressed = asset.compressed.filter(|_| takes_gzip(&headers, &header::ACCEPT_ENCODING));
    let tag = match compressed {
        Some(_) => asset.etag.clone(),
        None => asset.etag.replacen('"', "\"plain-", 1),
    };
    let told = [
        (header::CACHE_CONTROL, CACHE_CONTROL),
        (header::VARY, "accept-encoding"),
        (header::ETAG, tag.as_str()),
    ];
    if etag::names(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    Ok(match compressed {
        Some(bytes) => (told, content_type, [(header::CONTENT_ENCODING, GZIP)], Bytes::from_static(bytes))
            .into_response(),
        None => (told, content_type, asset.text.clone()).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_what_is_told_to_who_takes_no_gzip() {
        for asset in &ASSETS {
            assert!(asset.text.len() > 100, "{}", asset.name);
        }
        let bundle = include_bytes!("../../../third_party/swagger-ui/swagger-ui-bundle.js");
        let style = include_bytes!("../../../third_party/swagger-ui/swagger-ui.css");
        assert!(ASSETS[0].text[..] == bundle[..] && ASSETS[1].text[..] == style[..], "as npm has them");
    }
}
