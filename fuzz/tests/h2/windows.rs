//! Flow control as RFC 9113 section 5.2 has it, beside a connection: what each side may send, of what both have said.

use crate::client::{DATA, END, Heard, PREFACE, SETTINGS, WINDOW_UPDATE};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const INITIAL_WINDOW: u64 = 65_535;
/// SETTINGS_INITIAL_WINDOW_SIZE.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Octets in one direction, and what was granted for them beside the window that there is at the beginning.
#[derive(Default)]
struct Flow {
    octets: u64,
    granted: u64,
}

/// Both directions of a stream, or of the connection.
#[derive(Default)]
struct Flows {
    to_server: Flow,
    from_server: Flow,
}

/// All windows of a connection, as its client sees them.
pub struct Windows {
    /// What the client has sent and is no whole frame yet.
    unread: Vec<u8>,
    preface_left: usize,
    connection: Flows,
    streams: BTreeMap<u32, Flows>,
    /// The window of the server's streams: as it was acknowledged, and what was asked for behind that.
    acknowledged: u64,
    asked: VecDeque<Option<u64>>,
    /// The window of the client's streams.
    of_client: u64,
}

impl Windows {
    pub fn new() -> Self {
        Self {
            unread: Vec::new(),
            preface_left: PREFACE.len(),
            connection: Flows::default(),
            streams: BTreeMap::new(),
            acknowledged: INITIAL_WINDOW,
            asked: VecDeque::new(),
            of_client: INITIAL_WINDOW,
        }
    }

    /// The client sends these octets, whatever they are: they are frames, or the end of the connection.
    pub fn send(&mut self, octets: &[u8]) {
        let preface = self.preface_left.min(octets.len());
        self.preface_left -= preface;
        self.unread.extend_from_slice(&octets[preface..]);
        while let Some(header) = self.unread.get(..9) {
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let (kind, flags) = (header[3], header[4]);
            let stream = word(&header[5..]) & 0x7fff_ffff;
            let Some(payload) = self.unread.get(9..9 + len).map(<[u8]>::to_vec) else { return };
            self.unread.drain(..9 + len);
            match kind {
                DATA => {
                    self.connection.to_server.octets += len as u64;
                    self.streams.entry(stream).or_default().to_server.octets += len as u64;
                }
                SETTINGS if flags & END == 0 => self.asked.push_back(initial_window(&payload)),
                WINDOW_UPDATE => {
                    let more = u64::from(word(&payload) & 0x7fff_ffff);
                    match stream {
                        0 => self.connection.from_server.granted += more,
                        _ => self.streams.entry(stream).or_default().from_server.granted += more,
                    }
                }
                _ => {}
            }
        }
    }

    /// A frame of the server's has come.
    ///
    /// # Panics
    /// Where it is more than the client lets it send.
    pub fn hear(&mut self, frame: &Heard) {
        let (stream, len) = (frame.stream, frame.payload.len() as u64);
        match frame.kind {
            DATA if len > 0 => {
                // What was asked for and not acknowledged may be so already, or not.
                let initial = self.asked.iter().copied().flatten().fold(self.acknowledged, u64::max);
                let of_stream = self.streams.entry(stream).or_default();
                for (flow, window, whose) in [
                    (&mut of_stream.from_server, initial, "the stream"),
                    (&mut self.connection.from_server, INITIAL_WINDOW, "the connection"),
                ] {
                    flow.octets += len;
                    let most = window + flow.granted;
                    assert!(
                        flow.octets <= most,
                        "DATA {stream}: {} octets of {most} of {whose}",
                        flow.octets
                    );
                }
            }
            SETTINGS if frame.flags & END != 0 => {
                let asked = self.asked.pop_front().expect("an acknowledgement of nothing");
                self.acknowledged = asked.unwrap_or(self.acknowledged);
            }
            SETTINGS => self.of_client = initial_window(&frame.payload).unwrap_or(self.of_client),
            WINDOW_UPDATE => {
                let more = u64::from(word(&frame.payload) & 0x7fff_ffff);
                assert!(more > 0, "an update of nothing");
                match stream {
                    0 => self.connection.to_server.granted += more,
                    _ => self.streams.entry(stream).or_default().to_server.granted += more,
                }
            }
            _ => {}
        }
    }

    /// What the client has sent above a window must have ended its stream, or the connection.
    ///
    /// # Panics
    /// Where it has not.
    pub fn check(&self, ended: &BTreeSet<u32>) {
        let Flow { octets, granted } = &self.connection.to_server;
        assert!(*octets <= INITIAL_WINDOW + granted, "{octets} octets, {granted} granted, and no GOAWAY");
        for (stream, Flows { to_server: Flow { octets, granted }, .. }) in &self.streams {
            let most = self.of_client + granted;
            assert!(
                *octets <= most || ended.contains(stream),
                "{stream}: {octets} octets of {most}, and no end"
            );
        }
    }
}

fn word(octets: &[u8]) -> u32 {
    octets.get(..4).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// What settings say of it: the last one counts.
fn initial_window(payload: &[u8]) -> Option<u64> {
    let mut windows = payload.chunks_exact(6).filter(|one| one[..2] == INITIAL_WINDOW_SIZE.to_be_bytes());
    windows.next_back().map(|one| word(&one[2..]).into())
}
