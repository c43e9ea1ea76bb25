//! How a connection ends that goes wrong: the error that its user gets, and the alert that its peer gets.

use super::plain::{ALERT, is_alert};
use super::{Phase, Session};
use crate::engine::{Failure, Step, Work};
use crate::provider::named;
use crate::{Alert, Error, memory};
use alloc::vec::Vec;

/// Octets that are no record: a header with a type that there is not.
const NO_RECORD: usize = 5;

impl Session {
    /// Ends it because there is no memory.
    pub(crate) fn no_memory(&mut self) -> Error {
        self.fail_with(Error::NoMemory, Alert::INTERNAL_ERROR)
    }

    /// Ends it because of what rustls says, with the alert that goes with it in the output.
    pub(super) fn fail(&mut self, failure: Failure) -> Error {
        let error = match failure {
            Failure::NoMemory => return self.no_memory(),
            Failure::KeysExhausted => {
                // rustls says `close_notify` with one of the last numbers that it may use.
                self.take_alert();
                self.closed = true;
                return self.end(Error::KeysExhausted);
            }
            Failure::Tls(error) => error,
        };
        if self.take_alert() {
            self.rename_alert(&error);
            self.common.stats().alerts_sent.add(1);
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

    /// Puts what rustls still wants to say into the output: true if that ends with an alert. It is asked for no more than that, as it
    /// would look at what came again.
    fn take_alert(&mut self) -> bool {
        while self.engine.state().wants_write() {
            let before = self.out.len();
            let mut work = Work { plain: &[], out: &mut self.out, deliver: &mut |_| {} };
            let (_, Ok(_)) = self.engine.step(&mut [], &mut work) else { return false };
            self.note_output(before);
            if self.out.get(before..).is_some_and(is_alert) {
                return true;
            }
        }
        false
    }

    /// Has rustls seal an alert of ours, as it alone has the keys: it is shown what is no record, and what it says of that goes by the name
    /// that is wanted. False where it may say nothing more.
    fn seal_alert(&mut self, alert: Alert) -> bool {
        // Of a message in parts it looks behind those that it has seen.
        let (mut nothing, len) = (Vec::new(), self.shown + NO_RECORD);
        if self.closed || nothing.try_reserve_exact(len).is_err() {
            return false;
        }
        nothing.resize(len, u8::MAX);
        named(alert, || {
            loop {
                let mut work = Work { plain: &[], out: &mut self.out, deliver: &mut |_| {} };
                match self.engine.step(&mut nothing, &mut work).1 {
                    Ok(Step::Again | Step::Encoded) => {}
                    Ok(_) => return false,
                    Err(_) => return self.take_alert(),
                }
            }
        })
    }

    /// Gives an alert of rustls, in plain text, the name that the RFCs have for it.
    fn rename_alert(&mut self, error: &rustls::Error) {
        use rustls::PeerIncompatible::{
            KeyShareExtensionRequired, NoKxGroupsInCommon, SignatureAlgorithmsExtensionRequired,
        };
        let is_tls12 = self.engine.state().protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2);
        let alert = match error {
            // RFC 8446 section 9.2.
            rustls::Error::PeerIncompatible(
                KeyShareExtensionRequired | SignatureAlgorithmsExtensionRequired,
            ) if !is_tls12 => Alert::MISSING_EXTENSION,
            rustls::Error::PeerIncompatible(NoKxGroupsInCommon) if !is_tls12 && self.is_without_groups => {
                Alert::MISSING_EXTENSION
            }
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

    /// Ends it for a reason that rustls has no alert for, or another one.
    pub(super) fn fail_with(&mut self, error: Error, alert: Alert) -> Error {
        let is_said = if !self.is_encrypting && self.phase == Phase::Handshake {
            self.out.extend_from_slice(&[ALERT, 3, 3, 0, 2, 2, alert.0]);
            true
        } else {
            self.seal_alert(alert)
        };
        self.common.stats().alerts_sent.add(is_said.into());
        self.end(error)
    }

    /// Ends it. The first reason counts.
    pub(crate) fn end(&mut self, error: Error) -> Error {
        if let Some(first) = &self.failed {
            return first.clone();
        }
        self.common.stats().count(&error, self.phase == Phase::Handshake);
        // What came before that is its reader's still. It counts among the handshakes as long as it may wait for its peer.
        self.waiting = Vec::new();
        if self.out.is_empty() {
            self.make_room();
        }
        self.failed = Some(error.clone());
        error
    }

    /// Whether it is waited for a peer that may have sent more before it hears an alert.
    pub(crate) fn may_wait(&self) -> bool {
        self.engine.is_asked()
            && self.failed != Some(Error::NoMemory)
            && memory::is_free(Phase::Handshake, memory::BEGINNING)
    }

    /// It has ended for good, so that another handshake may take its place.
    pub(crate) fn make_room(&mut self) {
        self.handshaking = None;
    }

    /// The stream takes nothing more. What comes is heard still, once the handshake is done: it may be the reason.
    pub(crate) fn end_sending(&mut self, error: Error) -> Error {
        if self.phase == Phase::Handshake {
            return self.end(error);
        }
        self.out = Vec::new();
        self.unsendable.get_or_insert(error).clone()
    }
}
