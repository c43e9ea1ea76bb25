//! Files to and from the tool.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{read_frame, tag};

use super::Peer;

const FOLLOW_PERIOD: Duration = Duration::from_millis(20);

/// Writes `path`, making its folders; executable, for scripts are files too.
pub fn put(path: &str, mut stream: TcpStream, peer: &Peer) -> io::Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path)?;
    loop {
        match read_frame(&mut stream)? {
            Some((tag::DATA, payload)) => file.write_all(&payload)?,
            Some((tag::END, _)) => return peer.send(tag::END, b""),
            _ => return Err(io::Error::other("the file was cut off")),
        }
    }
}

pub fn get(path: &str, peer: &Peer) -> io::Result<()> {
    copy_rest(&mut File::open(path)?, peer)?;
    peer.send(tag::END, b"")
}

/// Sends `path` as it grows until the tool hangs up; waits for it to appear first.
pub fn follow(path: &str, stream: TcpStream, peer: &Peer) -> io::Result<()> {
    let gone = hang_up_flag(stream);
    let mut file = None;
    while !gone.load(Ordering::SeqCst) {
        match &mut file {
            None => file = File::open(path).ok(),
            Some(file) => copy_rest(file, peer)?,
        }
        std::thread::sleep(FOLLOW_PERIOD);
    }
    Ok(())
}

fn copy_rest(file: &mut File, peer: &Peer) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        peer.send(tag::DATA, &buffer[..length])?;
    }
}

/// A flag that is set once the tool has closed the connection.
fn hang_up_flag(mut stream: TcpStream) -> Arc<AtomicBool> {
    let gone = Arc::new(AtomicBool::new(false));
    let flag = gone.clone();
    std::thread::spawn(move || {
        while let Ok(Some(_)) = read_frame(&mut stream) {}
        flag.store(true, Ordering::SeqCst);
    });
    gone
}
