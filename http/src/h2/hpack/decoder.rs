//! Decodes blocks of header fields (RFC 7541 sections 3 and 6).

use super::Unreadable::{self, Malformed};
use super::dynamic::Dynamic;
use super::integer::{self, take};
use super::{TABLE_SIZE, huffman, statics};
use alloc::vec::Vec;

/// The largest buffer that is kept between two blocks, octets.
const KEPT: usize = 256;

/// What is kept of the client's fields from one block to the next.
pub(crate) struct Decoder {
    table: Dynamic,
    /// A name and a value that stand nowhere as they are.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { table: Dynamic::new(TABLE_SIZE), name: Vec::new(), value: Vec::new() }
    }

    /// Decodes a whole block, and gives each field to `field`. What that makes of them does not matter here: a block is
    /// decoded to its end, as those that follow stand on it.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        field: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unreadable> {
        let (mut rest, mut begun) = (block, false);
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                self.resize(take(&mut rest, 5)?, begun)?;
                continue;
            }
            begun = true;
            if first & 0x80 != 0 {
                let (name, value) = entry(&self.table, take(&mut rest, 7)?)?;
                field(name, value);
            } else if first & 0x40 != 0 {
                self.literal_with_index(&mut rest, field)?;
            } else {
                self.literal(&mut rest, field)?;
            }
        }
        self.shrink();
        Ok(())
    }

    /// The buffers of long fields are not kept while the connection waits for the next.
    fn shrink(&mut self) {
        for buffer in [&mut self.name, &mut self.value] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }

    /// A change of the table's size, which stands before all fields (section 4.2).
    fn resize(&mut self, size: usize, begun: bool) -> Result<(), Unreadable> {
        if begun || size > TABLE_SIZE {
            return Err(Malformed);
        }
        self.table.resize(size);
        Ok(())
    }

    /// A literal that does not go into the table.
    fn literal(&mut self, rest: &mut &[u8], field: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Unreadable> {
        match take(rest, 4)? {
            0 => {
                let name = string(rest, &mut self.name)?;
                field(name, string(rest, &mut self.value)?);
            }
            index => {
                let value = string(rest, &mut self.value)?;
                field(entry(&self.table, index)?.0, value);
            }
        }
        Ok(())
    }

    /// One that does, and may push out what it takes its name from.
    fn literal_with_index(
        &mut self,
        rest: &mut &[u8],
        field: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Unreadable> {
        let name = match take(rest, 6)? {
            0 => string(rest, &mut self.name)?,
            index => {
                let name = entry(&self.table, index)?.0;
                self.name.clear();
                self.name.try_reserve(name.len()).map_err(|_| Unreadable::NoMemory)?;
                self.name.extend_from_slice(name);
                self.name.as_slice()
            }
        };
        let value = string(rest, &mut self.value)?;
        field(name, value);
        self.table.add(name, value)
    }
}

/// The entry of either table.
fn entry(own: &Dynamic, index: usize) -> Result<(&[u8], &[u8]), Unreadable> {
    match index.checked_sub(statics::LEN + 1) {
        None => statics::get(index),
        Some(at) => own.get(at),
    }
    .ok_or(Malformed)
}

/// Reads a string (section 5.2): it stands in the block, or is decoded into `buffer`.
fn string<'s, 'b: 's>(rest: &mut &'b [u8], buffer: &'s mut Vec<u8>) -> Result<&'s [u8], Unreadable> {
    let is_coded = rest.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer::take(rest, 7)?;
    let (octets, after) = rest.split_at_checked(len).ok_or(Malformed)?;
    *rest = after;
    if !is_coded {
        return Ok(octets);
    }
    buffer.clear();
    huffman::decode(octets, buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let octet = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(octet).collect()
    }

    /// The fields of a block, a line each.
    fn lines(decoder: &mut Decoder, block: &[u8]) -> Result<String, Unreadable> {
        let mut text = String::new();
        decoder.decode(block, &mut |name, value| {
            let part = |t| String::from_utf8_lossy(t).into_owned();
            text += &format!("{}: {}\n", part(name), part(value));
        })?;
        Ok(text)
    }

    fn example(blocks: &[(&str, &str, usize)], max_size: usize) {
        let mut decoder = Decoder::new();
        decoder.table.resize(max_size);
        for (hex, expected, size) in blocks {
            assert_eq!(lines(&mut decoder, &octets(hex)).as_deref(), Ok(*expected));
            assert_eq!(decoder.table.size(), *size, "{expected}");
        }
    }

    #[test]
    fn fields_of_appendix_c_2() {
        for (hex, expected, size) in [
            (
                "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
                "custom-key: custom-header\n",
                55,
            ),
            ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n", 0),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n", 0),
            ("82", ":method: GET\n", 0),
        ] {
            example(&[(hex, expected, size)], TABLE_SIZE);
        }
    }

    const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
    const SECOND: &str =
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n";
    const THIRD: &str = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n";

    #[test]
    fn requests_of_appendix_c_3() {
        example(
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
                ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
                ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
            ],
            TABLE_SIZE,
        );
    }

    #[test]
    fn requests_of_appendix_c_4() {
        example(
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
                ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
            ],
            TABLE_SIZE,
        );
    }

    const ANSWERS: [&str; 3] = [
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
        ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
         content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
    ];

    #[test]
    fn answers_of_appendix_c_5() {
        example(
            &[
                (
                    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
                     3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                    ANSWERS[0],
                    222,
                ),
                ("4803 3330 37c1 c0bf", ANSWERS[1], 222),
                (
                    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
                     7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
                     6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                    ANSWERS[2],
                    215,
                ),
            ],
            256,
        );
    }

    #[test]
    fn answers_of_appendix_c_6() {
        example(
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                     1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    ANSWERS[0],
                    222,
                ),
                ("4883 640e ffc1 c0bf", ANSWERS[1], 222),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                     e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                    ANSWERS[2],
                    215,
                ),
            ],
            256,
        );
    }

    #[test]
    fn what_is_no_block() {
        for (what, hex) in [
            ("index 0", "80"),
            ("an index that no table has", "be"),
            ("a name's index that no table has", "7f 0001 61"),
            ("an index without end", "ffff ffff ffff"),
            ("a name that is not whole", "4003 6162"),
            ("no value", "4001 61"),
            ("a value that is not whole", "4001 6102 62"),
            ("a name of the code's end", "4084 ffff ffff 0161"),
            ("a value whose padding is zeros", "4001 6181 00"),
            ("padding of more than seven bits", "4001 6182 07ff"),
            ("a size behind a field", "8220"),
            ("a size above the limit", "3fe2 1f"),
        ] {
            assert_eq!(lines(&mut Decoder::new(), &octets(hex)), Err(Malformed), "{what}");
        }
    }

    #[test]
    fn sizes_stand_before_fields() {
        let mut decoder = Decoder::new();
        assert_eq!(lines(&mut decoder, &octets("4001 6101 62")).as_deref(), Ok("a: b\n"));
        assert_eq!(lines(&mut decoder, &octets("be")).as_deref(), Ok("a: b\n"));
        assert_eq!(lines(&mut decoder, &octets("20 3fe1 1f 82")).as_deref(), Ok(":method: GET\n"));
        assert_eq!(lines(&mut decoder, &octets("be")), Err(Malformed), "the table was emptied");
    }

    #[test]
    fn a_bomb_takes_no_memory() {
        let mut decoder = Decoder::new();
        let value = "x".repeat(4000);
        let mut block = octets("4001 61");
        integer::put(&mut block, 0, 7, value.len());
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(&[0xbe; 4000]);
        let (mut fields, mut len) = (0, 0);
        decoder.decode(&block, &mut |_, v| (fields, len) = (fields + 1, len + v.len())).unwrap();
        assert_eq!((fields, len), (4001, 4001 * 4000));
        assert!(decoder.table.size() <= TABLE_SIZE);
    }

    #[test]
    fn buffers_of_long_fields_are_not_kept() {
        let mut decoder = Decoder::new();
        let long = huffman::tests::encode(&[b'x'; 9000]);
        let mut block = vec![0x40];
        for _ in 0..2 {
            integer::put(&mut block, 0x80, 7, long.len());
            block.extend_from_slice(&long);
        }
        let mut len = 0;
        decoder.decode(&block, &mut |name, value| len = name.len() + value.len()).unwrap();
        assert_eq!((len, decoder.table.size()), (18_000, 0));
        assert!(decoder.name.capacity() <= KEPT && decoder.value.capacity() <= KEPT);
    }

    proptest! {
        #[test]
        fn anything_leaves_the_table_within_its_size(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new();
            for block in blocks {
                let _ = decoder.decode(&block, &mut |_, _| ());
                prop_assert!(decoder.table.size() <= TABLE_SIZE);
            }
        }

        #[test]
        fn huffman_or_not(name in "[a-z0-9-]{1,20}", value in "[ -~]{0,40}") {
            let mut block = vec![0x40];
            for text in [&name, &value] {
                let coded = huffman::tests::encode(text.as_bytes());
                integer::put(&mut block, 0x80, 7, coded.len());
                block.extend_from_slice(&coded);
            }
            let line = format!("{name}: {value}\n");
            prop_assert_eq!(lines(&mut Decoder::new(), &block), Ok(line));
        }
    }
}
