//! Owns reading, of the frames of HTTP/2 that a server sends, those that tell how it treats connections: SETTINGS and GOAWAY.

/// The bytes of a frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;

const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// How much is kept of a frame: all settings that there are, and of GOAWAY the reason in words.
const MOST_KEPT: usize = 512;

/// How many bytes are kept of an answer in another protocol.
const MOST_SAID: usize = 64;

/// The setting `SETTINGS_MAX_CONCURRENT_STREAMS`.
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// What was seen of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How many calls may be open at once.
    pub(super) max_streams: Option<u32>,
    /// The last GOAWAY.
    pub(super) goaway: Option<Goaway>,
    /// Whether the other side has closed the connection.
    pub(super) has_ended: bool,
    /// The connection broke, and how.
    pub(super) broken: Option<String>,
    /// The first bytes, if they are none of HTTP/2.
    other: Vec<u8>,
}

/// That the other side takes no more calls on the connection (RFC 9113 section 6.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goaway {
    pub(super) code: u32,
    /// What it says in words.
    pub(super) said: String,
}

/// The frames, as far as they were read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    kept: Vec<u8>,
    /// How much of the present frame is still to come.
    left: usize,
    /// Whether the first frame was one that begins HTTP/2.
    has_begun: bool,
    is_other: bool,
}

impl Seen {
    /// What the other side says in the place of HTTP/2, in words.
    pub(super) fn not_http2(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.other);
        let line = said.lines().next().unwrap_or_default();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

impl Goaway {
    /// Its code, as RFC 9113 section 7 calls it, and its words.
    pub(super) fn described(&self) -> String {
        let name = h2::Reason::from(self.code);
        let said = if self.said.is_empty() { String::new() } else { format!(", {:?}", self.said) };
        format!("GOAWAY ({name:?}{said})")
    }

    /// Whether it ends a connection in good order.
    pub(super) const fn is_orderly(&self) -> bool {
        self.code == 0
    }
}

impl Frames {
    /// Reads on with `bytes`, and notes in `seen` what they say.
    pub(super) fn read(&mut self, mut bytes: &[u8], seen: &mut Seen) {
        while !bytes.is_empty() {
            if self.is_other {
                let room = MOST_SAID.saturating_sub(seen.other.len()).min(bytes.len());
                seen.other.extend_from_slice(&bytes[..room]);
                return;
            }
            if self.head.len() < HEAD {
                let (now, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(now);
                bytes = rest;
                if self.head.len() < HEAD {
                    return;
                }
                if !self.has_begun && self.head[3] != SETTINGS {
                    self.is_other = true;
                    seen.other = std::mem::take(&mut self.head);
                    continue;
                }
                self.has_begun = true;
                self.left = usize::from(self.head[0]) << 16
                    | usize::from(self.head[1]) << 8
                    | usize::from(self.head[2]);
            }
            let (now, rest) = bytes.split_at(bytes.len().min(self.left));
            let room = MOST_KEPT.saturating_sub(self.kept.len()).min(now.len());
            self.kept.extend_from_slice(&now[..room]);
            self.left -= now.len();
            bytes = rest;
            if self.left == 0 {
                note(self.head[3], &self.kept, seen);
                self.head.clear();
                self.kept.clear();
            }
        }
    }
}

/// Notes in `seen` what the frame of this kind says.
fn note(kind: u8, payload: &[u8], seen: &mut Seen) {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
    match kind {
        SETTINGS => {
            for setting in payload.chunks_exact(6) {
                let (id, value) = (u16::from_be_bytes([setting[0], setting[1]]), number(&setting[2..]));
                if id == MAX_CONCURRENT_STREAMS {
                    seen.max_streams = Some(value);
                }
            }
        }
        GOAWAY if payload.len() >= 8 => {
            let said = String::from_utf8_lossy(&payload[8..]).into_owned();
            seen.goaway = Some(Goaway { code: number(&payload[4..8]), said });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of `kind` with `payload`.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn settings_and_goaway_are_seen_however_the_bytes_come() {
        let settings = frame(SETTINGS, &[0, 3, 0, 0, 0, 128, 0, 6, 0, 0, 64, 0]);
        let data = frame(0, &[7; 2_000]);
        let goaway = frame(GOAWAY, &[&[0, 0, 0, 1, 0, 0, 0, 11][..], b"too_many_pings"].concat());
        let all = [settings, data, goaway].concat();
        for step in [1, 5, 9, 10, 1_000, all.len()] {
            let (mut frames, mut seen) = (Frames::default(), Seen::default());
            all.chunks(step).for_each(|bytes| frames.read(bytes, &mut seen));
            assert_eq!(seen.max_streams, Some(128), "{step}");
            let goaway = seen.goaway.clone().expect("a GOAWAY");
            assert_eq!(goaway.described(), "GOAWAY (ENHANCE_YOUR_CALM, \"too_many_pings\")");
            assert!(!goaway.is_orderly() && seen.not_http2().is_none());
        }
    }

    #[test]
    fn what_speaks_something_else_is_quoted() {
        for step in [1, 3, 100] {
            let (mut frames, mut seen) = (Frames::default(), Seen::default());
            b"HTTP/1.1 400 Bad Request\r\nserver: nginx\r\n"
                .chunks(step)
                .for_each(|bytes| frames.read(bytes, &mut seen));
            assert_eq!(seen.not_http2().as_deref(), Some("HTTP/1.1 400 Bad Request"), "{step}");
        }
    }
}
