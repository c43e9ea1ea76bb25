//! The agent in dom0: answers `cargo fata` over TCP (see the library part for the protocol).
//!
//! It has no authentication: it listens where only the tool's own QEMU, or the loopback interface of a dom0, reaches it.

mod console;
mod files;
mod script;
mod xenctrl;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use fata_dom0::{AGENT_PORT, read_frame, tag, write_frame};

/// The sending half of a connection, shared by the threads that have something to say.
#[derive(Clone)]
struct Peer(Arc<Mutex<TcpStream>>);

impl Peer {
    fn send(&self, tag: u8, payload: &[u8]) -> io::Result<()> {
        let mut stream = self.0.lock().map_err(|_| io::Error::other("a thread died while sending"))?;
        write_frame(&mut *stream, tag, payload)
    }
}

/// `fata-dom0 [ADDRESS:PORT]`; port 0 takes a free one, and the first line of output says which.
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| format!("0.0.0.0:{AGENT_PORT}"));
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    for connection in listener.incoming() {
        let Ok(stream) = connection else { continue };
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(stream: TcpStream) {
    // Small answers to small questions: waiting to fill a segment would only cost time.
    let _ = stream.set_nodelay(true);
    let Ok(writer) = stream.try_clone() else { return };
    let peer = Peer(Arc::new(Mutex::new(writer)));
    if let Err(error) = answer(stream, &peer) {
        let _ = peer.send(tag::ERROR, error.to_string().as_bytes());
    }
}

fn answer(mut stream: TcpStream, peer: &Peer) -> io::Result<()> {
    let Some((request, payload)) = read_frame(&mut stream)? else { return Ok(()) };
    let text = String::from_utf8(payload).map_err(|_| io::Error::other("the request is not UTF-8"))?;
    match request {
        tag::PING => peer.send(tag::END, b""),
        tag::RUN => script::run(&text, stream, peer),
        tag::PUT => files::put(&text, stream, peer),
        tag::GET => files::get(&text, peer),
        tag::FOLLOW => files::follow(&text, stream, peer),
        tag::CONSOLE => console::attach(&text, stream, peer),
        tag::DOMAINS => xenctrl::domains(peer),
        other => Err(io::Error::other(format!("no such request: {:?}", char::from(other)))),
    }
}
