//! Owns counting the frames of an HTTP/2 connection against what it is good for: a client that sends frames and gets no answers is sent
//! away.
//!
//! h2 bounds some kinds by itself (streams that are reset before they are served, CONTINUATION, small DATA), but neither SETTINGS, which
//! cost it a walk over all streams, nor PING, `WINDOW_UPDATE`, PRIORITY, resets of streams that are served, nor what is unknown.

use std::time::Duration;

use crate::admission::ConnectionHandle;

/// The bytes of a frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// A frame of DATA with at least so many bytes costs nothing: its bytes are bounded elsewhere.
const GOOD_DATA_BYTES: u32 = 256;

/// What a frame of SETTINGS costs: h2 walks over all streams, and a client has no need for more than a few.
const SETTINGS_COST: u32 = 16;

/// What each piece of an answer earns, or a call that its client has given up after a while. A call takes some five frames of its
/// client: HEADERS, DATA, windows of the stream and of the connection, a ping to measure the way.
const EARNED_BY_ANSWER: u32 = 8;

/// What each second earns: pings that keep a connection alive, and the windows of long answers.
const EARNED_BY_SECOND: u32 = 10;

/// The same for a connection that brings the calls of many, as a proxy's does: what one of them does must not end it for all. Their calls
/// bound what is done for them, and frames cost h2 some microseconds each.
const EARNED_BY_SECOND_OF_MANY: u32 = 10_000;
const FEWEST_FRAMES_OF_MANY: u32 = 16_384;

/// How many frames each stream may take before the first answer, and how many there may be at least.
const FRAMES_PER_STREAM: u32 = 4;
const FEWEST_FRAMES: u32 = 256;

/// How many bytes of headers are read before the calls that they begin are looked at. h2 reads on for as long as there is something to
/// read, and keeps the headers of all calls that have begun meanwhile: on each connection as many as it may have streams.
const HEADER_BYTES_IN_A_TURN: usize = 8_192;

/// How many calls begin in a turn: of many connections each would otherwise put as many calls in the queue as it may have streams, and
/// whoever asks for little waits for all of them, once for each step of its own call.
const CALLS_IN_A_TURN: u32 = 16;

/// What h2 takes for one piece of a header list: its largest frame.
const MAX_FRAME_BYTES: u32 = 16_384;

/// Counts the frames of one connection.
#[derive(Debug)]
pub(super) struct FrameMeter {
    connection: ConnectionHandle,
    /// How many frames may come before the next answer.
    left: u32,
    most: u32,
    earned_by_second: u32,
    /// A frame of DATA with at least so many bytes costs nothing.
    good_data_bytes: u32,
    /// When it was last looked at what has been earned.
    looked_at: Duration,
    head: [u8; HEAD],
    head_bytes: usize,
    /// The bytes of the frame's payload that have not come yet.
    payload: u32,
    /// The bytes of header lists that have come in this turn of the connection's task.
    header_bytes: usize,
    /// The calls that have begun in it.
    calls: u32,
}

impl FrameMeter {
    /// For `connection`, which may have `max_streams` streams.
    pub(super) fn new(connection: ConnectionHandle, max_streams: u32) -> Self {
        let (fewest, earned_by_second, good_data_bytes) = if connection.is_of_many() {
            (FEWEST_FRAMES_OF_MANY, EARNED_BY_SECOND_OF_MANY, 1)
        } else {
            (FEWEST_FRAMES, EARNED_BY_SECOND, GOOD_DATA_BYTES)
        };
        let most = max_streams.saturating_mul(FRAMES_PER_STREAM).max(fewest);
        let looked_at = connection.clock().monotonic();
        Self {
            connection,
            left: most,
            most,
            earned_by_second,
            good_data_bytes,
            looked_at,
            head: [0; HEAD],
            head_bytes: 0,
            payload: 0,
            header_bytes: 0,
            calls: 0,
        }
    }

