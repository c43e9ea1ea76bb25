//! What clients say to the key-value store, and what its disk has: any octets.

use fata_fuzz::{fuzz, mutated};
use fata_libos::testing;
use kv_core::commands::execute;
use kv_core::glob;
use kv_core::keep::Journal;
use kv_core::keep::rows::{Loader, Rows};
use kv_core::number::{Extended, parse_double, parse_int, push_double, push_int};
use kv_core::resp::{Limits, Parser, Step};
use kv_core::server::{Client, Config, Core, Link};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

const LIMITS: Limits = Limits { arguments: 64, bulk: 4096, name: 4096 };

/// The recorded table, as clients write it, some commands at a time.
fn corpus() -> Vec<Vec<u8>> {
    let table = include_str!("../../apps/kv/tests/commands.txt");
    let commands = table.lines().filter_map(|line| line.split_once("> ")).map(|(_, command)| command);
    let quiet = |command: &&str| !["shutdown", "hello 2"].iter().any(|word| command.starts_with(word));
    let commands: Vec<&str> = commands.filter(quiet).collect();
    let mut corpus: Vec<Vec<u8>> =
        commands.chunks(6).map(|some| some.iter().flat_map(|line| resp(line)).collect()).collect();
    corpus.push(b"set a 'b c'\r\nget \"\\x61\"\r\n*0\r\n*-1\r\nping\n".to_vec());
    corpus
}

fn resp(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let args: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{args}", words.len()).into_bytes()
}

/// Commands in octets that are cut anywhere: their words, or the error.
fn commands(octets: &[u8], cuts: &[usize]) -> Vec<Result<Vec<Vec<u8>>, String>> {
    let (mut parser, mut start, mut found) = (Parser::default(), 0, Vec::new());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (octets.len() + 1)).collect();
    ends.push(octets.len());
    ends.sort_unstable();
    for end in ends {
        loop {
            match parser.step(&octets[start..end], LIMITS) {
                Ok(Step::Command(len)) => {
                    assert!(len > 0 && start + len <= end, "{len} octets at {start} of {end}");
                    let args = parser.args(&octets[start..end]);
                    assert!(args.len() <= LIMITS.arguments.max(end - start));
                    found.push(Ok(args.from(0).map(<[u8]>::to_vec).collect()));
                    start += len;
                }
                Ok(Step::More) => {
                    assert!(parser.missing(&octets[start..end], LIMITS) <= LIMITS.bulk + 2);
                    break;
                }
                Err(error) => {
                    found.push(Err(error.to_string()));
                    return found;
                }
            }
        }
    }
    found
}

/// However octets come, they say the same.
#[test]
fn kv_resp() {
    fuzz(&(mutated(corpus()), vec(any::<usize>(), 0..12)), |(octets, cuts)| {
        assert_eq!(commands(&octets, &[]), commands(&octets, &cuts));
    });
}

/// One whole answer at the front; what is behind it.
fn answer(octets: &[u8]) -> &[u8] {
    let end = octets.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let (line, rest) = (&octets[..end], &octets[end + 2..]);
    let number =
        || std::str::from_utf8(&line[1..]).ok().and_then(|n| n.parse::<i64>().ok()).expect("a number");
    match line[0] {
        b'+' | b'-' | b'_' | b'#' | b',' => rest,
        b':' => {
            number();
            rest
        }
        b'$' | b'=' => match usize::try_from(number()) {
            Ok(len) => rest[len..].strip_prefix(b"\r\n").expect("the end of octets"),
            Err(_) => rest,
        },
        b'*' | b'~' | b'>' => (0..number()).fold(rest, |rest, _| answer(rest)),
        b'%' => (0..number() * 2).fold(rest, |rest, _| answer(rest)),
        other => panic!("an answer with {other}"),
    }
}

fn client() -> Client {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Client::new(Rc::new(Link::new(1, address, address, 0)), true, 1 << 20)
}

