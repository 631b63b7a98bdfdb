//! Owns TLS on the listeners: the handshake, and following the files of the certificate, its key and the authorities.

mod material;

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::{ConfigError, TlsConfig, TlsFiles},
    metrics::TlsMetrics,
    model::{CertificateSubject, Clock, Timestamp},
    peer::{self, Peer},
};
use material::{Contents, Material};

/// What the listeners show, and whom they believe: as the files are, or were when they could last be used.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    trusted_proxies: Vec<CertificateSubject>,
    clock: Clock,
    metrics: TlsMetrics,
    material: ArcSwap<Material>,
}

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// Where services call: with --tls-client-ca nobody without a certificate.
    Grpc,
    /// Where keys are fetched and probes ask, which have none: whoever shows one is known by it.
    Http,
}

/// The TLS of one listener.
#[derive(Clone, Debug)]
pub(super) struct ListenerTls {
    tls: Arc<Tls>,
    listener: Listener,
}

impl Tls {
    /// The TLS that `config` asks for, if it asks for any.
    ///
    /// # Errors
    /// If a setting is missing, or a file cannot be read or used.
    pub(super) fn open(
        config: &TlsConfig,
        clock: &Clock,
        metrics: TlsMetrics,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        let Some(files) = config.files()? else { return Ok(None) };
        let material = Contents::read(&files)?.build(&files, clock)?;
        material.warn_once_of_times(clock.now());
        Ok(Some(Arc::new(Self {
            files,
            trusted_proxies: config.trusted_proxies.clone(),
            clock: clock.clone(),
            metrics,
            material: ArcSwap::from_pointee(material),
        })))
    }

    /// The TLS of `listener`.
    pub(super) fn on(self: &Arc<Self>, listener: Listener) -> ListenerTls {
        ListenerTls { tls: Arc::clone(self), listener }
    }

    /// When the certificate expires that is shown now.
    pub(super) fn expire_time(&self) -> Timestamp {
        self.material.load().expire_time
    }

    /// Looks at the files every `interval` and takes what has changed, until it is dropped. Connections that are open stay.
    pub(super) async fn follow(self: &Arc<Self>, interval: Duration) {
        let mut judged = Ok(self.material.load().digest);
        let mut seen = judged.clone();
        loop {
            self.material.load().warn_once_of_times(self.clock.now());
            tokio::time::sleep(interval).await;
            let tls = Arc::clone(self);
            // A task that was not run says nothing of the files.
            let Ok(contents) = tokio::task::spawn_blocking(move || Contents::read(&tls.files)).await else {
                continue;
            };
            let now = contents.as_ref().map(Contents::digest).map_err(ToString::to_string);
            // What is amid being replaced is not judged: the same must be seen twice.
            if now != seen {
                seen = now;
                continue;
            }
            if now == judged {
                continue;
            }
            judged = now;
            let built = contents.and_then(|contents| contents.build(&self.files, &self.clock));
            self.metrics.changed(built.is_ok());
            match built {
                Ok(material) => {
                    tracing::info!(expires = %material.expire_time, "the TLS certificate was replaced");
                    self.material.store(Arc::new(material));
                }
                Err(error) => tracing::warn!(
                    error = %error,
                    "the changed TLS files cannot be used: what was read before stays in use"
                ),
            }
        }
    }
}

impl ListenerTls {
    /// Shakes hands with who has connected by `stream`. Returns the connection, and who is at its other end if that has shown a
    /// certificate.
    ///
    /// # Errors
    /// If the other end does not speak TLS, agrees to nothing that is safe, or shows no certificate, or one that is not believed.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Peer>)> {
        let config = self.tls.material.load().of(self.listener);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = shown.map(|certificate| {
            let names = peer::names(certificate).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("the peer's certificate: {error}"))
            })?;
            Ok::<_, io::Error>(Peer::of(names, &self.tls.trusted_proxies))
        });
        let peer = peer.transpose()?;
        Ok((stream, peer))
    }
}