    /// Reads `bytes`, which come after those that were read before, up to where the calls must come first that have begun: see
    /// [`Self::gives_way`]. Returns how many bytes that are.
    ///
    /// # Errors
    /// If a frame is one too many: how many bytes there are before it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.payload == 0 && self.head_bytes == 0 && self.calls >= CALLS_IN_A_TURN {
                break;
            }
            let rest = &bytes[at..];
            if self.payload > 0 {
                let skipped = rest.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= u32::try_from(skipped).unwrap_or(u32::MAX);
                let [_, _, _, kind, ..] = self.head;
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.header_bytes += skipped;
                }
                at += skipped;
                continue;
            }
            if self.head_bytes == 0 && self.left == 0 && !self.earn() {
                return Err(at);
            }
            let taken = rest.len().min(HEAD - self.head_bytes);
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&rest[..taken]);
            self.head_bytes += taken;
            at += taken;
            if self.head_bytes == HEAD {
                self.charge();
            }
        }
        Ok(at)
    }

    /// Whether so many headers were read, or calls, that the calls that have begun must come first. Counts anew from here on.
    pub(super) fn gives_way(&mut self) -> bool {
        let gives_way = self.header_bytes >= HEADER_BYTES_IN_A_TURN || self.calls >= CALLS_IN_A_TURN;
        if gives_way {
            (self.header_bytes, self.calls) = (0, 0);
        }
        gives_way
    }

    /// The head of a frame is complete.
    fn charge(&mut self) {
        let [high, middle, low, kind, ..] = self.head;
        self.payload = u32::from_be_bytes([0, high, middle, low]);
        self.head_bytes = 0;
        self.calls += u32::from(kind == HEADERS);
        let cost = match kind {
            DATA if self.payload >= self.good_data_bytes => 0,
            SETTINGS => SETTINGS_COST,
            _ => 1,
        };
        self.left = self.left.saturating_sub(cost);
    }

    /// Adds what was earned since this was done last. Returns whether that is anything.
    fn earn(&mut self) -> bool {
        let now = self.connection.clock().monotonic();
        let seconds = now.saturating_sub(self.looked_at).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is bounded before")]
        let by_time = (seconds * f64::from(self.earned_by_second)).min(f64::from(self.most)) as u32;
        if by_time > 0 {
            self.looked_at = now;
        }
        let by_answers = self.connection.take_answers().saturating_mul(EARNED_BY_ANSWER);
        self.left = by_answers.saturating_add(by_time).min(self.most);
        self.left > 0
    }
}

