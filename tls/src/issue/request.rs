//! A request for a certificate (PKCS#10, RFC 2986).

use super::der::{Der, INTEGER, SEQUENCE, SET, constructed};
use super::{IssueError, Names, PrivateKey, extension};
use alloc::vec::Vec;
use p256::pkcs8::ObjectIdentifier;

/// `extensionRequest` (RFC 2985, section 5.4.2).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

/// A request for a certificate with this key for these names, in DER.
///
/// The names are in `subjectAltName` alone, and the subject is empty: authorities put there what they want.
pub fn request(key: &PrivateKey, names: &Names) -> Result<Vec<u8>, IssueError> {
    let content = Der::of(SEQUENCE, |der| {
        // Version 1.
        der.put(INTEGER, &[0]);
        der.put(SEQUENCE, &[]);
        key.public_info(der);
        der.nest(constructed(0), |der| {
            der.nest(SEQUENCE, |der| {
                der.oid(&EXTENSION_REQUEST);
                der.nest(SET, |der| der.nest(SEQUENCE, |der| extension::names(der, names)));
            });
        });
    });
    key.signed(&content)
}
