//! Writes DER (ITU-T X.690): an element's content first, then its length before it.

use alloc::vec::Vec;
use p256::pkcs8::ObjectIdentifier;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// `[n]` with an element of its own inside (EXPLICIT, or IMPLICIT of something constructed).
pub(super) const fn constructed(n: u8) -> u8 {
    0xa0 | n
}

/// `[n]` in place of the tag of something primitive (IMPLICIT).
pub(super) const fn primitive(n: u8) -> u8 {
    0x80 | n
}

/// What has been written.
#[derive(Default)]
pub(super) struct Der(Vec<u8>);

impl Der {
    /// One element, whose content `content` writes.
    pub(super) fn of(tag: u8, content: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut der = Self::default();
        der.nest(tag, content);
        der.0
    }

    /// An element whose content `content` writes.
    pub(super) fn nest(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        self.0.push(tag);
        let start = self.0.len();
        content(self);
        let length = self.0.len() - start;
        let octets = length.to_be_bytes();
        let octets = octets.get(length.leading_zeros() as usize / 8..).unwrap_or_default();
        match length < 0x80 {
            true => self.0.insert(start, length as u8),
            false => {
                let form = [0x80 | octets.len() as u8];
                self.0.splice(start..start, form.into_iter().chain(octets.iter().copied()));
            }
        }
    }

    /// An element with this content.
    pub(super) fn put(&mut self, tag: u8, content: &[u8]) {
        self.nest(tag, |der| der.raw(content));
    }

    /// What is DER already.
    pub(super) fn raw(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn oid(&mut self, oid: &ObjectIdentifier) {
        self.put(OBJECT_IDENTIFIER, oid.as_bytes());
    }

    /// A positive number, the highest octet first: none of its leading zeros, and one where the sign's bit would be set.
    pub(super) fn unsigned(&mut self, number: &[u8]) {
        let zeros = number.iter().take_while(|octet| **octet == 0).count();
        let number = number.get(zeros..).unwrap_or_default();
        self.nest(INTEGER, |der| {
            if number.first().is_none_or(|octet| *octet >= 0x80) {
                der.raw(&[0]);
            }
            der.raw(number);
        });
    }

    /// Whole octets of bits.
    pub(super) fn bits(&mut self, octets: &[u8]) {
        self.nest(BIT_STRING, |der| {
            der.raw(&[0]);
            der.raw(octets);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::pkcs8::der::{Decode, Encode, asn1};

    #[test]
    fn lengths_are_the_shortest() {
        for (length, header) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_535, &[4, 0x82, 255, 255]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let written = Der::of(OCTET_STRING, |der| der.raw(&vec![7; length]));
            assert_eq!(written[..header.len()], *header);
            assert_eq!(written.len(), header.len() + length);
            assert_eq!(written, asn1::OctetString::new(vec![7; length]).unwrap().to_der().unwrap());
        }
    }

    #[test]
    fn numbers_are_as_the_der_crate_has_them() {
        for number in
            [&[][..], &[0], &[0, 0], &[1], &[0x7f], &[0x80], &[0, 0x80, 0], &[0xff; 16], &[0, 1, 2, 3]]
        {
            let written = Der::of(SEQUENCE, |der| der.unsigned(number));
            let read = asn1::UintRef::from_der(&written[2..]).unwrap();
            let zeros = number.iter().take_while(|n| **n == 0).count();
            let expected = if zeros == number.len() { &[0][..] } else { &number[zeros..] };
            assert_eq!(read.as_bytes(), expected, "{number:?}");
        }
    }
}
