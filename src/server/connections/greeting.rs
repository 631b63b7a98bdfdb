//! Owns what a client says first: whoever says nothing does not keep a place for long.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client has said, as far as it was read to know which protocol it speaks.
pub(super) struct Greeting {
    pub(super) said: Vec<u8>,
    pub(super) is_http2: bool,
}

/// Waits until the client has said by `stream` which protocol it speaks.
///
/// hyper waits for the greeting without end, and its own timeouts begin behind it: the caller bounds the wait.
///
/// # Errors
/// If the client closes before.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Greeting> {
    let mut said = Vec::with_capacity(PREFACE.len());
    while said.len() < PREFACE.len() && PREFACE.starts_with(&said) {
        let missing = PREFACE.len() - said.len();
        if (&mut *stream).take(missing as u64).read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let is_http2 = said == PREFACE;
    Ok(Greeting { said, is_http2 })
}
