//! By what authorities know a certificate that they have made: `AuthorityKeyIdentifier` and serial number (RFC 5280 sections 4.2.1.1 and
//! 4.1.2.2).

use crate::der;
use alloc::vec::Vec;
use p256::pkcs8::der::Tag;

/// `id-ce-authorityKeyIdentifier`, 2.5.29.35.
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 35];

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
    let der::Certificate { serial, rest: mut behind, .. } = der::Certificate::read(certificate)?;
    // Other identifiers of issuer and subject.
    for n in [1, 2] {
        let _ = der::optional(&mut behind, der::primitive(n));
    }
    let mut all = der::inside(&mut der::inside(&mut behind, der::constructed(3))?, Tag::Sequence)?;
    while !der::is_at_end(&all) {
        let mut extension = der::inside(&mut all, Tag::Sequence)?;
        if der::content(&mut extension, Tag::ObjectIdentifier)? == AUTHORITY_KEY {
            // Whether it is critical.
            let _ = der::optional(&mut extension, Tag::Boolean);
            let mut value = der::inside(&mut extension, Tag::OctetString)?;
            let mut identifier = der::inside(&mut value, Tag::Sequence)?;
            let authority_key = der::content(&mut identifier, der::primitive(0))?;
            return Some(Identity { authority_key: authority_key.into(), serial: serial.into() });
        }
    }
    None
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
    }
}
