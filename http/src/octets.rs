//! Which octets may stand where in a head: one table for all of its grammar (RFC 9110 section 5, RFC 9112 section 3).

/// A class of octets. An octet may be of several.
#[derive(Clone, Copy)]
pub(crate) struct Class(u8);

impl Class {
    /// A token: a method, a field's name.
    pub(crate) const TOKEN: Self = Self(1);
    /// A request target, whatever its form.
    pub(crate) const TARGET: Self = Self(2);
    /// A path without escapes: what ends it or is to be decoded is not of this class.
    pub(crate) const PLAIN_PATH: Self = Self(4);
    /// A host's name or IPv4 address.
    pub(crate) const HOST: Self = Self(8);
    /// A field's value. Octets above ASCII are opaque.
    pub(crate) const VALUE: Self = Self(16);

    pub(crate) fn has(self, octet: u8) -> bool {
        CLASSES[usize::from(octet)] & self.0 != 0
    }

    /// How many octets at the start are of this class.
    pub(crate) fn run(self, octets: &[u8]) -> usize {
        octets.iter().position(|&octet| !self.has(octet)).unwrap_or(octets.len())
    }
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < classes.len() {
        classes[octet] = classes_of(octet as u8);
        octet += 1;
    }
    classes
};

const fn classes_of(b: u8) -> u8 {
    let mut classes = 0;
    if b.is_ascii_alphanumeric() || is_in(b, b"!#$%&'*+-.^_`|~") {
        classes |= Class::TOKEN.0;
    }
    if b.is_ascii_graphic() {
        classes |= Class::TARGET.0;
    }
    if b.is_ascii_graphic() && !is_in(b, b"?#%") {
        classes |= Class::PLAIN_PATH.0;
    }
    if b.is_ascii_alphanumeric() || is_in(b, b"-._~%!$&'()*+,;=") {
        classes |= Class::HOST.0;
    }
    if b == b'\t' || (b >= b' ' && b != 0x7f) {
        classes |= Class::VALUE.0;
    }
    classes
}

const fn is_in(b: u8, octets: &[u8]) -> bool {
    let mut at = 0;
    while at < octets.len() {
        if octets[at] == b {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        for (class, text, run) in [
            (Class::TOKEN, "Content-Type: a", 12),
            (Class::TARGET, "/a?b#c%20 ", 9),
            (Class::PLAIN_PATH, "/a/b", 4),
            (Class::PLAIN_PATH, "/a%20b", 2),
            (Class::HOST, "example.org:80", 11),
            (Class::HOST, "u@h", 1),
            (Class::VALUE, "a\tb c\u{e9}\r\n", 7),
            (Class::VALUE, "\x7f", 0),
            (Class::TOKEN, "", 0),
        ] {
            assert_eq!(class.run(text.as_bytes()), run, "{text:?}");
        }
    }
}
