//! A connection without its stream: what came is put in, what is to be sent is taken out. How it ends is in `ending`, what records
//! say before they are encrypted in `plain`, what connections share in `shared`.

mod ending;
mod plain;
mod shared;

pub(crate) use shared::{Common, Handshaking, Phase};

use crate::engine::{Engine, Step, Work};
use crate::{Alert, Error, memory};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::memory::Zeroing;
use fata_libos::time::Instant;
use plain::{
    APPLICATION_DATA, CHANGE_CIPHER_SPEC, MAX_FRAGMENT, check_header, check_plain, is_passed_over, most_after,
};

/// Octets of handshake messages that may wait for their rest after the handshake: none has a reason to be this long.
const MAX_WAITING: usize = 16 * 1024;
/// What a record of a handshake counts for at least, octets: rustls keeps a note of each that is a part of a message.
const LEAST: usize = 256;

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
    /// The client's hello did not say which groups it has.
    is_without_groups: bool,
    /// Handshake messages of which a part is missing: what rustls has to be shown again.
    waiting: Vec<u8>,
    /// Octets that rustls was shown last: what it knows of their places is within them.
    shown: usize,
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
        common.stats().started.add(1);
        Self {
            engine,
            common,
            phase: Phase::Handshake,
            handshaking: Some(handshaking),
            failed: None,
            unsendable: None,
            deadline: None,
            server_name: None,
            is_without_groups: false,
            waiting: Vec::new(),
            shown: 0,
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
            if self.handshake_octets > self.common.limits().handshake_octets {
                return Err(self
                    .fail_with(Error::TooMuch(self.common.limits().handshake_octets), Alert::DECODE_ERROR));
            }
        }
        if let Err((error, alert)) = self.check_record(&record, is_first) {
            return Err(self.fail_with(error.into(), alert));
        }
        let mut incoming = core::mem::take(&mut self.waiting);
        if !memory::is_free(self.phase, self.to_be_taken(incoming.len() + record.len())) {
            return Err(self.no_memory());
        }
        if is_first && !record.is_empty() {
            self.engine.first(&record);
        }
        match incoming.is_empty() {
            true => incoming = record,
            false if incoming.try_reserve_exact(record.len()).is_err() => return Err(self.no_memory()),
            false => incoming.extend_from_slice(&record),
        }
        let mut filled = 0;
        let result = self.work(&mut incoming, &[], buf, &mut filled);
        // It would be tried again with each record that comes, and count again.
        if self.phase == Phase::Handshake && is_passed_over(&incoming) {
            incoming = Vec::new();
        }
        if self.phase == Phase::Open && incoming.len() > MAX_WAITING && result.is_ok() {
            return Err(self.fail_with(Error::TooMuch(MAX_WAITING), Alert::DECODE_ERROR));
        }
        self.waiting = incoming;
        self.common.stats().received.add(filled as u64);
        match result {
            // What came before the error is its reader's; the error comes next.
            Err(_) if filled > 0 => Ok(filled),
            result => result.map(|()| filled),
        }
    }

    /// Looks at a record before rustls does.
    fn check_record(&self, record: &[u8], is_first: bool) -> Result<(), (rustls::Error, Alert)> {
        let is_tls13 = self.engine.state().protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        check_header(record, most_after(record, self.is_encrypting, is_tls13))?;
        if self.is_encrypting { Ok(()) } else { check_plain(record, is_first) }
    }

    /// What looking at so many octets takes at most, octets: rustls copies what it finds there, and we what nobody takes at once.
    fn to_be_taken(&self, octets: usize) -> usize {
        match self.phase {
            Phase::Handshake => memory::ANSWER + 3 * octets,
            Phase::Open => 2 * octets,
        }
    }

    /// Encrypts as much of `plain` as one record takes; gives how much that is.
    pub(crate) fn send(&mut self, plain: &[u8]) -> Result<usize, Error> {
        self.check_sending()?;
        if self.closed {
            return Err(Error::Closed);
        }
        let most = self.common.limits().record_size.clamp(1, MAX_FRAGMENT);
        let plain = plain.get(..most).unwrap_or(plain);
        if !memory::is_free(self.phase, 2 * plain.len()) {
            return Err(self.no_memory());
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        let result = self.work(&mut waiting, plain, &mut [], &mut 0);
        self.waiting = waiting;
        result?;
        self.common.stats().sent.add(plain.len() as u64);
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
            self.shown = incoming.len();
            // rustls leaves what it seals in tickets, and what it finds in them, as it is.
            let zeroing = (self.phase == Phase::Handshake).then(Zeroing::begin);
            let (discard, step) = self.engine.step(incoming, &mut work);
            drop(zeroing);
            self.note_output(before);
            // Each time: after a HelloRetryRequest it is told again, and what is not taken would be the next connection's.
            if let Some(told) = self.engine.told() {
                (self.server_name, self.is_without_groups) = (told.name, !told.has_groups);
            }
            discard_front(incoming, discard);
            if is_short {
                return Err(self.no_memory());
            }
            match step {
                Err(failure) => return Err(self.fail(failure)),
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
            Some(rustls::HandshakeKind::Resumed) => self.common.stats().resumed.add(1),
            _ => self.common.stats().full.add(1),
        }
        // Over the connection of a challenge nothing is said (RFC 8737 section 3).
        #[cfg(feature = "issue")]
        if self.engine.state().alpn_protocol() == Some(crate::challenge::PROTOCOL.as_bytes()) {
            self.peer_closed = true;
        }
    }

    /// Takes of the plaintext that was kept.
    pub(crate) fn take_plain(&mut self, buf: &mut [u8]) -> usize {
        let kept = self.plain.get(self.taken..).unwrap_or_default();
        let n = kept.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), kept.get(..n)) {
            to.copy_from_slice(from);
        }
        self.taken += n;
        self.common.stats().received.add(n as u64);
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

fn discard_front(octets: &mut Vec<u8>, n: usize) {
    if n >= octets.len() {
        *octets = Vec::new();
    } else if n > 0 {
        octets.drain(..n);
    }
}
