//! A connection without its stream: what came is put in, what is to be sent is taken out.

use crate::engine::{Engine, Failure, Step, Work};
use crate::{Alert, Error, Limits, Stats, memory};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use fata_libos::time::Instant;

/// Octets of handshake messages that may wait for their rest after the handshake: none has a reason to be this long.
const MAX_WAITING: usize = 16 * 1024;
/// What a record of a handshake counts for at least, octets: rustls keeps a note of each that is a part of a message.
const LEAST: usize = 256;
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
    limits: Limits,
    stats: Rc<Stats>,
    /// Handshakes that are not done.
    handshakes: Cell<usize>,
}

impl Common {
    pub(crate) fn new(limits: Limits, stats: Rc<Stats>) -> Self {
        Self { limits, stats, handshakes: Cell::default() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A handshake that is not done, which counts as long as this is there.
pub(crate) struct Handshaking(Rc<Common>);

impl Handshaking {
    /// One more, if there may be one and there is memory for it.
    pub(crate) fn begin(common: &Rc<Common>) -> Result<Self, Error> {
        let (now, most) = (common.handshakes.get(), common.limits.handshakes);
        let refused = if now >= most {
            Error::TooManyHandshakes(most)
        } else if !memory::is_free(Phase::Handshake, memory::BEGINNING) {
            Error::NoMemory
        } else {
            common.handshakes.set(now + 1);
            return Ok(Self(common.clone()));
        };
        common.stats.turned_away.add(1);
        Err(refused)
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
    }
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
    handshaking: Option<Handshaking>,
    failed: Option<Error>,
    /// Why nothing can be sent any more, though what comes is heard.
    unsendable: Option<Error>,
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
    pub(crate) fn new(engine: Box<dyn Engine>, handshaking: Handshaking) -> Self {
        let common = handshaking.0.clone();
        common.stats.started.add(1);
        Self {
            engine,
            common,
            phase: Phase::Handshake,
            handshaking: Some(handshaking),
            failed: None,
            unsendable: None,
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

    /// Why nothing can be sent, if that is so.
    pub(crate) fn check_sending(&self) -> Result<(), Error> {
        self.check()?;
        self.unsendable.clone().map_or(Ok(()), Err)
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
        let is_first = self.handshake_octets == 0;
        if self.phase == Phase::Handshake && !record.is_empty() {
            self.handshake_octets = self.handshake_octets.saturating_add(record.len().max(LEAST));
            if self.handshake_octets > self.common.limits.handshake_octets {
                return Err(
                    self.fail_with(Error::TooMuch(self.common.limits.handshake_octets), Alert::DECODE_ERROR)
                );
            }
        }
        if !self.is_encrypting
            && let Err((error, alert)) = check_plain(&record, is_first)
        {
            return Err(self.fail_with(error.into(), alert));
        }
        let mut incoming = core::mem::take(&mut self.waiting);
        if !memory::is_free(self.phase, self.to_be_taken(incoming.len() + record.len())) {
            return Err(self.no_memory());
        }
        match incoming.is_empty() {
            true => incoming = record,
            false if incoming.try_reserve_exact(record.len()).is_err() => return Err(self.no_memory()),
            false => incoming.extend_from_slice(&record),
        }
        let mut filled = 0;
        let result = self.work(&mut incoming, &[], buf, &mut filled);
        if self.phase == Phase::Open && incoming.len() > MAX_WAITING && result.is_ok() {
            return Err(self.fail_with(Error::TooMuch(MAX_WAITING), Alert::DECODE_ERROR));
        }
        self.waiting = incoming;
        self.common.stats.received.add(filled as u64);
        match result {
            // What came before the error is its reader's; the error comes next.
            Err(_) if filled > 0 => Ok(filled),
            result => result.map(|()| filled),
        }
    }

    /// What looking at so many octets takes at most, octets: rustls copies what it finds there, and we what nobody takes at once.
    fn to_be_taken(&self, octets: usize) -> usize {
        match self.phase {
            Phase::Handshake => memory::ANSWER + 3 * octets,
            Phase::Open => 2 * octets,
        }
    }

    /// Ends it because there is no memory.
    pub(crate) fn no_memory(&mut self) -> Error {
        self.fail_with(Error::NoMemory, Alert::INTERNAL_ERROR)
    }

    /// Encrypts as much of `plain` as one record takes; gives how much that is.
    pub(crate) fn send(&mut self, plain: &[u8]) -> Result<usize, Error> {
        self.check_sending()?;
        if self.closed {
            return Err(Error::Closed);
        }
        let most = self.common.limits.record_size.clamp(1, MAX_FRAGMENT);
        let plain = plain.get(..most).unwrap_or(plain);
        if !memory::is_free(self.phase, 2 * plain.len()) {
            return Err(self.no_memory());
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        let result = self.work(&mut waiting, plain, &mut [], &mut 0);
        self.waiting = waiting;
        result?;
        self.common.stats.sent.add(plain.len() as u64);
        Ok(plain.len())
    }

    /// Says to the peer that nothing more will be sent. Does nothing the second time, or before the handshake's end.
    pub(crate) fn close(&mut self) {
        if self.closed || self.check_sending().is_err() || self.phase == Phase::Handshake {
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
            let (kept, before, mut is_short) = (&mut self.plain, self.out.len(), false);
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
                    match kept.try_reserve_exact(later.len()) {
                        Ok(()) => kept.extend_from_slice(later),
                        Err(_) => is_short = true,
                    }
                },
            };
            let (discard, step) = self.engine.step(incoming, &mut work);
            self.note_output(before);
            // Each time: after a HelloRetryRequest it is told again, and what is not taken would be the next connection's.
            if let Some(name) = self.engine.server_name() {
                self.server_name = Some(name);
            }
            discard_front(incoming, discard);
            if is_short {
                return Err(self.no_memory());
            }
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
        self.is_encrypting |= match self.out.get(before) {
            Some(&APPLICATION_DATA) => true,
            // In TLS 1.3 it means nothing (RFC 8446 appendix D.4): a server's may come before the keys are agreed on.
            Some(&CHANGE_CIPHER_SPEC) => {
                self.engine.state().protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3)
            }
            _ => false,
        };
    }

    fn opened(&mut self) {
        if self.phase == Phase::Open || self.engine.state().is_handshaking() {
            return;
        }
        (self.phase, self.handshaking) = (Phase::Open, None);
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
            Failure::NoMemory => return self.no_memory(),
            Failure::KeysExhausted => {
                // rustls says `close_notify` with one of the last numbers that it may use.
                self.take_alert(incoming);
                self.closed = true;
                return self.end(Error::KeysExhausted);
            }
            Failure::Tls(error) => error,
        };
        if self.take_alert(incoming) {
            self.rename_alert(&error);
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

    /// Gives an alert of rustls, in plain text, the name that the RFCs have for it.
    fn rename_alert(&mut self, error: &rustls::Error) {
        use rustls::PeerIncompatible::{KeyShareExtensionRequired, SignatureAlgorithmsExtensionRequired};
        let is_tls12 = self.engine.state().protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2);
        let alert = match error {
            // RFC 8446 section 9.2.
            rustls::Error::PeerIncompatible(
                KeyShareExtensionRequired | SignatureAlgorithmsExtensionRequired,
            ) if !is_tls12 => Alert::MISSING_EXTENSION,
            // RFC 8446 section 4.1.3.
            rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedCipherSuite) => {
                Alert::ILLEGAL_PARAMETER
            }
            // RFC 5246 section 7.4.6: what TLS 1.3 says instead is not known there.
            rustls::Error::NoCertificatesPresented if is_tls12 => Alert::HANDSHAKE_FAILURE,
            _ => return,
        };
        if !self.is_encrypting
            && let [.., ALERT, 3, _, 0, 2, _, description] = self.out.as_mut_slice()
        {
            *description = alert.0;
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
        // What came before that is its reader's still.
        (self.waiting, self.handshaking) = (Vec::new(), None);
        self.failed = Some(error.clone());
        error
    }

    /// The stream takes nothing more. What comes is heard still, once the handshake is done: it may be the reason.
    pub(crate) fn end_sending(&mut self, error: Error) -> Error {
        if self.phase == Phase::Handshake {
            return self.end(error);
        }
        self.out = Vec::new();
        self.unsendable.get_or_insert(error).clone()
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
///
/// The hello is looked at in the first record alone: what comes after a change of the cipher has the type of a handshake, and is
/// encrypted, so that its octets may be any.
fn check_plain(record: &[u8], is_first: bool) -> Result<(), (rustls::Error, Alert)> {
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
        [HANDSHAKE, _, _, _, _, CLIENT_HELLO, _, _, _, 3, minor, ..] if is_first && minor < TLS12_MINOR => {
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
