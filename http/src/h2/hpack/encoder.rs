//! Encodes header fields of responses (RFC 7541 section 6): by the static table, or as literals.

use super::integer::put;
use super::statics;
use alloc::vec::Vec;

/// See the module.
#[derive(Default)]
pub(crate) struct Encoder {
    has_begun: bool,
}

impl Encoder {
    /// Begins a block. The first says that no dynamic table is used, whatever size the client allows now or later.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if !core::mem::replace(&mut self.has_begun, true) {
            put(out, 0x20, 5, 0);
        }
    }

    /// Puts `:status`.
    pub(crate) fn status(&mut self, out: &mut Vec<u8>, digits: [u8; 3]) {
        const FIRST: usize = 8;
        let entry = (FIRST..FIRST + 7).find(|&n| statics::get(n).is_some_and(|(_, value)| value == digits));
        match entry {
            Some(index) => put(out, 0x80, 7, index),
            None => {
                put(out, 0, 4, FIRST);
                string(out, &digits);
            }
        }
    }

    /// Puts a field, its name in lower case.
    pub(crate) fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        match statics::find(name) {
            Some(index) => put(out, 0, 4, index),
            None => {
                put(out, 0, 4, 0);
                put(out, 0, 7, name.len());
                out.extend(name.iter().map(u8::to_ascii_lowercase));
            }
        }
        string(out, value);
    }
}

fn string(out: &mut Vec<u8>, octets: &[u8]) {
    put(out, 0, 7, octets.len());
    out.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;
    use proptest::prelude::*;

    fn decoded(block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let text = |t: &[u8]| String::from_utf8(t.to_vec()).unwrap();
        Decoder::new().decode(block, &mut |n, v| fields.push((text(n), text(v)))).unwrap();
        fields
    }

    #[test]
    fn the_first_block_says_that_there_is_no_table() {
        let (mut encoder, mut first, mut second) = (Encoder::default(), Vec::new(), Vec::new());
        encoder.begin(&mut first);
        encoder.status(&mut first, *b"200");
        encoder.begin(&mut second);
        encoder.status(&mut second, *b"418");
        assert_eq!(first, [0x20, 0x88]);
        assert_eq!(second, *b"\x08\x03418");
    }

    proptest! {
        #[test]
        fn a_decoder_reads_it(fields in prop::collection::vec(("[A-Za-z-]{1,200}|Content-Type|date", "[ -~]{0,200}"), 0..9)) {
            let mut block = Vec::new();
            for (name, value) in &fields {
                Encoder::default().field(&mut block, name.as_bytes(), value.as_bytes());
            }
            let wanted: Vec<_> = fields.into_iter().map(|(n, v)| (n.to_lowercase(), v)).collect();
            prop_assert_eq!(decoded(&block), wanted);
        }
    }
}
