//! How keeping a certificate goes: for pages and metrics.

use crate::Error;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use fata_libos::time::SystemTime;

/// What a [`Keeper`](crate::Keeper) has done and will do.
#[derive(Debug, Default)]
pub struct Status {
    pub(crate) until: Cell<Option<SystemTime>>,
    pub(crate) next: Cell<Option<SystemTime>>,
    pub(crate) certificates: Cell<u64>,
    pub(crate) unsaved: Cell<u64>,
    failures: Cell<u64>,
    last: RefCell<Option<Failed>>,
}

/// Why there was no certificate, or none that could be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When.
    pub when: SystemTime,
    /// What kind of error it was, in one word ([`Error::kind`]).
    pub kind: &'static str,
    /// The error, for people. It may have text from elsewhere: of bounded length, without control characters.
    pub text: String,
}

impl Status {
    /// When the certificate of the authority ends; `None` where there is none that is valid.
    pub fn until(&self) -> Option<SystemTime> {
        self.until.get()
    }

    /// When the authority is asked for another one, or was, where that goes on; `None` where it is not asked any more.
    pub fn next(&self) -> Option<SystemTime> {
        self.next.get()
    }

    /// Certificates that came.
    pub fn certificates(&self) -> u64 {
        self.certificates.get()
    }

    /// Times that none came, or that one could not be shown.
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// Times that account and certificate could not be kept.
    pub fn unsaved(&self) -> u64 {
        self.unsaved.get()
    }

    /// Why none came or was shown the last time that this was so, whether one has come since then or not.
    pub fn last_failure(&self) -> Option<Failed> {
        self.last.borrow().clone()
    }

    pub(crate) fn failed(&self, error: &Error, next: Option<SystemTime>) {
        self.failures.set(self.failures.get().wrapping_add(1));
        self.next.set(next);
        let (when, kind, text) = (SystemTime::now(), error.kind(), error.to_string());
        *self.last.borrow_mut() = Some(Failed { when, kind, text });
    }
}
