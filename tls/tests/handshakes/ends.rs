//! Two ends of a connection in memory, over rustls' unbuffered interface, which is the one that lives without std.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{CipherSuite, ClientConfig, Error, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};
use std::sync::Arc;

/// What two ends agreed on.
#[derive(Debug, PartialEq)]
pub struct Agreed {
    pub version: ProtocolVersion,
    pub suite: CipherSuite,
    pub group: Option<NamedGroup>,
    pub kind: HandshakeKind,
}

/// What goes from one end to the other, and what one end has read of it.
#[derive(Default)]
struct Pipe {
    records: Vec<u8>,
    read: Vec<u8>,
}

/// Shakes hands, sends `text` there and back, and says what the server saw.
pub fn talk(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, text: &[u8]) -> Result<Agreed, Error> {
    let mut client =
        UnbufferedClientConnection::new(client.clone(), ServerName::try_from("localhost").unwrap())?;
    let mut server = UnbufferedServerConnection::new(server.clone())?;
    let (mut there, mut back) = (Pipe::default(), Pipe::default());
    let (mut question, mut answer) = (text.to_vec(), Vec::new());
    // Each pass does what both ends have to do; a handshake takes about ten.
    for _ in 0..200 {
        let mut incoming = std::mem::take(&mut back.records);
        let used = step(
            client.process_tls_records(&mut incoming),
            &mut question,
            &mut there.records,
            &mut back.read,
        )?;
        back.records = incoming.split_off(used);

        let mut incoming = std::mem::take(&mut there.records);
        let used =
            step(server.process_tls_records(&mut incoming), &mut answer, &mut back.records, &mut there.read)?;
        there.records = incoming.split_off(used);

        answer.append(&mut there.read);
        if back.read.len() == text.len() {
            assert_eq!(back.read, text);
            return Ok(Agreed {
                version: server.protocol_version().unwrap(),
                suite: server.negotiated_cipher_suite().unwrap().suite(),
                group: server.negotiated_key_exchange_group().map(|group| group.name()),
                kind: server.handshake_kind().unwrap(),
            });
        }
    }
    panic!("the ends wait for each other");
}

/// Does what one end wants next, and gives the number of octets that it has read.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    to_send: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
    read: &mut Vec<u8>,
) -> Result<usize, Error> {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let mut buffer = vec![0; 32 * 1024];
    match state? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                discard += record.discard;
                read.extend_from_slice(record.payload);
            }
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let len = data.encode(&mut buffer).expect("a flight of the handshake is shorter than this");
            outgoing.extend_from_slice(&buffer[..len]);
        }
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::WriteTraffic(mut traffic) if !to_send.is_empty() => {
            let len =
                traffic.encrypt(to_send, &mut buffer).expect("two records and what they have around them");
            outgoing.extend_from_slice(&buffer[..len]);
            to_send.clear();
        }
        _ => {}
    }
    Ok(discard)
}
