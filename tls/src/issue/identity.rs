//! By what authorities know a certificate that they have made: `AuthorityKeyIdentifier` and serial number (RFC 5280 sections 4.2.1.1 and
//! 4.1.2.2).

use alloc::vec::Vec;

/// Tags of DER (ITU-T X.690), of which certificates are made.
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const OCTET_STRING: u8 = 4;
const OBJECT_IDENTIFIER: u8 = 6;
const SEQUENCE: u8 = 0x30;
/// `version`, `issuerUniqueID`, `subjectUniqueID` and `extensions` of a certificate, `keyIdentifier` of that extension.
const VERSION: u8 = 0xa0;
const UNIQUE_IDS: [u8; 2] = [0x81, 0x82];
const EXTENSIONS: u8 = 0xa3;
const KEY_IDENTIFIER: u8 = 0x80;
/// `id-ce-authorityKeyIdentifier`, 2.5.29.35.
const AUTHORITY_KEY: [u8; 3] = [0x55, 0x1d, 35];

/// What tells a certificate from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The `keyIdentifier` of the key that has signed it.
    pub authority_key: Vec<u8>,
    /// The content of its `serialNumber`, as it is encoded: a zero stands before a first bit of one.
    pub serial: Vec<u8>,
}

impl Identity {
    /// Of the first certificate of a PEM text; `None` where it does not say whose key has signed it, or cannot be read.
    pub fn of(chain_pem: &str) -> Option<Self> {
        read(crate::pem::chain(chain_pem).ok()?.first()?)
    }
}

fn read(certificate: &[u8]) -> Option<Identity> {
    let (content, _) = element(element(certificate, SEQUENCE)?.0, SEQUENCE)?;
    let (_, rest) = element(content, VERSION)?;
    let (serial, mut rest) = element(rest, INTEGER)?;
    // Algorithm, issuer, dates, subject, public key.
    for _ in 0..5 {
        rest = element(rest, SEQUENCE)?.1;
    }
    for tag in UNIQUE_IDS {
        rest = element(rest, tag).map_or(rest, |(_, rest)| rest);
    }
    let (mut extensions, _) = element(element(rest, EXTENSIONS)?.0, SEQUENCE)?;
    while let Some((extension, next)) = element(extensions, SEQUENCE) {
        let (kind, value) = element(extension, OBJECT_IDENTIFIER)?;
        if kind == AUTHORITY_KEY {
            let value = element(value, BOOLEAN).map_or(value, |(_, rest)| rest);
            let (identifier, _) = element(element(value, OCTET_STRING)?.0, SEQUENCE)?;
            let (authority_key, _) = element(identifier, KEY_IDENTIFIER)?;
            return Some(Identity { authority_key: authority_key.into(), serial: serial.into() });
        }
        extensions = next;
    }
    None
}

/// What an element of this tag has inside, and what is behind it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = octets else { return None };
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        // No certificate has 16 MiB.
        long => {
            let (octets, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(l, _)| l.len() <= 3)?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::{MAX_DATE, self_signed};
    use fata_libos::testing::run;
    use fata_libos::time::SystemTime;

    /// As openssl reads them.
    #[test]
    fn whose_key_has_signed_which_number() {
        let chain = include_str!("../../tests/certificates/server.pem");
        let authority_key = [
            0x50, 0x1b, 0x79, 0x40, 0xba, 0x2a, 0x21, 0xf9, 0xa7, 0x12, 0x97, 0x01, 0x07, 0xf9, 0x13, 0xd6,
            0x99, 0x48, 0x98, 0xc5,
        ];
        let identity = Identity { authority_key: authority_key.into(), serial: [2].into() };
        assert_eq!(Identity::of(chain), Some(identity));
        run(async {
            let own = self_signed(&["a.test"], SystemTime::now(), MAX_DATE).unwrap();
            assert_eq!(Identity::of(&own.chain_pem), None);
        });
        assert_eq!(Identity::of("no certificate"), None);
    }

    /// However it is cut off or changed there is an answer.
    #[test]
    fn whatever_it_is_there_is_an_answer() {
        let chain = crate::pem::chain(include_str!("../../tests/certificates/server.pem")).unwrap();
        let whole = chain.first().unwrap();
        assert!((0..whole.len()).all(|end| read(&whole[..end]).is_none()));
        for at in 0..whole.len() {
            for mask in [1, 0x80, 0xff] {
                let mut changed = whole.to_vec();
                changed[at] ^= mask;
                let _ = read(&changed);
            }
        }
        assert_eq!(element(&[SEQUENCE, 0x84, 0, 0, 0, 0], SEQUENCE), None);
        assert_eq!(element(&[SEQUENCE, 0x80, 1], SEQUENCE), Some((&[][..], &[1][..])));
    }
}
