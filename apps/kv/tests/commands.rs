//! The table `commands.txt`: commands, and what redis-server 7.0.15 answers, octet by octet.

use fata::testing;
use kv_core::commands::{blocking, execute};
use kv_core::resp::{Args, split};
use kv_core::server::{Client, Config, Core, Link, run};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

const TABLE: &str = include_str!("commands.txt");

/// The octets that a line of the table stands for.
fn octets(text: &str) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        octets.push(match (first, behind) {
            (b'\\', [b'r', ..]) => b'\r',
            (b'\\', [b'n', ..]) => b'\n',
            (b'\\', [b'\\', ..]) => b'\\',
            (b'\\', [b'x', a, b, ..]) => {
                rest = &behind[2..];
                u8::from_str_radix(std::str::from_utf8(&[*a, *b]).expect("digits"), 16).expect("digits")
            }
            _ => first,
        });
        if first == b'\\' {
            rest = &rest[1..];
        }
    }
    octets
}

struct Bench {
    core: Core,
    clients: BTreeMap<u64, Client>,
}

impl Bench {
    fn new() -> Self {
        let mut core = Core::new(Config::default(), 7);
        core.store.now = run::now();
        Self { core, clients: BTreeMap::new() }
    }

    fn client(&mut self, id: u64) -> &mut Client {
        let now = self.core.store.now;
        self.clients.entry(id).or_insert_with(|| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let link = Rc::new(Link::new(id, address, address, now));
            self.core.hub.links.push(link.clone());
            Client::new(link, true, 1 << 20)
        })
    }

    fn say(&mut self, id: u64, line: &str) -> Vec<u8> {
        let (mut words, mut ranges) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut words, &mut ranges).expect("words");
        self.client(id);
        let client = self.clients.get_mut(&id).expect("it is there");
        execute(&mut self.core, client, Args::new(&words, &ranges));
        std::mem::take(&mut client.out.octets)
    }

    /// What a client was sent unasked. One that waits has waited long enough.
    fn hear(&mut self, id: u64) -> Vec<u8> {
        let link = self.client(id).session.link.clone();
        if link.is_blocked.get() {
            assert!(self.client(id).session.deadline.is_some(), "it waits for ever");
            blocking::unblock(&mut self.core.store, &mut self.core.hub, &link, None);
        }
        let mut octets = Vec::new();
        link.take_inbox(&mut octets);
        octets
    }
}

#[test]
fn answers_are_those_of_redis() {
    let differing = testing::run("", async |_| check());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}

fn check() -> Vec<String> {
    let (mut bench, mut differing, mut compared) = (Bench::new(), Vec::new(), 0);
    // What a client was sent with one message may be several in the table.
    let mut heard: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut lines = TABLE.lines().peekable();
    while let Some(line) = lines.next() {
        let command = line.trim_start_matches('~');
        let Some(at) = command.find(['>', '<', '-']).filter(|_| !command.starts_with('#')) else { continue };
        let id = if at == 0 { 0 } else { command[..at].parse().expect("the number of a client") };
        let answer = match &command[at..=at] {
            ">" => bench.say(id, &command[at + 1..]),
            "-" => {
                assert_eq!(bench.say(id, &command[at + 1..]), b"", "{line}: it does not wait");
                continue;
            }
            _ => {
                let mut all = heard.remove(&id).unwrap_or_default();
                all.extend(bench.hear(id));
                all
            }
        };
        let Some(expected) = lines.next_if(|line| line.starts_with('=')) else { continue };
        let expected = octets(&expected[2..]);
        compared += 1;
        if answer.len() > expected.len() && answer.starts_with(&expected) {
            heard.insert(id, answer[expected.len()..].to_vec());
        } else if answer != expected {
            let (said, expected) = (answer.escape_ascii(), expected.escape_ascii());
            differing.push(format!("{line}\n  is   {said}\n  not  {expected}"));
        }
    }
    assert!(compared > 900, "only {compared}");
    // Nothing that nobody has asked for.
    differing.extend(heard.iter().map(|(id, more)| format!("{id}: and {}", more.escape_ascii())));
    differing
}
