//! The messages of one octet, the cookie, the numbers of streams: what both sides of the control connection know.

use core::fmt;
use fata::entropy;

/// What one side tells the other (`iperf_api.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// All streams are there.
    TestStart = 1,
    /// Data may flow.
    TestRunning = 2,
    /// The client has had enough.
    TestEnd = 4,
    /// The server wants to know what to do.
    ParamExchange = 9,
    /// The client is to connect its streams.
    CreateStreams = 10,
    /// The server gives up.
    ServerTerminate = 11,
    /// The client gives up.
    ClientTerminate = 12,
    /// What each side has counted follows.
    ExchangeResults = 13,
    /// The client has all it needs.
    DisplayResults = 14,
    /// The end.
    IperfDone = 16,
    /// The server is busy.
    AccessDenied = -1,
    /// The server has failed: two numbers follow.
    ServerError = -2,
}

impl State {
    /// The state of that number.
    pub fn from_octet(octet: u8) -> Option<Self> {
        const ALL: [State; 12] = [
            State::TestStart,
            State::TestRunning,
            State::TestEnd,
            State::ParamExchange,
            State::CreateStreams,
            State::ServerTerminate,
            State::ClientTerminate,
            State::ExchangeResults,
            State::DisplayResults,
            State::IperfDone,
            State::AccessDenied,
            State::ServerError,
        ];
        ALL.into_iter().find(|state| state.octet() == octet)
    }

    /// As it is on the wire.
    pub fn octet(self) -> u8 {
        (self as i8).cast_unsigned()
    }
}

/// Octets of a cookie on the wire: its text and a zero.
pub const COOKIE_LEN: usize = 37;

/// Says which connections belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie(pub [u8; COOKIE_LEN]);

impl Cookie {
    /// A new one, of the letters that iperf3 uses.
    pub fn random() -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut octets = [0; COOKIE_LEN];
        entropy::fill(&mut octets[..COOKIE_LEN - 1]);
        for octet in &mut octets[..COOKIE_LEN - 1] {
            *octet = LETTERS[usize::from(*octet % 32)];
        }
        octets[COOKIE_LEN - 1] = 0;
        Self(octets)
    }

    /// Its text, where it is one.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&octet| octet == 0).unwrap_or(COOKIE_LEN);
        core::str::from_utf8(&self.0[..end]).unwrap_or("")
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({})", self.as_str())
    }
}

/// iperf3 gives its streams the numbers 1, 3, 4, 5, and so on, and results are by these.
pub fn stream_id(index: usize) -> u32 {
    let index = u32::try_from(index).unwrap_or(u32::MAX - 2);
    if index == 0 { 1 } else { index + 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_octets() {
        assert_eq!(State::from_octet(0xff), Some(State::AccessDenied));
        assert_eq!(State::from_octet(0xfe), Some(State::ServerError));
        assert_eq!(State::from_octet(2), Some(State::TestRunning));
        for octet in 0..=255 {
            assert!(State::from_octet(octet).is_none_or(|state| state.octet() == octet));
        }
        assert_eq!((0..=255).filter_map(State::from_octet).count(), 12);
    }

    #[test]
    fn streams_are_numbered_as_iperf3_does() {
        assert_eq!([0, 1, 2, 3].map(stream_id), [1, 3, 4, 5]);
    }
}
