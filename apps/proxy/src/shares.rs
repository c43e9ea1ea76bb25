//! What each client has of a pool: places at servers, in the queue, and tunnels. None may have all of them, so that one that is slow, or means harm,
//! leaves something to others. No input and output here.

use alloc::vec::Vec;
use core::net::IpAddr;

/// Who counts as one client: an address of IPv4, or a network of IPv6 as one subscriber has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(u128);

impl Client {
    /// Whose address that is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(four) => Self(four.to_ipv6_mapped().to_bits()),
            // The last 64 bits are the subscriber's own to choose (RFC 4291 section 2.5.4).
            IpAddr::V6(six) => Self(six.to_bits() >> 64 << 64),
        }
    }
}

/// What there is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A place at a server.
    Place,
    /// A place in the queue.
    Waiting,
    /// A connection with another protocol.
    Tunnel,
}

struct Held {
    client: Client,
    numbers: [u32; 3],
}

/// Who has how much; of whom nothing is said has nothing.
#[derive(Default)]
pub struct Shares(Vec<Held>);

impl Shares {
    fn find(&self, client: Client) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |held| held.client)
    }

    /// How much of that a client has.
    pub fn of(&self, client: Client, kind: Kind) -> usize {
        self.find(client).map_or(0, |at| self.0[at].numbers[kind as usize] as usize)
    }

    /// It gets one more, unless it has `most`, or there is no memory to know of it.
    pub fn take(&mut self, client: Client, kind: Kind, most: usize) -> bool {
        if self.of(client, kind) >= most {
            return false;
        }
        let at = match self.find(client) {
            Ok(at) => at,
            Err(_) if self.0.try_reserve(1).is_err() => return false,
            Err(at) => {
                self.0.insert(at, Held { client, numbers: [0; 3] });
                at
            }
        };
        self.0[at].numbers[kind as usize] += 1;
        true
    }

    /// It gives one back.
    pub fn give_back(&mut self, client: Client, kind: Kind) {
        let Ok(at) = self.find(client) else { return };
        let number = &mut self.0[at].numbers[kind as usize];
        *number = number.saturating_sub(1);
        if self.0[at].numbers == [0; 3] {
            self.0.remove(at);
        }
    }

    /// How many clients have something.
    pub fn clients(&self) -> usize {
        self.0.len()
    }
}

/// So much of `all` one client may have, where that is `percent` of it: at least one, if there is any.
pub fn part(all: usize, percent: u32) -> usize {
    (all.saturating_mul(percent as usize) / 100).clamp(all.min(1), all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn who_is_one_client() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::1", "192.0.2.1", false),
        ] {
            assert_eq!(client(a) == client(b), same, "{a} {b}");
        }
    }

    #[test]
    fn nobody_has_more_than_his_share() {
        let (one, two) = (client("192.0.2.1"), client("192.0.2.2"));
        let mut shares = Shares::default();
        assert!(shares.take(two, Kind::Place, 2) && shares.take(one, Kind::Place, 2));
        assert!(shares.take(one, Kind::Place, 2) && !shares.take(one, Kind::Place, 2));
        assert!(shares.take(one, Kind::Waiting, 1) && shares.take(two, Kind::Place, 2));
        assert_eq!((shares.of(one, Kind::Place), shares.of(one, Kind::Tunnel), shares.clients()), (2, 0, 2));
        shares.give_back(one, Kind::Place);
        assert!(shares.take(one, Kind::Place, 2));
        for kind in [Kind::Place, Kind::Place, Kind::Waiting, Kind::Waiting] {
            shares.give_back(one, kind);
        }
        assert_eq!((shares.of(one, Kind::Place), shares.clients()), (0, 1));
    }

    #[test]
    fn parts() {
        for (all, percent, expected) in
            [(100, 75, 75), (1, 75, 1), (2, 75, 1), (0, 75, 0), (3, 100, 3), (7, 1, 1)]
        {
            assert_eq!(part(all, percent), expected, "{all} {percent}");
        }
    }
}
