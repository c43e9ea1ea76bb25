//! A connection without its stream: what came is put in, what is to be sent is taken out.

use crate::engine::{Engine, Failure, Step, Work};
use crate::{Alert, Error, Limits, Stats};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::time::Instant;

/// Octets of handshake messages that may wait for their rest after the handshake: none has a reason to be this long.
const MAX_WAITING: usize = 16 * 1024;
/// The longest fragment of a record, octets (RFC 8446 section 5.1).
const MAX_FRAGMENT: usize = 1 << 14;
/// The first message of a client (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
/// TLS 1.2 is 3.3.
const TLS12_MINOR: u8 = 3;
/// Types of records (RFC 8446 section 5.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// The type of what is encrypted in TLS 1.3.
const APPLICATION_DATA: u8 = 23;
/// The length that an encrypted alert has, and nothing else that rustls queues: level, description, content type, tag.
const ENCRYPTED_ALERT: u16 = 2 + 1 + 16;

/// What the connections of an acceptor or a connector share.
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) stats: Rc<Stats>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshake,
    Open,
}

/// See the module.
pub(crate) struct Session {
    engine: Box<dyn Engine>,
    pub(crate) common: Rc<Common>,
    phase: Phase,
    failed: Option<Error>,
    pub(crate) deadline: Option<Instant>,
    server_name: Option<String>,
    /// Handshake messages of which a part is missing: what rustls has to be shown again.
    waiting: Vec<u8>,
    /// What the peer sent before the handshake's end, octets.
    handshake_octets: usize,
    /// Plaintext that nobody has taken yet; what is before `taken` is.
    plain: Vec<u8>,
    taken: usize,
    /// Records to be sent.
    out: Vec<u8>,
    has_begun: bool,
    /// Whether what is sent is encrypted.
    is_encrypting: bool,
    peer_closed: bool,
    closed: bool,
}

impl Session {
    pub(crate) fn new(engine: Box<dyn Engine>, common: Rc<Common>) -> Self {
        common.stats.started.add(1);
        Self {
            engine,
            common,
            phase: Phase::Handshake,
            failed: None,
            deadline: None,
            server_name: None,
            waiting: Vec::new(),
            handshake_octets: 0,
            plain: Vec::new(),
            taken: 0,
            out: Vec::new(),
            has_begun: false,
            is_encrypting: false,
            peer_closed: false,
            closed: false,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn state(&self) -> &rustls::CommonState {
        self.engine.state()
    }

    /// The name that the client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Why it has ended, if it has.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Whether the peer said that it sends no more.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Lets rustls begin, before anything has come: a client speaks first.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        match core::mem::replace(&mut self.has_begun, true) {
            true => self.check(),
            false => self.receive(Vec::new(), &mut []).map(|_| ()),
        }
    }

    /// Takes a record that came. What it says goes into `buf`, from its front on, and what does not fit is kept; gives how
    /// many octets are in `buf`.
    pub(crate) fn receive(&mut self, record: Vec<u8>, buf: &mut [u8]) -> Result<usize, Error> {
        self.check()?;
        if self.phase == Phase::Handshake {
            self.handshake_octets = self.handshake_octets.saturating_add(record.len());
            if self.handshake_octets > self.common.limits.handshake_octets {
                return Err(
                    self.fail_with(Error::TooMuch(self.common.limits.handshake_octets), Alert::DECODE_ERROR)
                );
            }
        }
        if !self.is_encrypting
            && let Err((error, alert)) = check_plain(&record)
        {
            return Err(self.fail_with(error.into(), alert));
        }
        let mut incoming = core::mem::take(&mut self.waiting);
        match incoming.is_empty() {
            true => incoming = record,
            false if incoming.try_reserve(record.len()).is_err() => {
                return Err(self.fail_with(Error::NoMemory, Alert::INTERNAL_ERROR));
            }
            false => incoming.extend_from_slice(&record),
        }
        let mut filled = 0;
        let result = self.work(&mut incoming, &[], buf, &mut filled);
        if self.phase == Phase::Open && incoming.len() > MAX_WAITING && result.is_ok() {
            return Err(self.fail_with(Error::TooMuch(MAX_WAITING), Alert::DECODE_ERROR));
        }
        self.waiting = incoming;
        self.common.stats.received.add(filled as u64);
        result.map(|()| filled)
    }

