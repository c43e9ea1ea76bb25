//! Tickets that open only where the same is asked of clients' certificates.
//!
//! A session that is resumed brings its client's certificate with it, or none. What a ticket seals begins with a digest of what certificates
//! were held against: where a configuration takes another's place that has other roots, other revocation lists, or asks where the first
//! did not, its clients begin anew, with a certificate of theirs that may be another one. Its time is looked at by `clients`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// Octets of a digest.
pub(crate) const DIGEST: usize = 32;

/// Makes tickets that are bound to a digest.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) tickets: Arc<dyn ProducesTickets>,
    pub(crate) digest: [u8; DIGEST],
}

impl ProducesTickets for Bound {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let mut bound = Zeroizing::new(Vec::new());
        bound.try_reserve_exact(DIGEST + session.len()).ok()?;
        bound.extend_from_slice(&self.digest);
        bound.extend_from_slice(session);
        self.tickets.encrypt(&bound)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let bound = Zeroizing::new(self.tickets.decrypt(ticket)?);
        let session = bound.strip_prefix(&self.digest)?;
        let mut opened = Vec::new();
        opened.try_reserve_exact(session.len()).ok()?;
        opened.extend_from_slice(session);
        Some(opened)
    }
}
