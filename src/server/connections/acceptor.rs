//! Owns accepting connections, also when the process may open no more files.

use std::{fs::File, io, net::SocketAddr};

use futures_util::FutureExt;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};

/// A file that costs nothing to keep open.
const SPARE: &str = "/dev/null";

/// Accepts the connections of one listener.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// Kept open to be given up for one connection when there are no more files: others cannot take that from this listener.
    spare: Option<File>,
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) addr: SocketAddr,
    /// Whether the last file was taken for it.
    pub(super) took_spare: bool,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, spare: File::open(SPARE).ok() }
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system's, if it lets none be accepted.
    pub(super) async fn accept(&mut self) -> io::Result<Accepted> {
        if self.spare.is_none() {
            self.spare = File::open(SPARE).ok();
        }
        loop {
            match self.listener.accept().await {
                Ok((stream, addr)) => return Ok(Accepted { stream, addr, took_spare: false }),
                Err(error) if ran_out_of_files(&error) && self.spare.is_some() => {
                    self.spare = None;
                    // The system looks for a file before it looks for a connection: perhaps nobody has come.
                    match self.listener.accept().now_or_never() {
                        Some(accepted) => {
                            return accepted.map(|(stream, addr)| Accepted {
                                stream,
                                addr,
                                took_spare: true,
                            });
                        }
                        None => self.spare = File::open(SPARE).ok(),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn ran_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
