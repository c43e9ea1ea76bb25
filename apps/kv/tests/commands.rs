//! Commands are answered as the table `commands.txt` says.

mod table;

use fata::testing;
use kv_core::commands::{blocking, execute};
use kv_core::resp::{Args, split};
use kv_core::server::{Client, Config, Core, Link, run};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use table::{Act, Entry, table};

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
    for Entry { line, client: id, act, command, answer: expected } in table() {
        let answer = match act {
            Act::Say => bench.say(id, command),
            Act::Wait => {
                assert_eq!(bench.say(id, command), b"", "{line}: it does not wait");
                continue;
            }
            Act::Hear => {
                let mut all = heard.remove(&id).unwrap_or_default();
                all.extend(bench.hear(id));
                all
            }
        };
        let Some(expected) = expected else { continue };
        compared += 1;
        if answer.len() > expected.len() && answer.starts_with(&expected) {
            heard.insert(id, answer[expected.len()..].to_vec());
        } else if answer != expected {
            let (said, expected) = (answer.escape_ascii(), expected.escape_ascii());
            differing.push(format!("{line}\n  is   {said}\n  not  {expected}"));
        }
    }
    assert!(compared > 1000, "only {compared}");
    // Nothing that nobody has asked for.
    differing.extend(heard.iter().map(|(id, more)| format!("{id}: and {}", more.escape_ascii())));
    differing
}