    /// Encrypts as much of `plain` as one record takes; gives how much that is.
    pub(crate) fn send(&mut self, plain: &[u8]) -> Result<usize, Error> {
        self.check()?;
        if self.closed {
            return Err(Error::Closed);
        }
        let most = self.common.limits.record_size.clamp(1, MAX_FRAGMENT);
        let plain = plain.get(..most).unwrap_or(plain);
        let mut waiting = core::mem::take(&mut self.waiting);
        let result = self.work(&mut waiting, plain, &mut [], &mut 0);
        self.waiting = waiting;
        result?;
        self.common.stats.sent.add(plain.len() as u64);
        Ok(plain.len())
    }

    /// Says to the peer that nothing more will be sent. Does nothing the second time, or before the handshake's end.
    pub(crate) fn close(&mut self) {
        if self.closed || self.failed.is_some() || self.phase == Phase::Handshake {
            return;
        }
        self.closed = true;
        // What has to go before it.
        let mut waiting = core::mem::take(&mut self.waiting);
        if self.work(&mut waiting, &[], &mut [], &mut 0).is_ok() {
            self.engine.close(&mut waiting, &mut self.out);
        }
        self.waiting = waiting;
    }

    /// Steps until rustls wants another record, or the plaintext is encrypted.
    fn work(
        &mut self,
        incoming: &mut Vec<u8>,
        plain: &[u8],
        buf: &mut [u8],
        filled: &mut usize,
    ) -> Result<(), Error> {
        loop {
            let (kept, before) = (&mut self.plain, self.out.len());
            let mut work = Work {
                plain,
                out: &mut self.out,
                deliver: &mut |octets: &[u8]| {
                    let room = buf.get_mut(*filled..).unwrap_or_default();
                    let (now, later) = octets.split_at(room.len().min(octets.len()));
                    if let Some(room) = room.get_mut(..now.len()) {
                        room.copy_from_slice(now);
                    }
                    *filled += now.len();
                    kept.extend_from_slice(later);
                },
            };
            let (discard, step) = self.engine.step(incoming, &mut work);
            self.note_output(before);
            // Each time: after a HelloRetryRequest it is told again, and what is not taken would be the next connection's.
            if let Some(name) = self.engine.server_name() {
                self.server_name = Some(name);
            }
            discard_front(incoming, discard);
            match step {
                Err(failure) => return Err(self.fail(failure, incoming)),
                Ok(Step::Again | Step::Encoded) => {}
                Ok(Step::PeerClosed) => self.peer_closed = true,
                Ok(Step::Blocked) => return Ok(()),
                Ok(Step::Open | Step::Closed) => {
                    self.opened();
                    return Ok(());
                }
            }
        }
    }

    /// Looks at a record that rustls has put behind what was there.
    fn note_output(&mut self, before: usize) {
        self.is_encrypting |= self.out.get(before).is_some_and(|kind| !matches!(*kind, HANDSHAKE | ALERT));
    }

