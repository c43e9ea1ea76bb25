//! Whose order of cipher suites counts. A server's own, but for clients whose first is ChaCha20-Poly1305: they have no instructions
//! for AES, and would pay several times as much for it. rustls is told before it sees the hello, so that it is looked at here.

/// A record's header, the types and length of the handshake message, its version and random octets (RFC 8446 sections 5.1, 4, 4.1.2).
const BEFORE_SESSION: usize = 5 + 4 + 2 + 32;
/// `TLS_CHACHA20_POLY1305_SHA256` and the two of TLS 1.2 with ECDHE (RFC 8446 appendix B.4, RFC 7905 section 2).
const CHACHA20: [[u8; 2]; 3] = [[0x13, 0x03], [0xcc, 0xa8], [0xcc, 0xa9]];

/// Whether a first record has a client's hello whose first suite is one with ChaCha20-Poly1305. Values that are no suites
/// count for nothing: reserved ones (RFC 8701), and signals (RFC 5746 section 3.3, RFC 7507). A hello in so small parts that none is seen is one of a client without wishes.
pub(crate) fn is_chacha20_first(record: &[u8]) -> bool {
    let Some((&session, rest)) = record.get(BEFORE_SESSION..).and_then(<[u8]>::split_first) else {
        return false;
    };
    let Some([high, low, suites @ ..]) = rest.get(usize::from(session)..) else {
        return false;
    };
    let suites = suites.get(..usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or(suites);
    let (suites, _) = suites.as_chunks::<2>();
    suites.iter().find(|suite| !is_no_suite(**suite)).is_some_and(|first| CHACHA20.contains(first))
}

fn is_no_suite([high, low]: [u8; 2]) -> bool {
    (high == low && high & 0x0f == 0x0a) || [[0x00, 0xff], [0x56, 0x00]].contains(&[high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn hello(session: usize, suites: &[u16]) -> Vec<u8> {
        let mut record = alloc::vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        record.resize(BEFORE_SESSION, 7);
        record.push(session as u8);
        record.resize(record.len() + session, 7);
        record.extend((2 * suites.len() as u16).to_be_bytes());
        suites.iter().for_each(|suite| record.extend(suite.to_be_bytes()));
        record.extend([1, 0]);
        record
    }

    #[test]
    fn the_first_suite_that_means_something_decides() {
        for (suites, wanted) in [
            (&[0x1303, 0x1301][..], true),
            (&[0xcca8, 0xc02f], true),
            (&[0xcca9, 0xc02b], true),
            (&[0x2a2a, 0x1303, 0x1301], true),
            (&[0x00ff, 0x5600, 0xcca9], true),
            (&[0xfafa, 0x1301, 0x1303], false),
            (&[0x1301, 0x1303], false),
            // Neither is reserved: both octets of those are the same.
            (&[0x0a1a, 0x1303], false),
            (&[0x1313, 0x1303], false),
            (&[], false),
            (&[0x2a2a], false),
        ] {
            for session in [0, 32, 255] {
                assert_eq!(is_chacha20_first(&hello(session, suites)), wanted, "{suites:04x?}, {session}");
            }
        }
    }

    #[test]
    fn what_ends_early_wishes_nothing() {
        let whole = hello(32, &[0x1303]);
        let decides = BEFORE_SESSION + 1 + 32 + 2 + 2;
        for n in 0..=whole.len() {
            assert_eq!(is_chacha20_first(&whole[..n]), n >= decides, "{n}");
        }
    }
}
