//! Owns writing HTTP/2 by hand (RFC 9113): what no library would send.

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

/// A frame of HTTP/2 (RFC 9113 section 4.1).
pub(super) fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client says first.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE, &http2_frame(SETTINGS, 0, 0, b"")].concat()
}

/// The header block of a gRPC request for `path`, in HPACK without tables or Huffman (RFC 7541).
pub(super) fn header_block(path: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let mut block = vec![0x83, 0x86, 0x04, length(path)];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(&[0x01, 1, b'x']);
    block.extend_from_slice(&[0x0f, 0x10, length("application/grpc")]);
    block.extend_from_slice(b"application/grpc");
    block
}
