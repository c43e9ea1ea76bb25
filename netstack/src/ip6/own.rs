//! An address of this host: whether it is taken is asked before it is used (RFC 4862, 5.4), and it lasts for a time.

use super::host::Ask;
use super::message::Nonce;
use super::times::{NEVER, end, part};
use core::net::Ipv6Addr;
use fata_libos::net::MacAddress;
use fata_libos::time::{Duration, Instant};

/// The longest wait before the link is first asked something, so that hosts that start together do not all speak at once.
/// RFC 4861, 10 allows a second; a guest is to answer soon.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(100);
/// How long an answer to the one probe is waited for (RFC 4861, 10: RetransTimer).
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// What others cannot shorten a lifetime below (RFC 4862, 5.5.3).
const TWO_HOURS: u32 = 7200;

/// How far an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked for at that moment.
    Waiting(Instant),
    /// It was asked for, and is ours at that moment.
    Asked(Instant, Nonce),
    Assigned,
    /// Another host has it.
    Duplicate,
}

/// One address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) address: Ipv6Addr,
    pub(super) prefix_len: u8,
    state: State,
    valid: Instant,
    preferred: Instant,
    /// Its preferred lifetime is over: for what there is, not for what begins.
    pub(super) is_deprecated: bool,
}

/// What a claim by another host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Nothing,
    /// The address is not ours.
    Loses,
    /// The other one has no right to it.
    Stands,
}

/// The interface identifier of a station: modified EUI-64 (RFC 4291, appendix A), the address's lower half.
#[inline(never)]
pub(super) fn identifier(mac: MacAddress) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

impl Address {
    /// An address that begins to be asked for, and lasts for ever.
    pub(super) fn new(now: Instant, random: u32, address: Ipv6Addr, prefix_len: u8) -> Self {
        let state = State::Waiting(now + part(random, FIRST_DELAY));
        Self { address, prefix_len, state, valid: NEVER, preferred: NEVER, is_deprecated: false }
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.state == State::Assigned
    }

