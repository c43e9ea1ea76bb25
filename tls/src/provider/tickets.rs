//! Session tickets (RFC 8446, section 4.6.1; RFC 5077): what a server would keep of a session, sealed and kept by the client.
//!
//! Who has a ticket's key reads the sessions of its tickets as far as they were not renewed by another key exchange (TLS 1.2
//! never does that), so a key is used for one period, opens tickets for one more, and is then zeroed: a server with nothing to do wakes
//! up for it.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use fata_aead::{Aead, Aes256Gcm, NONCE_LEN, TAG_LEN};
use fata_libos::entropy;
use fata_libos::task::spawn_detached;
use fata_libos::time::{Duration, Instant, sleep};
use rustls::server::ProducesTickets;
use spin::Mutex;
use zeroize::Zeroizing;

/// Octets of a key's name.
const NAME_LEN: usize = 16;

/// How many tickets one key seals: with nonces at random, two of 2^32 are equal with a chance of 2^-33 (SP 800-38D, section 8.3).
const TICKETS_PER_KEY: u64 = 1 << 32;

/// Seals and opens session tickets with AES-256-GCM, whose keys change with time and never leave memory.
///
/// A ticket is the name of its key (16 octets, random), a nonce (12, random), the sealed session, and a tag (16). It opens for
/// one period at least and two at most; after a restart, none opens.
pub struct Tickets {
    period: Duration,
    keys: Arc<Mutex<Keys>>,
}

/// Made when they are needed: before a server answers, there may be no entropy.
#[derive(Default)]
struct Keys {
    current: Option<Key>,
    previous: Option<Key>,
}

struct Key {
    name: [u8; NAME_LEN],
    aead: Aes256Gcm,
    made: Instant,
    sealed: u64,
}

impl Tickets {
    /// What [`Tickets::default`] takes: six hours.
    pub const PERIOD: Duration = Duration::from_secs(6 * 3600);

    /// With keys that change each `period`, which is also the lifetime that clients are told; in whole seconds, one at least, and a
    /// week at most, which is what TLS 1.3 allows.
    pub fn new(period: Duration) -> Self {
        let period = period.clamp(Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
        Tickets { period, keys: Arc::default() }
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Tickets::new(Self::PERIOD)
    }
}

impl core::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tickets").field("period", &self.period).finish_non_exhaustive()
    }
}

impl Key {
    /// None where there are no random octets: then a client gets no ticket.
    fn new(now: Instant) -> Option<Self> {
        let mut name = [0; NAME_LEN];
        entropy::try_fill(&mut name).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        entropy::try_fill(&mut *key).ok()?;
        let aead = Aes256Gcm::new(&*key)?;
        Some(Key { name, aead, made: now, sealed: 0 })
    }

    fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.made)
    }

    fn seal(&mut self, session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        entropy::try_fill(&mut nonce).ok()?;
        self.sealed = self.sealed.saturating_add(1);
        let mut ticket = Vec::new();
        ticket.try_reserve_exact(NAME_LEN + NONCE_LEN + session.len() + TAG_LEN).ok()?;
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let text = ticket.get_mut(NAME_LEN + NONCE_LEN..)?;
        let tag = self.aead.seal(&nonce, &self.name, text)?;
        ticket.extend_from_slice(&tag);
        Some(ticket)
    }
}

impl Keys {
    /// Zeroes what has become too old. A key has moved twice, when it was made and when the next one was: what that left on the stack may
    /// be there until another value takes its place.
    fn forget(&mut self, period: Duration, now: Instant) {
        for slot in [&mut self.current, &mut self.previous] {
            if slot.as_ref().is_some_and(|key| key.age(now) >= period.saturating_mul(2)) {
                *slot = None;
            }
        }
    }

    /// Sees to it that the key to seal with is not too old; whether it is a new one.
    fn turn(&mut self, period: Duration, now: Instant) -> bool {
        self.forget(period, now);
        let old = |key: &Key| key.age(now) >= period || key.sealed >= TICKETS_PER_KEY;
        if self.current.as_ref().is_some_and(old) {
            self.previous = None;
            core::mem::swap(&mut self.current, &mut self.previous);
        }
        if self.current.is_some() {
            return false;
        }
        self.current = Key::new(now);
        self.current.is_some()
    }

    fn named(&self, name: &[u8]) -> Option<&Key> {
        [&self.current, &self.previous].into_iter().flatten().find(|key| key.name == name)
    }
}