    fn opened(&mut self) {
        if self.phase == Phase::Open || self.engine.state().is_handshaking() {
            return;
        }
        self.phase = Phase::Open;
        match self.engine.state().handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => self.common.stats.resumed.add(1),
            _ => self.common.stats.full.add(1),
        }
        // Over the connection of a challenge nothing is said (RFC 8737 section 3).
        #[cfg(feature = "issue")]
        if self.engine.state().alpn_protocol() == Some(crate::challenge::PROTOCOL.as_bytes()) {
            self.peer_closed = true;
        }
    }

    /// Ends it because of what rustls says, with the alert that goes with it in the output.
    fn fail(&mut self, failure: Failure, incoming: &mut Vec<u8>) -> Error {
        let error = match failure {
            Failure::NoMemory => return self.fail_with(Error::NoMemory, Alert::INTERNAL_ERROR),
            Failure::KeysExhausted => return self.end(Error::KeysExhausted),
            Failure::Tls(error) => error,
        };
        if self.take_alert(incoming) {
            self.common.stats.alerts_sent.add(1);
            return self.end(error.into());
        }
        let alert = match &error {
            rustls::Error::AlertReceived(_) => return self.end(error.into()),
            rustls::Error::InvalidMessage(_) => Alert::DECODE_ERROR,
            rustls::Error::PeerMisbehaved(_) => Alert::UNEXPECTED_MESSAGE,
            rustls::Error::PeerIncompatible(_) => Alert::HANDSHAKE_FAILURE,
            _ => Alert::INTERNAL_ERROR,
        };
        self.fail_with(error.into(), alert)
    }

    /// Puts what rustls still wants to say into the output: true if that ends with an alert. It must not be asked once more
    /// after the alert, as it would look at what came again.
    fn take_alert(&mut self, incoming: &mut Vec<u8>) -> bool {
        loop {
            let before = self.out.len();
            let mut work = Work { plain: &[], out: &mut self.out, deliver: &mut |_| {} };
            let (discard, step) = self.engine.step(incoming, &mut work);
            discard_front(incoming, discard);
            let Ok(Step::Encoded) = step else { return false };
            self.note_output(before);
            if self.out.get(before..).is_some_and(is_alert) {
                return true;
            }
        }
    }

    /// Ends it for a reason that rustls has no alert for. Only before keys are in use can we say one ourselves.
    fn fail_with(&mut self, error: Error, alert: Alert) -> Error {
        if !self.is_encrypting && self.phase == Phase::Handshake {
            self.out.extend_from_slice(&[ALERT, 3, 3, 0, 2, 2, alert.0]);
            self.common.stats.alerts_sent.add(1);
        }
        self.end(error)
    }

    /// Ends it. The first reason counts.
    pub(crate) fn end(&mut self, error: Error) -> Error {
        if let Some(first) = &self.failed {
            return first.clone();
        }
        self.common.stats.count(&error, self.phase == Phase::Handshake);
        (self.plain, self.waiting) = (Vec::new(), Vec::new());
        self.failed = Some(error.clone());
        error
    }

    /// Takes of the plaintext that was kept.
    pub(crate) fn take_plain(&mut self, buf: &mut [u8]) -> usize {
        let kept = self.plain.get(self.taken..).unwrap_or_default();
        let n = kept.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), kept.get(..n)) {
            to.copy_from_slice(from);
        }
        self.taken += n;
        self.common.stats.received.add(n as u64);
        if self.taken >= self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
        n
    }

    /// Whether there is plaintext to be taken.
    pub(crate) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Whether there is something to be sent.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Takes what is to be sent.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }
}

/// Looks at a record in plain text for what rustls has another alert for than the RFCs, or none.
fn check_plain(record: &[u8]) -> Result<(), (rustls::Error, Alert)> {
    match *record {
        // "If a TLS implementation receives an unexpected record type" (RFC 8446 section 5): other protocols, above all.
        [kind, ..] if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) => {
            Err((rustls::InvalidMessage::InvalidContentType.into(), Alert::UNEXPECTED_MESSAGE))
        }
        // Fragments that are encrypted are longer, and rustls looks at those.
        [kind, 3, _, high, low, ..]
            if kind < APPLICATION_DATA && usize::from(u16::from_be_bytes([high, low])) > MAX_FRAGMENT =>
        {
            Err((rustls::Error::PeerSentOversizedRecord, Alert::RECORD_OVERFLOW))
        }
        // A client that says less than TLS 1.2 in its hello has nothing later (RFC 8446 appendix D.1).
        [HANDSHAKE, _, _, _, _, CLIENT_HELLO, _, _, _, 3, minor, ..] if minor < TLS12_MINOR => {
            Err((rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into(), Alert::PROTOCOL_VERSION))
        }
        _ => Ok(()),
    }
}

/// Whether a record that rustls has put out is an alert.
fn is_alert(record: &[u8]) -> bool {
    match *record {
        [ALERT, ..] => true,
        [APPLICATION_DATA, _, _, high, low, ..] => u16::from_be_bytes([high, low]) == ENCRYPTED_ALERT,
        _ => false,
    }
}

fn discard_front(octets: &mut Vec<u8>, n: usize) {
    if n >= octets.len() {
        *octets = Vec::new();
    } else if n > 0 {
        octets.drain(..n);
    }
}