    #[inline(never)]
    pub(super) fn is_tentative(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Asked(..))
    }

    /// Takes the lifetimes of a new address, seconds.
    pub(super) fn lasts(&mut self, now: Instant, valid: u32, preferred: u32) {
        self.valid = end(now, valid);
        self.prefers(now, preferred);
    }

    /// Takes the lifetimes that an advertisement has for an address that is there (RFC 4862, 5.5.3 e), and says whether new
    /// flows may begin to use it, or may no longer.
    pub(super) fn renewed(&mut self, now: Instant, valid: u32, preferred: u32) -> bool {
        let (said, two_hours) = (end(now, valid), end(now, TWO_HOURS));
        if valid > TWO_HOURS || said > self.valid {
            self.valid = said;
        } else {
            self.valid = self.valid.min(two_hours);
        }
        self.prefers(now, preferred)
    }

    fn prefers(&mut self, now: Instant, preferred: u32) -> bool {
        self.preferred = end(now, preferred);
        let before = self.is_deprecated;
        self.is_deprecated = self.preferred <= now;
        self.is_deprecated != before
    }

    /// It has to go: the next [`poll`](Self::poll) says so.
    pub(super) fn end(&mut self) {
        self.valid = Instant::default();
    }

    /// Does what is due, and says whether the address remains.
    pub(super) fn poll(&mut self, now: Instant, random: fn() -> u32, ask: &mut dyn FnMut(Ask)) -> bool {
        if self.valid <= now {
            // One that is asked for anew may have been used before the link was down.
            if self.is_assigned() || self.is_tentative() {
                ask(Ask::Gone(self.address));
            }
            return false;
        }
        self.is_deprecated = self.preferred <= now;
        match self.state {
            State::Waiting(due) if due <= now => {
                let ([a, b, c, d], [e, f, ..]) = (random().to_le_bytes(), random().to_le_bytes());
                let nonce = [a, b, c, d, e, f];
                self.state = State::Asked(now + ANSWER_TIME, nonce);
                ask(Ask::Probe { address: self.address, nonce });
            }
            State::Asked(due, _) if due <= now => {
                self.state = State::Assigned;
                ask(Ask::Ready(self.address));
            }
            _ => {}
        }
        true
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(super) fn deadline(&self) -> Instant {
        let state = match self.state {
            State::Waiting(due) | State::Asked(due, _) => due,
            State::Assigned | State::Duplicate => NEVER,
        };
        let preferred = if self.is_deprecated { NEVER } else { self.preferred };
        self.valid.min(preferred).min(state)
    }

    /// Another host asks whether somebody has the address; `nonce`: that of its probe.
    pub(super) fn asked(&mut self, nonce: Option<Nonce>) -> Claim {
        match self.state {
            // Our own probe, back from a loop in the link (RFC 7527).
            State::Asked(_, own) if nonce == Some(own) => Claim::Nothing,
            State::Waiting(_) | State::Asked(..) => self.taken(),
            State::Assigned | State::Duplicate => Claim::Nothing,
        }
    }

    /// Another host says that it has the address.
    pub(super) fn taken(&mut self) -> Claim {
        match self.state {
            State::Waiting(_) | State::Asked(..) => {
                self.state = State::Duplicate;
                Claim::Loses
            }
            State::Assigned => Claim::Stands,
            State::Duplicate => Claim::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn number() -> u32 {
        0x0403_0201
    }

    fn poll(own: &mut Address, millis: u64) -> (bool, Option<Ask>) {
        let mut asked = None;
        let remains = own.poll(at(millis), number, &mut |ask| asked = Some(ask));
        (remains, asked)
    }

    #[test]
    fn the_example_of_rfc_4291() {
        assert_eq!(identifier(MacAddress([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde])), 0x3656_78ff_fe9a_bcde);
    }

    #[test]
    fn one_probe_and_a_second_of_silence() {
        let mut own = Address::new(at(0), u32::MAX, ADDRESS, 64);
        assert_eq!((own.deadline(), poll(&mut own, 99)), (at(100), (true, None)));
        let nonce = [1, 2, 3, 4, 1, 2];
        assert_eq!(poll(&mut own, 100), (true, Some(Ask::Probe { address: ADDRESS, nonce })));
        assert_eq!((own.deadline(), poll(&mut own, 1099)), (at(1100), (true, None)));
        assert!(own.is_tentative() && !own.is_assigned());
        assert_eq!(poll(&mut own, 1100), (true, Some(Ask::Ready(ADDRESS))));
        assert!(!own.is_tentative() && own.is_assigned());
        assert_eq!((own.deadline(), poll(&mut own, 1 << 40)), (NEVER, (true, None)));
    }

    #[test]
    fn who_claims_it_when() {
        let mut own = Address::new(at(0), 0, ADDRESS, 64);
        assert_eq!(Address { ..own }.asked(None), Claim::Loses);
        assert_eq!(Address { ..own }.taken(), Claim::Loses);
        poll(&mut own, 0);
        assert_eq!(own.asked(Some([1, 2, 3, 4, 1, 2])), Claim::Nothing);
        assert_eq!(Address { ..own }.asked(Some([1, 2, 3, 4, 1, 3])), Claim::Loses);
        let mut lost = own;
        assert_eq!(
            (lost.taken(), lost.taken(), lost.asked(None)),
            (Claim::Loses, Claim::Nothing, Claim::Nothing)
        );
        assert!(!lost.is_tentative() && !lost.is_assigned() && lost.deadline() == NEVER);
        poll(&mut own, 1000);
        assert_eq!((own.taken(), own.asked(None)), (Claim::Stands, Claim::Nothing));
    }

    #[test]
    fn what_may_have_been_used_is_said_to_be_gone() {
        let mut own = Address::new(at(0), 0, ADDRESS, 64);
        own.lasts(at(0), 2, 1);
        assert_eq!(
            poll(&mut Address { ..own }, 2000),
            (false, Some(Ask::Gone(ADDRESS))),
            "before the link was down"
        );
        let mut lost = Address { ..own };
        lost.taken();
        assert_eq!(poll(&mut lost, 2000), (false, None));
        poll(&mut own, 0);
        poll(&mut own, 1000);
        assert!(own.is_deprecated && own.deadline() == at(2000));
        assert_eq!(poll(&mut own, 2000), (false, Some(Ask::Gone(ADDRESS))));
    }
}