/// Waits until a key that is new now is too old.
async fn forget_later(keys: Weak<Mutex<Keys>>, period: Duration) {
    sleep(period.saturating_mul(2)).await;
    if let Some(keys) = keys.upgrade() {
        keys.lock().forget(period, Instant::now());
    }
}

impl Tickets {
    /// Does something with the keys, of which the current one is there if there are random octets.
    fn with_keys<T>(&self, f: impl FnOnce(&mut Keys) -> Option<T>) -> Option<T> {
        let mut keys = self.keys.lock();
        let is_new = keys.turn(self.period, Instant::now());
        let done = f(&mut keys);
        drop(keys);
        if is_new {
            spawn_detached(forget_later(Arc::downgrade(&self.keys), self.period));
        }
        done
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.period.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.with_keys(|keys| keys.current.as_mut()?.seal(session))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_LEN)?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        self.with_keys(|keys| {
            let key = keys.named(name)?;
            let mut session = Vec::new();
            session.try_reserve_exact(sealed.len()).ok()?;
            session.extend_from_slice(sealed);
            let len = key.aead.open(nonce, name, &mut session)?;
            session.truncate(len);
            Some(session)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Tickets;
    use fata_libos::testing::run;
    use fata_libos::time::{Duration, sleep};
    use rustls::server::ProducesTickets;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ticket_opens_for_one_period_and_not_after_two() {
        run(async {
            let tickets = Tickets::default();
            assert_eq!(tickets.lifetime(), 6 * 3600);
            let first = tickets.encrypt(b"a session").unwrap();
            sleep(5 * HOUR + HOUR / 2).await;
            let late = tickets.encrypt(b"another").unwrap();
            assert_eq!(first[..16], late[..16], "one key");
            sleep(HOUR).await;
            let next = tickets.encrypt(b"a third").unwrap();
            assert_ne!(first[..16], next[..16], "the key has changed");
            sleep(5 * HOUR).await;
            assert_eq!(tickets.decrypt(&first).as_deref(), Some(&b"a session"[..]));
            assert_eq!(tickets.decrypt(&late).as_deref(), Some(&b"another"[..]));
            assert_eq!(tickets.decrypt(&next).as_deref(), Some(&b"a third"[..]));
            sleep(HOUR).await;
            assert_eq!(tickets.decrypt(&first), None);
            assert_eq!(tickets.decrypt(&late), None);
            assert_eq!(tickets.decrypt(&next).as_deref(), Some(&b"a third"[..]));
        });
    }

    #[test]
    fn a_key_that_was_not_used_for_long_is_forgotten() {
        run(async {
            let tickets = Tickets::new(HOUR);
            let ticket = tickets.encrypt(b"a session").unwrap();
            sleep(HOUR).await;
            // Now there are two.
            tickets.encrypt(b"another").unwrap();
            sleep(HOUR - Duration::from_secs(1)).await;
            let there = || {
                let keys = tickets.keys.lock();
                (keys.current.is_some(), keys.previous.is_some())
            };
            assert_eq!(there(), (true, true));
            // Nobody asks for them.
            sleep(Duration::from_secs(2)).await;
            assert_eq!(there(), (true, false));
            sleep(HOUR).await;
            assert_eq!(there(), (false, false));
            assert_eq!(tickets.decrypt(&ticket), None);
        });
    }

    #[test]
    fn what_was_changed_or_cut_short_does_not_open() {
        run(async {
            let tickets = Tickets::default();
            let ticket = tickets.encrypt(b"a session").unwrap();
            for at in 0..ticket.len() {
                let mut changed = ticket.clone();
                changed[at] ^= 1;
                assert_eq!(tickets.decrypt(&changed), None, "octet {at}");
                assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at} octets");
            }
            assert_eq!(Tickets::default().decrypt(&ticket), None, "of another server");
        });
    }

    #[test]
    fn a_period_of_no_time_is_a_second() {
        run(async {
            let tickets = Tickets::new(Duration::ZERO);
            assert_eq!(tickets.lifetime(), 1);
            let ticket = tickets.encrypt(b"a session").unwrap();
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
            let next = tickets.encrypt(b"another").unwrap();
            assert_eq!(ticket[..16], next[..16], "one key");
        });
    }

    #[test]
    fn equal_sessions_have_different_tickets() {
        run(async {
            let tickets = Tickets::default();
            assert_ne!(tickets.encrypt(b"a session"), tickets.encrypt(b"a session"));
        });
    }
}
