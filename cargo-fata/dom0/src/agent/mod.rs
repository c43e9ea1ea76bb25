//! The agent in dom0: answers `cargo fata` over TCP (see the crate's documentation for the protocol).
//!
//! On a real dom0, where every local user reaches the loopback interface, it demands a secret that only the tool knows. In
//! the tool's own QEMU, where there is nothing but the tool's guests, it demands none. In a network namespace, which nobody
//! reaches from outside, it takes the socket to listen on from the tool.

pub mod ask;
mod console;
mod files;
mod hold;
mod script;
mod xenctrl;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use crate::{AGENT_PORT, TOKEN_VARIABLE, read_frame, tag, write_frame};

/// The sending half of a connection, shared by the threads that have something to say.
#[derive(Clone)]
struct Peer(Arc<Mutex<TcpStream>>);

impl Peer {
    fn send(&self, tag: u8, payload: &[u8]) -> io::Result<()> {
        let mut stream = self.0.lock().map_err(|_| io::Error::other("a thread died while sending"))?;
        write_frame(&mut *stream, tag, payload)
    }
}

/// The program `fata-dom0 [ADDRESS:PORT]`; port 0 takes a free one, and the first line of output says which. `-` is the socket
/// that is the standard input. `hold ...` and `ask ...` are tools of the tests instead: one holds connections open (`hold.rs`), the
/// other counts what becomes of requests ([`ask`]).
///
/// # Errors
/// Where it cannot listen there. Otherwise it does not end.
pub fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("hold", rest)) => return hold::main(rest),
        Some(("ask", rest)) => return ask::main(rest),
        _ => {}
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| format!("0.0.0.0:{AGENT_PORT}"));
    let token: Option<Arc<str>> = std::env::var(TOKEN_VARIABLE).ok().map(Into::into);
    let listener = match address.as_str() {
        "-" => TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?),
        address => TcpListener::bind(address)?,
    };
    println!("{}", listener.local_addr()?);
    for connection in listener.incoming() {
        let Ok(stream) = connection else { continue };
        let token = token.clone();
        std::thread::spawn(move || serve(stream, token.as_deref()));
    }
    Ok(())
}

fn serve(stream: TcpStream, token: Option<&str>) {
    // Small answers to small questions: waiting to fill a segment would only cost time.
    let _ = stream.set_nodelay(true);
    let Ok(writer) = stream.try_clone() else { return };
    let peer = Peer(Arc::new(Mutex::new(writer)));
    if let Err(error) = answer(stream, &peer, token) {
        let _ = peer.send(tag::ERROR, error.to_string().as_bytes());
    }
}

fn answer(mut stream: TcpStream, peer: &Peer, token: Option<&str>) -> io::Result<()> {
    if let Some(token) = token {
        let first = read_frame(&mut stream)?;
        if !first.is_some_and(|(tag, payload)| tag == tag::TOKEN && is_same(&payload, token.as_bytes())) {
            return Err(io::Error::other("the tool did not give the agent's token"));
        }
    }
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

/// Takes as long wherever they differ.
fn is_same(given: &[u8], secret: &[u8]) -> bool {
    given.len() == secret.len() && given.iter().zip(secret).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the agent answers first to these frames.
    fn answered(frames: &[(u8, &[u8])]) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tool = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (agent, _) = listener.accept().unwrap();
        for (tag, payload) in frames {
            write_frame(&mut tool, *tag, payload).unwrap();
        }
        serve(agent, Some("secret"));
        read_frame(&mut tool).unwrap().unwrap().0
    }

    #[test]
    fn only_who_knows_the_token_is_served() {
        assert_eq!(answered(&[(tag::TOKEN, b"secret"), (tag::PING, b"")]), tag::END);
        assert_eq!(answered(&[(tag::TOKEN, b"secreT")]), tag::ERROR);
        assert_eq!(answered(&[(tag::PING, b"")]), tag::ERROR);
    }
}
