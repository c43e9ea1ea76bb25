//! Between rustls' connections and ours: what they ask for is done here, so that a session knows neither side's types.
//!
//! rustls without std holds no buffers: it is shown what has come, says what it wants next, and this is done until it wants
//! more input. A server's and a client's connection are behind one trait, so that an image has the code of those alone that
//! it makes.

use crate::names::{Seen, Told};
use crate::preference::is_chacha20_first;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Room for what protects a record: header, explicit nonce, content type, tag.
const OVERHEAD: usize = 64;

/// Where one step's data goes and comes from.
pub(crate) struct Work<'a> {
    /// Plaintext to be sent; none where empty.
    pub(crate) plain: &'a [u8],
    /// Records to be sent, behind those that are there.
    pub(crate) out: &'a mut Vec<u8>,
    /// Takes plaintext that has come.
    pub(crate) deliver: &'a mut dyn FnMut(&[u8]),
}

/// What rustls has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It goes on at once.
    Again,
    /// It put a record into the output.
    Encoded,
    /// It needs another record.
    Blocked,
    /// The handshake is done, and no record is left to look at. All of the plaintext was encrypted.
    Open,
    /// The peer sends no more.
    PeerClosed,
    /// Neither side sends any more.
    Closed,
}

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    Tls(rustls::Error),
    NoMemory,
    KeysExhausted,
}

/// A connection of rustls.
pub(crate) trait Engine {
    /// Looks at `incoming`, does one thing, and says how many octets from its front are done with.
    fn step(&mut self, incoming: &mut [u8], work: &mut Work<'_>) -> (usize, Result<Step, Failure>);

    /// Puts `close_notify` into the output, if all that came was looked at.
    fn close(&mut self, incoming: &mut [u8], out: &mut Vec<u8>);

    /// Sees the first record that comes, before it is looked at.
    fn first(&mut self, _record: &[u8]) {}

    /// What is known of it.
    fn state(&self) -> &CommonState;

    /// What the client's hello says that was just looked at.
    fn told(&mut self) -> Option<Told> {
        None
    }

    /// Whether the peer may have sent more before it hears an alert: a client asks as soon as its handshake is done.
    fn is_asked(&self) -> bool {
        false
    }
}

/// A server's.
pub(crate) struct ServerEngine {
    pub(crate) connection: UnbufferedServerConnection,
    pub(crate) seen: Seen,
    /// For a client whose order of suites counts; none when it is known.
    pub(crate) clients_order: Option<Arc<ServerConfig>>,
}

impl Engine for ServerEngine {
    fn step(&mut self, incoming: &mut [u8], work: &mut Work<'_>) -> (usize, Result<Step, Failure>) {
        step(self.connection.process_tls_records(incoming), work)
    }

    fn close(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        close(self.connection.process_tls_records(incoming), out);
    }

    fn first(&mut self, record: &[u8]) {
        // It has been told nothing yet, so that another can take its place. What is not taken now is not needed any more: a
        // connection is to keep no configuration that was replaced.
        if let Some(config) = self.clients_order.take()
            && is_chacha20_first(record)
            && let Ok(other) = UnbufferedServerConnection::new(config)
        {
            self.connection = other;
        }
    }

    fn state(&self) -> &CommonState {
        &self.connection
    }

    fn told(&mut self) -> Option<Told> {
        self.seen.take()
    }

    fn is_asked(&self) -> bool {
        true
    }
}

/// A client's.
pub(crate) struct ClientEngine(pub(crate) UnbufferedClientConnection);

impl Engine for ClientEngine {
    fn step(&mut self, incoming: &mut [u8], work: &mut Work<'_>) -> (usize, Result<Step, Failure>) {
        step(self.0.process_tls_records(incoming), work)
    }

    fn close(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        close(self.0.process_tls_records(incoming), out);
    }

    fn state(&self) -> &CommonState {
        &self.0
    }
}

fn step<D>(status: UnbufferedStatus<'_, '_, D>, work: &mut Work<'_>) -> (usize, Result<Step, Failure>) {
    let UnbufferedStatus { mut discard, state } = status;
    let state = match state {
        Ok(state) => state,
        Err(error) => return (discard, Err(Failure::Tls(error))),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut result = Ok(Step::Again);
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        (work.deliver)(record.payload);
                    }
                    Err(error) => result = Err(Failure::Tls(error)),
                }
            }
            result
        }
        ConnectionState::EncodeTlsData(mut data) => append(work.out, 0, |room| {
            data.encode(room).map_err(|e| match e {
                EncodeError::InsufficientSize(e) => Retry::Larger(e.required_size),
                EncodeError::AlreadyEncoded => Retry::Over,
            })
        })
        .map(|()| Step::Encoded),
        // Whoever uses this sends the output before anything else.
        ConnectionState::TransmitTlsData(sent) => {
            sent.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(_) if work.plain.is_empty() => Ok(Step::Open),
        ConnectionState::WriteTraffic(mut traffic) => append(work.out, work.plain.len() + OVERHEAD, |room| {
            traffic.encrypt(work.plain, room).map_err(retry)
        })
        .map(|()| Step::Open),
        ConnectionState::BlockedHandshake => Ok(Step::Blocked),
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::Closed => Ok(Step::Closed),
        // Early data is off, and what later versions may ask for nobody knows.
        _ => Err(Failure::Tls(rustls::Error::HandshakeNotComplete)),
    };
    (discard, step)
}

fn close<D>(status: UnbufferedStatus<'_, '_, D>, out: &mut Vec<u8>) {
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
        let _ = append(out, OVERHEAD, |room| traffic.queue_close_notify(room).map_err(retry));
    }
}

enum Retry {
    Larger(usize),
    Over,
}

fn retry(error: EncryptError) -> Retry {
    match error {
        EncryptError::InsufficientSize(e) => Retry::Larger(e.required_size),
        EncryptError::EncryptExhausted => Retry::Over,
    }
}

/// Lets `put` write behind what `out` holds, with room for `size` octets, and for more if it asks.
fn append(
    out: &mut Vec<u8>,
    mut size: usize,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Retry>,
) -> Result<(), Failure> {
    let end = out.len();
    loop {
        out.try_reserve_exact(size).map_err(|_| Failure::NoMemory)?;
        out.resize(end + size, 0);
        let (written, again) = match put(out.get_mut(end..).unwrap_or_default()) {
            Ok(n) => (n, None),
            Err(Retry::Larger(needed)) if needed > size => (0, Some(needed)),
            Err(_) => {
                out.truncate(end);
                return Err(Failure::KeysExhausted);
            }
        };
        out.truncate(end + written);
        match again {
            Some(needed) => size = needed,
            None => return Ok(()),
        }
    }
}
