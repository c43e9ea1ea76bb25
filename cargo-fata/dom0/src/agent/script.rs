//! Runs a bash script for the tool: standard input, output and error streamed, exit status told, killed when the tool
//! hangs up.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::{TOKEN_VARIABLE, read_frame, tag};

use super::Peer;

/// How long output may trail behind the script's end; what a daemon it left behind says later is lost.
const TRAILING_OUTPUT: Duration = Duration::from_millis(300);

pub fn run(script: &str, stream: TcpStream, peer: &Peer) -> io::Result<()> {
    let mut child = Command::new("/bin/bash")
        .args(["-c", script])
        .env_remove(TOKEN_VARIABLE)
        .current_dir("/tmp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (sender, drained) = channel();
    forward(child.stdout.take(), tag::STDOUT, peer, sender.clone());
    forward(child.stderr.take(), tag::STDERR, peer, sender);
    let ended = Arc::new(AtomicBool::new(false));
    let receiver = stream.try_clone()?;
    watch_peer(receiver, child.stdin.take(), child.id(), ended.clone());
    let status = finish(&mut child, &drained);
    ended.store(true, Ordering::SeqCst);
    peer.send(tag::EXIT, &exit_code(status?).to_be_bytes())?;
    // Wakes the thread that reads from the tool.
    stream.shutdown(Shutdown::Both)
}

/// Copies a pipe to the tool, and says on `drained` when it has been closed.
fn forward(pipe: Option<impl Read + Send + 'static>, tag: u8, peer: &Peer, drained: Sender<()>) {
    let Some(mut pipe) = pipe else { return };
    let peer = peer.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if peer.send(tag, &buffer[..length]).is_err() {
                break;
            }
        }
        let _ = drained.send(());
    });
}

/// Feeds standard input from the tool, and kills the script's process group if the tool hangs up before it has ended.
fn watch_peer(mut stream: TcpStream, stdin: Option<ChildStdin>, pid: u32, ended: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut stdin = stdin;
        while let Ok(Some((tag, payload))) = read_frame(&mut stream) {
            let open = match (tag, stdin.as_mut()) {
                (tag::DATA, Some(stdin)) => stdin.write_all(&payload).is_ok(),
                _ => false,
            };
            if !open {
                stdin = None;
            }
        }
        if !ended.load(Ordering::SeqCst) {
            // SAFETY: kill(2) touches no memory; the child has not been waited for, so its group's id is not reused.
            unsafe { libc::kill(-(pid as i32), libc::SIGKILL) };
        }
    });
}

fn finish(child: &mut Child, drained: &Receiver<()>) -> io::Result<ExitStatus> {
    let status = child.wait();
    let deadline = Instant::now() + TRAILING_OUTPUT;
    for _pipe in 0..2 {
        let _ = drained.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    status
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
