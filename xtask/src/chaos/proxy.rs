//! The wire of one node: it passes bytes on, slowly or not at all, or swallows the answers to what was done.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const CUT: u64 = u64::MAX;
const SWALLOW: u64 = u64::MAX - 1;

/// What the wire does to bytes, changed at any time.
#[derive(Clone)]
pub struct Wire {
    pub port: u16,
    /// Milliseconds of delay each way, or one of the constants.
    mode: Arc<AtomicU64>,
}

impl Wire {
    pub fn to(target: u16) -> Result<Wire> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let wire = Wire { port: listener.local_addr()?.port(), mode: Arc::default() };
        let mode = wire.mode.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if mode.load(Relaxed) == CUT {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                join(near, far, &mode);
            }
        });
        Ok(wire)
    }

    pub fn pass(&self) {
        self.mode.store(0, Relaxed);
    }

    pub fn delay(&self, milliseconds: u64) {
        self.mode.store(milliseconds, Relaxed);
    }

    /// Open connections end, new ones are closed at once.
    pub fn cut(&self) {
        self.mode.store(CUT, Relaxed);
    }

    /// What is asked is done, the answer never comes.
    pub fn swallow_replies(&self) {
        self.mode.store(SWALLOW, Relaxed);
    }
}

fn join(near: TcpStream, far: TcpStream, mode: &Arc<AtomicU64>) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let (there, back) = (mode.clone(), mode.clone());
    std::thread::spawn(move || copy(near, far, &there, false));
    std::thread::spawn(move || copy(far_too, near_too, &back, true));
}

fn copy(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU64, is_reply: bool) {
    let _ = from.set_read_timeout(Some(LOOK_EVERY));
    let mut buffer = [0; 16 << 10];
    let mut swallowed = false;
    loop {
        let read = from.read(&mut buffer);
        let mode = mode.load(Relaxed);
        // A stream with a hole in it must not go on.
        if mode == CUT || (swallowed && mode != SWALLOW) {
            break;
        }
        match read {
            Ok(0) => break,
            Ok(_) if is_reply && mode == SWALLOW => swallowed = true,
            Ok(length) => {
                if mode > 0 && mode != SWALLOW {
                    std::thread::sleep(Duration::from_millis(mode));
                }
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
