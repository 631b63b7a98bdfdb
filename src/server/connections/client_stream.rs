//! Owns a connection's stream as HTTP reads and writes it: what was read ahead comes first, frames are counted, calls that have begun come
//! before more is read, writes must move, and what is said last arrives.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop::{has_budget_remaining, poll_proceed},
    time::{Sleep, sleep},
};

use super::{
    frames::{FrameMeter, calm},
    greeting::Greeting,
};
use crate::admission::{ConnectionHandle, Ending};

/// For how long a connection of HTTP/1.1 is read once all is written, and how much: whoever is answered before it has sent its body would
/// else be sent a reset, and lose the answer (RFC 9112, section 9.6).
const LINGERING: Duration = Duration::from_secs(5);
const MOST_LINGERING_BYTES: usize = 64 * 1_024;

/// The stream of one connection, in plaintext.
pub(super) struct ClientStream<S> {
    stream: S,
    connection: ConnectionHandle,
    /// What is read before the stream goes on, and how much of it was.
    ahead: Vec<u8>,
    ahead_read: usize,
    /// What has come that is not to be read before the calls that have begun, and how much of it was.
    held_back: Vec<u8>,
    held_back_read: usize,
    /// None for HTTP/1.1, where each request is answered before the next is read.
    frames: Option<FrameMeter>,
    max_header_list_bytes: u32,
    /// Nothing more is read.
    is_over: bool,
    max_stall: Duration,
    /// When a write that does not move is given up.
    stall: Option<Pin<Box<Sleep>>>,
    /// Once all is written: until when what comes is read, and how much more.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> ClientStream<S> {
    /// `stream`, of which `greeting` has been read. A write that does not move within `max_stall` ends the connection.
    pub(super) fn new(
        stream: S,
        greeting: Greeting,
        connection: ConnectionHandle,
        max_streams: u32,
        max_header_list_bytes: u32,
        max_stall: Duration,
    ) -> Self {
        Self {
            stream,
            frames: greeting.is_http2.then(|| FrameMeter::new(connection.clone(), max_streams)),
            ahead: greeting.said,
            ahead_read: 0,
            held_back: Vec::new(),
            held_back_read: 0,
            connection,
            max_header_list_bytes,
            is_over: false,
            max_stall,
            stall: None,
            lingering: None,
        }
    }

    /// Hands out what is to be read before the stream goes on. Returns whether that was anything.
    fn read_ahead(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = &self.ahead[self.ahead_read..];
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.ahead_read += count;
        if self.ahead_read == self.ahead.len() {
            // An idle connection keeps nothing of it.
            (self.ahead, self.ahead_read) = (Vec::new(), 0);
        }
        true
    }

