//! Connects the tool with a guest's console, through the terminal that xenconsoled made for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{read_frame, tag};

use super::Peer;

/// xenconsoled needs a moment to notice a new domain.
const TTY_WAIT: Duration = Duration::from_secs(10);
const POLL_MS: i32 = 100;

pub fn attach(domid: &str, mut stream: TcpStream, peer: &Peer) -> io::Result<()> {
    let domid: u32 = domid.parse().map_err(|_| io::Error::other("not a domain number"))?;
    let path = terminal_of(domid)?;
    let mut terminal = OpenOptions::new().read(true).write(true).open(path)?;
    let output = terminal.try_clone()?;
    let detached = Arc::new(AtomicBool::new(false));
    let (to_tool, flag) = (peer.clone(), detached.clone());
    std::thread::spawn(move || forward_output(output, &to_tool, &flag));
    while let Some((tag::DATA, payload)) = read_frame(&mut stream)? {
        terminal.write_all(&payload)?;
    }
    detached.store(true, Ordering::SeqCst);
    Ok(())
}

/// Sends what the guest prints until the tool detaches or the terminal hangs up, which it does when the domain is gone.
fn forward_output(mut output: File, peer: &Peer, detached: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !detached.load(Ordering::SeqCst) {
        if !is_readable(&output) {
            continue;
        }
        match output.read(&mut buffer) {
            Ok(length @ 1..) if peer.send(tag::DATA, &buffer[..length]).is_ok() => {}
            _ => break,
        }
    }
    let _ = peer.send(tag::END, b"");
}

/// Waits a moment for something to read: a reader left behind would steal it from the next.
fn is_readable(file: &File) -> bool {
    let mut request = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd of an open file.
    unsafe { libc::poll(&mut request, 1, POLL_MS) > 0 }
}

fn terminal_of(domid: u32) -> io::Result<String> {
    let deadline = Instant::now() + TTY_WAIT;
    let key = format!("/local/domain/{domid}/console/tty");
    loop {
        let output = Command::new("xenstore-read").arg(&key).output()?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !path.is_empty() {
            return Ok(path);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{key} does not appear: is xenconsoled running?")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
