//! Owns reading the files of TLS, so that a file on which the system hangs keeps nothing else from going on.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustix::fs::OFlags;
use tokio::sync::oneshot;

/// The largest file: all authorities that browsers trust take a quarter of a MiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// How many readings may hang at once. Each keeps a thread, which nothing but the file system can end.
pub(super) const MAX_HANGING: usize = 32;

/// Reads on threads of its own. The runtime's would be missing elsewhere, and the process would wait for them at its end.
#[derive(Debug, Default)]
pub(super) struct Reader {
    running: Arc<AtomicUsize>,
}

/// Counts a thread until it ends.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reader {
    /// Begins to `read`. None if too many readings hang already.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(super) fn start<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<oneshot::Receiver<T>>> {
        let running = Running(Arc::clone(&self.running));
        if self.running.fetch_add(1, Ordering::SeqCst) >= MAX_HANGING {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new().name("tls files".to_owned()).spawn(move || {
            let _running = running;
            // Who asked may have given up.
            let _ = sender.send(read());
        })?;
        Ok(Some(receiver))
    }
}

/// All of the file at `path`, which may be a link to it (Kubernetes swaps such links), and must be a file: opening a FIFO, or reading
/// from it, could take for ever.
///
/// # Errors
/// The system's, if it cannot be read; one without a number, if it is not a regular file, or is too large.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // Of what was opened, and not of what is at the path by now.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes =
        Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default() + 1);
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, sync::mpsc};

    use super::*;

    #[test]
    fn what_is_not_a_file_is_refused_without_waiting_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        fs::write(path("large"), vec![0; 4 * 1024 * 1024 + 1]).unwrap();
        fs::write(path("small"), "content").unwrap();
        std::os::unix::fs::symlink("small", path("link")).unwrap();
        for (name, problem) in [
            ("fifo", "is not a regular file"),
            ("", "is not a regular file"),
            ("large", "has more than 4194304 bytes"),
            ("none", "No such file or directory (os error 2)"),
        ] {
            assert_eq!(read(&path(name)).unwrap_err().to_string(), problem, "{name}");
        }
        assert_eq!(read(&path("link")).unwrap(), b"content");
    }

    #[tokio::test]
    async fn readings_that_hang_leave_room_for_others_within_a_bound() {
        let reader = Reader::default();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        for _ in 0..MAX_HANGING - 1 {
            let ended = Arc::clone(&ended);
            reader.start(move || ended.lock().unwrap().recv()).unwrap().unwrap();
        }
        assert_eq!(reader.start(|| 1).unwrap().unwrap().await, Ok(1));
        while reader.running.load(Ordering::SeqCst) >= MAX_HANGING {
            tokio::task::yield_now().await;
        }
        let hanging = reader.start(move || ended.lock().unwrap().recv()).unwrap().unwrap();
        assert!(reader.start(|| 1).unwrap().is_none());
        drop(end);
        hanging.await.unwrap().unwrap_err();
        while reader.running.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.start(|| 2).unwrap().unwrap().await, Ok(2));
    }
}
