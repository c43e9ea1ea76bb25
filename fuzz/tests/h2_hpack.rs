//! HPACK beside another implementation of it, Debian's python3-hpack: what each makes of the same blocks.

extern crate alloc;

#[allow(dead_code, unused_imports, reason = "responses are encoded elsewhere")]
#[path = "../../http/src/h2/hpack/mod.rs"]
mod hpack;

use fata_fuzz::{fuzz, mutated};
use hpack::{Decoder, Unreadable};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard};

const SCRIPT: &str = include_str!("h2_hpack.py");

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The other implementation, as a process that answers a line for each line.
struct Peer {
    _process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// What it says of a block.
#[derive(Debug, PartialEq)]
enum Verdict {
    Fields(Fields),
    /// More than it takes at once.
    Large,
    Malformed,
}

impl Peer {
    fn start() -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("/usr/bin/python3 with the package python3-hpack");
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { _process: process, to, from: BufReader::new(from) }
    }

    /// The one process of these tests, as if it were new.
    fn fresh() -> MutexGuard<'static, Option<Self>> {
        static PEER: Mutex<Option<Peer>> = Mutex::new(None);
        let mut peer = PEER.lock().unwrap_or_else(|failed| failed.into_inner());
        peer.get_or_insert_with(Self::start).ask("new");
        peer
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.to, "{question}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "python3-hpack has gone: is the package installed?");
        answer.trim_end().to_owned()
    }

    fn decode(&mut self, block: &[u8]) -> Verdict {
        let answer = self.ask(&format!("decode {}", hex(block)));
        match answer.strip_prefix("fields") {
            Some(fields) => Verdict::Fields(
                fields
                    .split_whitespace()
                    .map(|field| field.split_once(':').unwrap())
                    .map(|(n, v)| (octets(n), octets(v)))
                    .collect(),
            ),
            None if answer == "large" => Verdict::Large,
            None => Verdict::Malformed,
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Unreadable> {
    let mut fields = Vec::new();
    decoder.decode(block, &mut |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok(fields)
}

/// Blocks of RFC 7541 appendix C, those that change the table's size, and some that are long.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
        "040c2f73616d706c652f70617468",
        "100870617373776f726406736563726574",
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af2708\
         7f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        "203fe11f82",
        "3f8101bebf",
    ]
    .into_iter()
    .map(|text| octets(&text.replace(' ', "")))
    .collect();
    let long = |len: usize| {
        [
            &[0x40, 1, b'a', 0x7f, 0x80 | ((len - 127) & 0x7f) as u8, ((len - 127) >> 7) as u8][..],
            &vec![b'x'; len],
        ]
        .concat()
    };
    corpus.extend([long(2000), long(4063), long(4064)]);
    corpus
}

/// The longest integer that we take, and the octets it has behind its prefix: there is no use for more, and the other takes any.
const LONGEST: (u64, usize) = (1 << 24, 4);

/// Whether an integer of the block is longer than we take: one that stands where the block's own structure has one.
fn has_long_integer(block: &[u8]) -> bool {
    let mut rest = block;
    // What is cut off has no long one.
    while let Some(&first) = rest.first() {
        let literal = match first {
            0x80.. => None,
            0x40.. => Some(6),
            0x20.. => None,
            _ => Some(4),
        };
        let bits = literal.unwrap_or(if first >= 0x80 { 7 } else { 5 });
        let strings = match (integer(&mut rest, bits), literal) {
            (Integer::Long, _) => return true,
            (Integer::Cut, _) => return false,
            (Integer::Is(_), None) => 0,
            (Integer::Is(0), Some(_)) => 2,
            (Integer::Is(_), Some(_)) => 1,
        };
        for _ in 0..strings {
            match integer(&mut rest, 7) {
                Integer::Long => return true,
                Integer::Cut => return false,
                Integer::Is(len) => match rest.get(len as usize..) {
                    Some(behind) => rest = behind,
                    None => return false,
                },
            }
        }
    }
    false
}

#[derive(Debug, PartialEq)]
enum Integer {
    Is(u64),
    Long,
    Cut,
}

fn integer(rest: &mut &[u8], bits: u8) -> Integer {
    let mask = (1_u64 << bits) - 1;
    let Some((&first, mut behind)) = rest.split_first() else { return Integer::Cut };
    let mut value = u64::from(first) & mask;
    let mut octets = 0;
    while octets > 0 || value == mask {
        let Some((&octet, more)) = behind.split_first() else { return Integer::Cut };
        behind = more;
        if octets == LONGEST.1 {
            return Integer::Long;
        }
        value += u64::from(octet & 0x7f) << (7 * octets);
        octets += 1;
        if value > LONGEST.0 {
            return Integer::Long;
        }
        if octet < 0x80 {
            break;
        }
    }
    *rest = behind;
    Integer::Is(value)
}

/// Octets that look like a long integer and are none are no excuse.
#[test]
fn h2_hpack_long_integers() {
    let value = [&[0x40, 1, b'a', 5][..], &[0xff; 5]].concat();
    assert!(!has_long_integer(&value), "within a value");
    assert!(!has_long_integer(&[0x82, 0x86, 0x84, 0x88, 0x90]), "indices");
    assert!(!has_long_integer(&[0xff, 0x80, 0x80, 0x80, 0x00]), "as long as may be");
    assert!(has_long_integer(&[0x82, 0xff, 0x80, 0x80, 0x80, 0x80, 0x00]));
    assert!(has_long_integer(&[0x40, 1, b'a', 0x7f, 0x80, 0x80, 0x80, 0x80, 0x00]));
    assert_eq!(integer(&mut &[0x1f, 0x9a, 0x0a][..], 5), Integer::Is(1337));
}

/// Any blocks, one behind the other on one connection.
#[test]
fn h2_hpack_blocks() {
    fuzz(&vec(mutated(corpus()), 1..8), |blocks| {
        let (mut peer, mut decoder) = (Peer::fresh(), Decoder::new());
        let peer = peer.as_mut().unwrap();
        for block in &blocks {
            match (decode(&mut decoder, block), peer.decode(block)) {
                (Ok(ours), Verdict::Fields(theirs)) => assert_eq!(ours, theirs, "{}", hex(block)),
                (Err(_), Verdict::Malformed) | (_, Verdict::Large) => break,
                (Err(_), Verdict::Fields(_)) if has_long_integer(block) => break,
                (ours, theirs) => panic!("{}: {ours:?}, {theirs:?}", hex(block)),
            }
        }
    });
}

/// Blocks that the other implementation makes of fields, with and without Huffman's code, with tables of any size.
#[test]
fn h2_hpack_fields() {
    let name = prop_oneof![
        "[a-z-]{1,12}",
        select(vec![":path", ":status", "cookie", "date", "x-a"]).prop_map(str::to_owned)
    ];
    let value = prop_oneof![
        vec(any::<u8>(), 0..60),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        vec(32_u8..127, 900..1500)
    ];
    let field = (name, value, select(vec!['i', 'i', 'n']));
    let block = (
        vec(field, 1..10),
        select(vec!["huffman", "plain"]),
        prop_oneof![3 => Just(None), 1 => (0_usize..=4096).prop_map(Some)],
    );
    fuzz(&vec(block, 1..8), |blocks| {
        let (mut peer, mut decoder) = (Peer::fresh(), Decoder::new());
        let peer = peer.as_mut().unwrap();
        for (fields, coding, size) in blocks {
            if let Some(size) = size {
                peer.ask(&format!("size {size}"));
            }
            let words: String = fields
                .iter()
                .map(|(n, v, kind)| format!(" {kind}:{}:{}", hex(n.as_bytes()), hex(v)))
                .collect();
            let block = octets(&peer.ask(&format!("{coding}{words}")));
            let wanted: Fields =
                fields.into_iter().map(|(name, value, _)| (name.into_bytes(), value)).collect();
            assert_eq!(decode(&mut decoder, &block), Ok(wanted), "{}", hex(&block));
        }
    });
}

/// Each symbol of Huffman's code, alone and beside each of its neighbours.
#[test]
fn h2_hpack_symbols() {
    let mut peer = Peer::fresh();
    let peer = peer.as_mut().unwrap();
    for symbol in 0..=255_u8 {
        let values =
            [vec![symbol], vec![symbol; 9], vec![b'0', symbol, symbol.wrapping_add(1), symbol ^ 0x80]];
        let words: String = values.iter().map(|value| format!(" n:78:{}", hex(value))).collect();
        let block = octets(&peer.ask(&format!("huffman{words}")));
        let wanted = values.map(|value| (b"x".to_vec(), value));
        assert_eq!(decode(&mut Decoder::new(), &block), Ok(wanted.to_vec()), "{symbol}");
    }
}
