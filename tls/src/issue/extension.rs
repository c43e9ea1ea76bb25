//! Extensions of certificates and requests (RFC 5280 section 4.2, RFC 8737 section 3).

use super::Names;
use super::der::{BIT_STRING, BOOLEAN, Der, OCTET_STRING, SEQUENCE};
use p256::pkcs8::ObjectIdentifier;

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// `id-pe-acmeIdentifier`.
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");

/// `digitalSignature` alone: bit 0 of one octet, whose seven others are not there.
const DIGITAL_SIGNATURE: [u8; 2] = [7, 0x80];

/// Whether somebody who does not know an extension may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Critical,
    Plain,
}

fn extension(der: &mut Der, oid: &ObjectIdentifier, weight: Weight, value: impl FnOnce(&mut Der)) {
    der.nest(SEQUENCE, |der| {
        der.oid(oid);
        // FALSE is the default, which DER leaves out.
        if weight == Weight::Critical {
            der.put(BOOLEAN, &[0xff]);
        }
        der.nest(OCTET_STRING, value);
    });
}

/// What the certificate, or the request, is for.
pub(super) fn names(der: &mut Der, names: &Names) {
    extension(der, &SUBJECT_ALT_NAME, Weight::Plain, |der| names.put(der));
}

/// A server's certificate, which signs no other.
pub(super) fn server(der: &mut Der) {
    extension(der, &BASIC_CONSTRAINTS, Weight::Critical, |der| der.put(SEQUENCE, &[]));
    extension(der, &KEY_USAGE, Weight::Critical, |der| der.put(BIT_STRING, &DIGITAL_SIGNATURE));
    extension(der, &EXTENDED_KEY_USAGE, Weight::Plain, |der| der.nest(SEQUENCE, |der| der.oid(&SERVER_AUTH)));
}

/// The SHA-256 of a key authorization.
pub(super) fn acme_identifier(der: &mut Der, digest: &[u8; 32]) {
    extension(der, &ACME_IDENTIFIER, Weight::Critical, |der| der.put(OCTET_STRING, digest));
}
