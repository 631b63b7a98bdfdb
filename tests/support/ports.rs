//! Owns the ports that a test names before anybody listens on them, or once more after somebody did.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// The kernel gives out none of these by itself, neither to a listener on port 0 nor to a connection: Linux begins at 32,768,
/// others at 49,152. So nobody takes one while its server restarts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static TRIED: AtomicU16 = AtomicU16::new(0);

/// An address of 127.0.0.1 that nobody listens on, another one at each call.
pub(crate) fn free_addr() -> SocketAddr {
    // Test binaries that run side by side begin at different places.
    let begin = process::id() % u32::from(COUNT) * 101;
    for _ in 0..COUNT {
        let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from((begin + tried) % u32::from(COUNT)).expect("it is below COUNT");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("there is a free port of {COUNT}");
}