/// Any commands have whole answers, and leave data whose rows bring it back.
#[test]
fn kv_commands() {
    fuzz(&(mutated(corpus()), mutated(corpus())), |(first, second)| {
        testing::run(async {
            let (mut core, mut client) = (Core::new(Config::default(), 7), client());
            core.store.now = 1_700_000_000_000;
            core.store.journal = Some(Journal::default());
            core.hub.config.limits = LIMITS;
            for octets in [first, second] {
                for words in commands(&octets, &[]).into_iter().flatten() {
                    // Nobody is asked to leave for a test, and nothing is made large.
                    let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
                    if name.is_empty() || name == b"shutdown" {
                        continue;
                    }
                    let lines: Vec<u8> = words
                        .iter()
                        .flat_map(|word| [format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat())
                        .collect();
                    let whole = [format!("*{}\r\n", words.len()).as_bytes(), &lines].concat();
                    let mut parser = Parser::default();
                    assert_eq!(parser.step(&whole, Config::default().limits), Ok(Step::Command(whole.len())));
                    if !client.session.link.is_blocked.get() && !client.session.is_over {
                        execute(&mut core, &mut client, parser.args(&whole));
                    }
                    let mut rest = &client.out.octets[..];
                    while !rest.is_empty() {
                        rest = answer(rest);
                    }
                    client.out.octets.clear();
                }
            }
            let count = |core: &Core| core.store.dbs().iter().map(|db| db.len()).sum::<usize>();
            let changes = core.store.journal.as_mut().expect("it is there").take();
            let rows = Rows::new([1, 2]).of(&mut core.store, &changes);
            let (mut other, mut loader) = (Core::new(Config::default(), 7), Loader::default());
            let mut puts: Vec<_> = rows
                .into_iter()
                .filter_map(|row| match row {
                    kv_core::keep::Row::Put(name, value) => Some((name, value)),
                    _ => None,
                })
                .collect();
            puts.sort();
            for (name, value) in &puts {
                loader.row(&mut other.store, name, value).expect("our own row");
            }
            assert_eq!((count(&other), loader.torn.len()), (count(&core), 0));
        });
    });
}

/// Rows of a disk that somebody else has written.
#[test]
fn kv_rows() {
    let good = vec![
        b"S\x01".to_vec(),
        b"A\x00\x00\x01k\x02\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"B\x00\x00\x01k\x00\x08\x80\x00\x00\x00\x00\x00\x00\x00item".to_vec(),
    ];
    fuzz(&vec((mutated(good.clone()), mutated(good)), 1..8), |rows| {
        testing::run(async {
            let (mut core, mut loader) = (Core::new(Config::default(), 7), Loader::default());
            for (name, value) in &rows {
                let _ = loader.row(&mut core.store, name, value);
            }
            core.store.drop_empty();
            assert!(core.store.dbs().iter().all(|db| db.iter().all(|(_, object)| object.value.count() > 0)));
        });
    });
}

/// Numbers that are taken are written so that they are taken again, and patterns have an end.
#[test]
fn kv_words() {
    fuzz(&(vec(any::<u8>(), 0..40), "[-+0-9.e]{0,30}", any::<f64>()), |(octets, text, double)| {
        for text in [&octets[..], text.as_bytes()] {
            if let Some(number) = parse_int(text) {
                let mut again = Vec::new();
                push_int(&mut again, number);
                assert_eq!(again, text);
            }
            if let Some(number) = parse_double(text) {
                let mut again = Vec::new();
                push_double(&mut again, number);
                assert_eq!(parse_double(&again), Some(number));
            }
            if let Some(number) = Extended::parse(text) {
                number.push(&mut Vec::new());
                number.plus(number).inspect(|sum| sum.push(&mut Vec::new()));
            }
        }
        if !double.is_nan() {
            let mut text = Vec::new();
            push_double(&mut text, double);
            let scientific = format!("{double:.16e}").parse::<f64>().expect("a number");
            assert_eq!(parse_double(&text), Some(scientific));
        }
        glob::matches(&octets, text.as_bytes());
        glob::matches(text.as_bytes(), &octets);
    });
}