/// What makes h2 say GOAWAY with `ENHANCE_YOUR_CALM` and close, if it reads it where a frame begins: a header list in more pieces than it
/// takes. hyper has no way to ask for that, and only h2 knows what it has half written.
pub(super) fn calm(max_header_list_bytes: u32) -> Vec<u8> {
    const STREAM: [u8; 4] = [0, 0, 0, 1];
    let empty = |kind: u8| [&[0, 0, 0, kind, 0][..], &STREAM].concat();
    // h2 takes a quarter more pieces than the list needs, and at least five.
    let pieces = max_header_list_bytes.div_ceil(MAX_FRAME_BYTES).saturating_mul(2).saturating_add(8);
    let mut frames = empty(HEADERS);
    for _ in 0..pieces {
        frames.extend(empty(CONTINUATION));
    }
    frames
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{Clock, Timestamp};

    const PING: u8 = 6;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let head = u32::try_from(length).unwrap().to_be_bytes();
        [&head[1..], &[kind, 0, 0, 0, 0, 0], &vec![0; length]].concat()
    }

    fn connection() -> ConnectionHandle {
        ConnectionHandle::new(Clock::manual(Timestamp::from_micros(0)))
    }

    /// How many frames like `frame` are read before one is too many.
    fn taken(meter: &mut FrameMeter, frame: &[u8]) -> usize {
        let mut taken = || {
            meter.gives_way();
            meter.read(frame).is_ok()
        };
        (0..1_000_000).take_while(|_| taken()).count()
    }

    #[test]
    fn frames_are_counted_until_one_is_too_many() {
        for (kind, length, count) in [
            (PING, 8, 1_024),
            (SETTINGS, 6, 64),
            (DATA, 0, 1_024),
            (HEADERS, 300, 1_024),
            (0x55, 0, 1_024),
            (DATA, 256, 1_000_000),
        ] {
            let mut meter = FrameMeter::new(connection(), 256);
            assert_eq!(taken(&mut meter, &frame(kind, length)), count, "{kind}");
        }
    }

    #[test]
    fn answers_and_time_earn_more_within_a_bound() {
        let connection = connection();
        let mut meter = FrameMeter::new(connection.clone(), 1);
        let ping = frame(PING, 8);
        assert_eq!(taken(&mut meter, &ping), 256);
        let mut call = connection.call();
        call.answered();
        assert_eq!(taken(&mut meter, &ping), 8);
        drop(connection.call());
        assert_eq!(taken(&mut meter, &ping), 0, "who gives a call up at once has taken nothing for it");
        let patient = connection.call();
        connection.clock().advance(Duration::from_millis(100));
        drop(patient);
        assert_eq!(taken(&mut meter, &ping), 9);
        connection.clock().advance(Duration::from_secs(2));
        assert_eq!(taken(&mut meter, &ping), 20);
        connection.clock().advance(Duration::from_millis(50));
        assert_eq!(taken(&mut meter, &ping), 0);
        connection.clock().advance(Duration::from_millis(50));
        assert_eq!(taken(&mut meter, &ping), 1, "what is less than a frame is not lost");
        connection.clock().advance(Duration::from_hours(1));
        (0..1_000).for_each(|_| call.answered());
        assert_eq!(taken(&mut meter, &ping), 256);
    }

    #[test]
    fn many_headers_give_way_to_the_calls_that_they_begin() {
        let mut meter = FrameMeter::new(connection(), 256);
        for (kind, gives_way) in [(DATA, false), (HEADERS, true), (CONTINUATION, true), (0x55, false)] {
            for _ in 0..2 {
                meter.read(&frame(kind, HEADER_BYTES_IN_A_TURN - 1)).unwrap();
                assert!(!meter.gives_way());
                meter.read(&frame(kind, 1)).unwrap();
                assert_eq!(meter.gives_way(), gives_way, "{kind}");
            }
        }
    }

    #[test]
    fn of_many_calls_that_come_at_once_a_few_begin_in_a_turn() {
        let mut meter = FrameMeter::new(connection(), 256);
        let call = [frame(HEADERS, 5), frame(DATA, 30)].concat();
        let said = call.repeat(40);
        let mut at = 0;
        for begun in [16, 32, 40] {
            at += meter.read(&said[at..]).unwrap();
            // What follows the headers of the last one comes with the next ones.
            let expected = if begun < 40 { begun * call.len() - 39 } else { said.len() };
            assert_eq!(at, expected);
            assert_eq!(meter.gives_way(), begun < 40);
        }
    }

    #[test]
    fn one_of_many_does_not_end_the_connection_of_all() {
        let connection = ConnectionHandle::new_of_many(Clock::manual(Timestamp::from_micros(0)));
        let mut meter = FrameMeter::new(connection.clone(), 1);
        let ping = frame(PING, 8);
        assert_eq!(taken(&mut meter, &ping), 16_384);
        // Its clients give calls up at once: that is no fault of the proxy.
        drop(connection.call());
        assert_eq!(taken(&mut meter, &ping), 8);
        connection.clock().advance(Duration::from_millis(100));
        assert_eq!(taken(&mut meter, &ping), 1_000);
        connection.clock().advance(Duration::from_mins(1));
        assert_eq!(taken(&mut meter, &frame(DATA, 1)), 1_000_000);
        assert_eq!(taken(&mut meter, &frame(SETTINGS, 6)), 1_024, "it is bounded all the same");
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_end_is_where_a_frame_begins(
            lengths in proptest::collection::vec((any::<u8>(), 0_usize..300), 0..600),
            cuts in proptest::collection::vec(1_usize..2_000, 1..50),
        ) {
            let mut begins = Vec::new();
            let mut bytes = Vec::new();
            for (kind, length) in lengths {
                begins.push(bytes.len());
                bytes.extend(frame(kind, length));
            }
            let end = |cuts: &mut dyn Iterator<Item = usize>| {
                let mut meter = FrameMeter::new(connection(), 64);
                let mut at = 0;
                while at < bytes.len() {
                    let next = bytes.len().min(at + cuts.next().unwrap_or(usize::MAX - at));
                    match meter.read(&bytes[at..next]) {
                        Ok(read) => at += read,
                        Err(passed) => return Some(at + passed),
                    }
                    meter.gives_way();
                }
                None
            };
            let whole = end(&mut std::iter::empty());
            prop_assert_eq!(end(&mut cuts.iter().copied().cycle()), whole);
            prop_assert!(whole.is_none_or(|end| begins.contains(&end)));
        }
    }
}
