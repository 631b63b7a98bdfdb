//! Owns what a client says first: whoever says nothing does not keep a place for long.

use std::io::{self, Cursor};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until the client has said by `reader` which protocol it speaks, and gives the connection back as if nothing had been read.
///
/// hyper waits for the greeting without end, and its own timeouts begin behind it: the caller bounds the wait.
///
/// # Errors
/// If the client closes before.
pub(super) async fn read(
    mut reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let mut said = Vec::with_capacity(PREFACE.len());
    while said.len() < PREFACE.len() && PREFACE.starts_with(&said) {
        let missing = PREFACE.len() - said.len();
        if (&mut reader).take(missing as u64).read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(join(Cursor::new(said).chain(reader), writer))
}

/// What must hold for any `said`: a connection that is given back says all of it.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(said: &[u8]) {
    let all = async {
        let mut stream = read(Cursor::new(said.to_vec()), tokio::io::sink()).await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        io::Result::Ok(heard)
    };
    // Nothing in it waits: the bytes are there.
    if let Some(Ok(heard)) = futures_util::FutureExt::now_or_never(all) {
        assert_eq!(heard, said);
    }
}
