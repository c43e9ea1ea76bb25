//! How a connection ends that goes wrong: the error that its user gets, and the alert that its peer gets.

use super::plain::{ALERT, is_alert};
use super::{Phase, Session, discard_front};
use crate::engine::{Failure, Step, Work};
use crate::{Alert, Error};
use alloc::vec::Vec;

impl Session {
    /// Ends it because there is no memory.
    pub(crate) fn no_memory(&mut self) -> Error {
        self.fail_with(Error::NoMemory, Alert::INTERNAL_ERROR)
    }

    /// Ends it because of what rustls says, with the alert that goes with it in the output.
    pub(super) fn fail(&mut self, failure: Failure, incoming: &mut Vec<u8>) -> Error {
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
    pub(super) fn fail_with(&mut self, error: Error, alert: Alert) -> Error {
        if !self.is_encrypting && self.phase == Phase::Handshake {
            self.out.extend_from_slice(&[ALERT, 3, 3, 0, 2, 2, alert.0]);
            self.common.stats().alerts_sent.add(1);
        }
        self.end(error)
    }

    /// Ends it. The first reason counts.
    pub(crate) fn end(&mut self, error: Error) -> Error {
        if let Some(first) = &self.failed {
            return first.clone();
        }
        self.common.stats().count(&error, self.phase == Phase::Handshake);
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
}
