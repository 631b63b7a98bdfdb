//! Owns TLS on the listeners: the handshake, and following the files of the certificate, its key and the authorities.

mod files;
mod material;

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpStream,
    sync::{Mutex, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    base::{Clock, Timestamp},
    config::{ConfigError, TlsConfig, TlsFiles},
    metrics::TlsMetrics,
    model::CertificateSubject,
    peer::{self, Peer},
};
use files::Reader;
use material::{Contents, Material};

/// How long reading the files may take. A file system that has gone answers never.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reading that hangs is waited for before another is tried beside it: what is at the path may have been replaced.
const RETRY_PAUSE: Duration = Duration::from_mins(1);

/// Why files are neither read nor refused.
const NO_ANSWER: &str = "the file system does not answer";

/// What the listeners show, and whom they believe: as the files are, or were when they could last be used.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    trusted_proxies: Vec<CertificateSubject>,
    clock: Clock,
    metrics: TlsMetrics,
    reader: Reader,
    material: ArcSwap<Material>,
    sight: Mutex<Sight>,
}

/// What looks at the files have found.
#[derive(Debug)]
struct Sight {
    /// What was last used, or found not to be usable.
    checked: Result<[u8; 32], String>,
    /// What was last seen.
    seen: Result<[u8; 32], String>,
    /// Whether the last reading hung.
    is_hanging: bool,
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

/// The files, once they are read.
type ContentsReading = oneshot::Receiver<Result<Contents, ConfigError>>;

impl Tls {
    /// The TLS that `config` asks for, if it asks for any.
    ///
    /// # Errors
    /// If a setting is missing, or a file cannot be read or used.
    pub(super) async fn open(
        config: &TlsConfig,
        clock: &Clock,
        metrics: TlsMetrics,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        let Some(files) = config.files()? else { return Ok(None) };
        let reader = Reader::default();
        let refuse = |problem: String| ConfigError::new("--tls-cert", problem);
        let reading = start(&reader, &files).map_err(|error| refuse(error.to_string()))?;
        let contents = timeout(READ_TIMEOUT, async { reading?.await.ok() }).await.ok().flatten();
        let contents = contents.ok_or_else(|| {
            refuse(format!("reading it, the key and the authorities takes longer than {READ_TIMEOUT:?}"))
        })?;
        let material = contents?.build(&files, clock)?;
        material.warn_once_of_times(clock.now());
        let checked = Ok(material.digest);
        let sight = Mutex::new(Sight { seen: checked.clone(), checked, is_hanging: false });
        Ok(Some(Arc::new(Self {
            files,
            trusted_proxies: config.trusted_proxies.clone(),
            clock: clock.clone(),
            metrics,
            reader,
            material: ArcSwap::from_pointee(material),
            sight,
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

    /// The files as they are now; none if that hangs, which is told once, and noted in `is_hanging`.
    async fn read(&self, is_hanging: &mut bool) -> Option<Result<Contents, ConfigError>> {
        // Without room for a thread nothing is known of the files: the next time, then.
        let mut reading = start(&self.reader, &self.files).ok()?;
        let mut contents = within(READ_TIMEOUT, &mut reading).await;
        if contents.is_none() && !std::mem::replace(is_hanging, true) {
            self.metrics.changed(false);
            tracing::warn!(
                longer_than = ?READ_TIMEOUT,
                "the TLS files cannot be read, since {NO_ANSWER}: what was read before stays in use"
            );
        }
        if contents.is_none() {
            contents = within(RETRY_PAUSE, &mut reading).await;
        }
        if contents.is_some() && std::mem::take(is_hanging) {
            tracing::info!("the TLS files can be read again");
        }
        contents
    }

    /// Looks at the files, and takes what has changed. Connections that are open stay.
    ///
    /// # Errors
    /// If what has changed cannot be used.
    pub(super) async fn look(&self) -> Result<(), ConfigError> {
        self.follow(false).await
    }

    /// The same at once, since whoever has changed them says that all of it `is_complete`.
    ///
    /// # Errors
    /// If the files are not what is in use afterwards: they cannot be used, or could not be read in time.
    pub(super) async fn reload(&self) -> Result<(), ConfigError> {
        self.follow(true).await
    }

    async fn follow(&self, is_complete: bool) -> Result<(), ConfigError> {
        let mut sight = self.sight.lock().await;
        let Sight { checked, seen, is_hanging } = &mut *sight;
        self.material.load().warn_once_of_times(self.clock.now());
        let Some(contents) = self.read(is_hanging).await else {
            let unread = || ConfigError::new("--tls-cert", format!("is not read: {NO_ANSWER}"));
            return if is_complete { Err(unread()) } else { Ok(()) };
        };
        let now = contents.as_ref().map(Contents::digest).map_err(ToString::to_string);
        // What is amid being replaced is not looked at: the same must be seen twice.
        if now != *seen {
            seen.clone_from(&now);
            if !is_complete {
                return Ok(());
            }
        }
        // What cannot be used is told once; and to whoever asks for it, each time.
        let is_in_use = now == Ok(self.material.load().digest);
        if now == *checked && (is_in_use || !is_complete) {
            return Ok(());
        }
        *checked = now;
        let built = contents.and_then(|contents| contents.build(&self.files, &self.clock));
        self.metrics.changed(built.is_ok());
        let material = built?;
        tracing::info!(expires = %material.expire_time, "the TLS certificate was replaced");
        self.material.store(Arc::new(material));
        Ok(())
    }
}

/// What `reading` gives within `limit`. None if it hangs, or there is none.
async fn within(
    limit: Duration,
    reading: &mut Option<ContentsReading>,
) -> Option<Result<Contents, ConfigError>> {
    let Some(receiver) = reading else {
        sleep(limit).await;
        return None;
    };
    let read = timeout(limit, receiver).await.ok()?;
    // It has ended, with or without a result.
    *reading = None;
    read.ok()
}

/// Begins to read `files`. None if too many readings hang.
fn start(reader: &Reader, files: &TlsFiles) -> io::Result<Option<ContentsReading>> {
    let files = files.clone();
    reader.start(move || Contents::read(&files))
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

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_changed_the_files_is_told_that_they_were_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let (files, clock) = (TlsFiles { cert, key, client_ca: None }, Clock::system());
        let material = Contents::read(&files).unwrap().build(&files, &clock).unwrap();
        let checked = Ok(material.digest);
        let tls = Tls {
            files,
            trusted_proxies: Vec::new(),
            clock,
            metrics: Metrics::new().tls,
            reader: Reader::default(),
            material: ArcSwap::from_pointee(material),
            sight: Mutex::new(Sight { seen: checked.clone(), checked, is_hanging: false }),
        };
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        for _ in 0..files::MAX_HANGING {
            let ended = Arc::clone(&ended);
            tls.reader.start(move || ended.lock().unwrap().recv()).unwrap().unwrap();
        }
        tls.look().await.expect("nothing is known of the files");
        let problem = tls.reload().await.unwrap_err().to_string();
        assert!(problem.contains("the file system does not answer"), "{problem}");
        drop(end);
    }
}