    /// Reads what was held back, or else what comes.
    fn poll_bytes(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        if self.held_back.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let rest = &self.held_back[self.held_back_read..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.held_back_read += count;
        if self.held_back_read == self.held_back.len() {
            (self.held_back, self.held_back_read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Holds back the last `bytes` of what was read.
    fn hold_back(&mut self, bytes: &[u8]) {
        if self.held_back.is_empty() {
            self.held_back = bytes.to_vec();
        } else {
            self.held_back_read -= bytes.len();
        }
    }

    /// Ends this turn of the connection's task, for other tasks to come first. Where turns do not count, in a test, it has no end.
    fn give_way(context: &mut Context<'_>) -> Poll<()> {
        const MORE_THAN_A_TURN_HAS: u32 = 256;
        for _ in 0..MORE_THAN_A_TURN_HAS {
            ready!(poll_proceed(context)).made_progress();
        }
        Poll::Ready(())
    }

    /// Reads what comes after all is written, to nobody.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + Unpin,
    {
        let Self { stream, lingering, .. } = self;
        let (until, left) =
            lingering.get_or_insert_with(|| (Box::pin(sleep(LINGERING)), MOST_LINGERING_BYTES));
        while *left > 0 && until.as_mut().poll(context).is_pending() {
            let mut bytes = [0; 1_024];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            *left = left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(())
    }

    /// What became of a write: if it has not moved for too long, an error.
    fn moved<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let max_stall = self.max_stall;
        ready!(self.stall.get_or_insert_with(|| Box::pin(sleep(max_stall))).as_mut().poll(context));
        self.connection.end(Ending::Unread);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read_ahead(buffer) || this.is_over {
            return Poll::Ready(Ok(()));
        }
        // TLS could go on with what it has deciphered.
        if !has_budget_remaining() || this.frames.as_mut().is_some_and(FrameMeter::gives_way) {
            ready!(Self::give_way(context));
        }
        let before = buffer.filled().len();
        ready!(this.poll_bytes(context, buffer))?;
        match this.frames.as_mut().map(|frames| frames.read(&buffer.filled()[before..])) {
            None => {}
            Some(Ok(read)) => {
                this.hold_back(&buffer.filled()[before + read..]);
                buffer.set_filled(before + read);
            }
            Some(Err(passed)) => {
                this.connection.note(Ending::Frames);
                this.is_over = true;
                this.ahead = calm(this.max_header_list_bytes);
                buffer.set_filled(before + passed);
                this.read_ahead(buffer);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// It takes no vectors of buffers: h2 then copies replies of less than 1,024 bytes into the buffer of its frames, and not of less than
/// 256, and writes many of them at once. Each that it does not copy is a write, and a TLS record, of its own.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.moved(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.moved(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let shut_down = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.moved(context, shut_down))?;
        }
        // Of HTTP/2 each side says when it ends.
        if this.frames.is_none() {
            ready!(this.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

/// What must hold for any `said`: whoever reads the connection hears all of it, or it up to where there were too many frames.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(said: &[u8]) {
    const MAX_HEADER_LIST_BYTES: u32 = 65_536;
    let connection =
        ConnectionHandle::new(crate::base::Clock::manual(crate::base::Timestamp::from_micros(0)));
    let all = async {
        let mut stream = tokio::io::join(io::Cursor::new(said.to_vec()), tokio::io::sink());
        let greeting = super::greeting::read(&mut stream).await?;
        let connection = connection.clone();
        let stream =
            ClientStream::new(stream, greeting, connection, 1, MAX_HEADER_LIST_BYTES, Duration::from_secs(1));
        let mut heard = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut { stream }, &mut heard).await?;
        io::Result::Ok(heard)
    };
    // Nothing in it waits: the bytes are there.
    if let Some(Ok(heard)) = futures_util::FutureExt::now_or_never(all) {
        if connection.ending().is_none() {
            assert_eq!(heard, said);
        } else {
            let before = heard.strip_suffix(&calm(MAX_HEADER_LIST_BYTES)[..]);
            assert!(before.is_some_and(|before| said.starts_with(before)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::yield_now,
    };

    use super::*;
    use crate::base::{Clock, Timestamp};

    #[tokio::test]
    async fn other_tasks_have_their_turn_while_headers_come() {
        const HEADERS: [u8; 9] = [0, 0x3f, 0xff, 1, 0, 0, 0, 0, 1];
        let said = [&HEADERS[..], &[0; 0x3fff]].concat().repeat(64);
        let greeting = Greeting { said: Vec::new(), is_http2: true };
        let connection = ConnectionHandle::new(Clock::manual(Timestamp::from_micros(0)));
        let io = tokio::io::join(io::Cursor::new(said.clone()), tokio::io::sink());
        let mut stream = ClientStream::new(io, greeting, connection, 64, 65_536, Duration::from_secs(1));
        let mut turns = 0;
        let mut heard = 0;
        while heard < said.len() {
            let mut buffer = [0; 16_384];
            // One turn: as long as there is something to read.
            heard += poll_fn(|context| {
                let mut heard = 0;
                loop {
                    let mut buffer = ReadBuf::new(&mut buffer);
                    match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => heard += buffer.filled().len(),
                        Poll::Ready(_) | Poll::Pending => break Poll::Ready(heard),
                    }
                }
            })
            .await;
            turns += 1;
            yield_now().await;
        }
        assert_eq!(heard, said.len());
        assert!(turns >= 64, "{turns}");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_last_word_is_read_for_a_time_and_up_to_a_size() {
        let open = |is_http2| {
            let (stream, other) = tokio::io::duplex(1_024);
            let greeting = Greeting { said: Vec::new(), is_http2 };
            let connection = ConnectionHandle::new(Clock::manual(Timestamp::from_micros(0)));
            let stream = ClientStream::new(stream, greeting, connection, 64, 65_536, Duration::from_secs(1));
            (stream, other, tokio::time::Instant::now())
        };
        let (mut stream, _silent, begun) = open(false);
        stream.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), LINGERING.as_secs());

        let (mut stream, gone, begun) = open(false);
        drop(gone);
        stream.shutdown().await.unwrap();
        assert!(begun.elapsed().is_zero(), "the other side has read all");

        let (mut stream, mut talkative, begun) = open(false);
        let said = vec![0; MOST_LINGERING_BYTES];
        let (_, said) = tokio::join!(stream.shutdown(), talkative.write_all(&said));
        said.unwrap();
        assert!(begun.elapsed().is_zero(), "no more than that is read");

        let (mut stream, _other, begun) = open(true);
        stream.shutdown().await.unwrap();
        assert!(begun.elapsed().is_zero(), "HTTP/2 has a last word of its own");
    }
}
