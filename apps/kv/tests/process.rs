//! As a process, on the host's sockets: what many, slow and hostile clients see.

use fata::testing::{Process, free_port};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn server(params: &[&str]) -> (Process, u16) {
    let port = free_port();
    let own = format!("port={port}");
    let server = Process::start(env!("CARGO_BIN_EXE_kv"), [&[&*own], params].concat());
    server.wait_for(&format!("kv: port {port}"));
    (server, port)
}

struct Client(TcpStream);

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        Self(stream)
    }

    fn send(&mut self, octets: &[u8]) {
        self.0.write_all(octets).expect("it is sent");
    }

    /// So many octets.
    fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        self.0.read_exact(&mut octets).expect("octets");
        octets
    }

    fn expect(&mut self, say: &str, hear: &str) {
        self.send(say.as_bytes());
        let heard = self.receive(hear.len());
        assert_eq!(String::from_utf8_lossy(&heard), hear, "{say}");
    }

    /// What comes until the server closes.
    fn rest(&mut self) -> String {
        let mut octets = Vec::new();
        match self.0.read_to_end(&mut octets) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        String::from_utf8_lossy(&octets).into_owned()
    }
}

#[test]
fn commands_that_come_together_are_answered_in_order() {
    let (server, port) = server(&[]);
    let mut client = Client::new(port);
    let (mut say, mut hear) = (String::new(), String::new());
    for n in 0..3000 {
        say += &format!("*3\r\n$3\r\nSET\r\n$4\r\n{n:04}\r\n$1\r\nx\r\n*2\r\n$3\r\nGET\r\n$4\r\n{n:04}\r\n");
        hear += "+OK\r\n$1\r\nx\r\n";
    }
    client.expect(&say, &hear);
    client.expect("get 0007\r\n\r\nPING\r\n", "$1\r\nx\r\n+PONG\r\n");
    client.expect("QUIT\r\nPING\r\n", "+OK\r\n");
    assert_eq!(client.rest(), "");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn large_values_come_back() {
    let (server, port) = server(&[]);
    let mut client = Client::new(port);
    let value: Vec<u8> = (0..10_u32 << 20).map(|n| (n % 251) as u8).collect();
    client.send(format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n${}\r\n", value.len()).as_bytes());
    client.send(&value);
    client.expect("\r\n", "+OK\r\n");
    let head = format!("${}\r\n", value.len());
    client.expect("get k\r\n", &head);
    assert!(client.receive(value.len()) == value);
    client.expect("ping\r\n", "\r\n+PONG\r\n");
    // One more than may be.
    client.send(b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$16777217\r\n");
    assert_eq!(client.rest(), "-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn strangers_may_do_little() {
    let (server, port) = server(&["password=secret", "maxclients=2"]);
    let mut client = Client::new(port);
    client.expect("get a\r\n", "-NOAUTH Authentication required.\r\n");
    client.expect("auth wrong\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    client.expect("auth default secret\r\nget a\r\n", "+OK\r\n$-1\r\n");
    let mut stranger = Client::new(port);
    stranger.expect("get a\r\n", "-NOAUTH");
    assert_eq!(Client::new(port).rest(), "-ERR max number of clients reached\r\n");
    stranger.send(b"*1000\r\n");
    assert!(stranger.rest().ends_with("-ERR Protocol error: unauthenticated multibulk length\r\n"));
    // There is room again.
    let since = Instant::now();
    loop {
        let mut next = Client::new(port);
        next.send(b"*1\r\n$20000\r\n");
        match &*next.rest() {
            "-ERR Protocol error: unauthenticated bulk length\r\n" => break,
            other => assert!(since.elapsed() < Duration::from_secs(10), "{other}"),
        }
    }
    assert_eq!(server.leave().code(), Some(0));
}

/// Puts values of 1000 octets, and gives the last answer.
fn fill(client: &mut Client, count: usize) -> String {
    let value = "v".repeat(1000);
    let mut last = String::new();
    for n in 0..count {
        client.send(format!("*3\r\n$3\r\nset\r\n$5\r\n{n:05}\r\n$1000\r\n{value}\r\n").as_bytes());
        last = match client.receive(1)[0] {
            b'+' => "+OK".into(),
            _ => "-".into(),
        };
        while client.receive(1) != b"\n" {}
    }
    last
}

#[test]
fn memory_has_a_bound() {
    let (server, port) = server(&["maxmemory=1MiB"]);
    let mut client = Client::new(port);
    assert_eq!(fill(&mut client, 1500), "-");
    client.expect("set a 1\r\n", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    client.expect("del 00000 00001 00002\r\nset a 1\r\n", ":3\r\n+OK\r\n");
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        client.expect("flushall\r\n", "+OK\r\n");
        client.expect(&format!("config set maxmemory-policy {policy}\r\n"), "+OK\r\n");
        assert_eq!(fill(&mut client, 3000), "+OK", "{policy}");
        client.send(b"dbsize\r\n");
        let count = String::from_utf8(client.receive(5)).expect("digits");
        let count: usize = count[1..4].parse().expect("three digits and the end of the line");
        assert!((700..1000).contains(&count), "{policy}: {count}");
        client.receive(1);
    }
    client.expect("flushall\r\nconfig set maxmemory-policy volatile-ttl\r\n", "+OK\r\n+OK\r\n");
    client.expect("set keep 1\r\nset soon 1 ex 1000\r\nset later 1 ex 2000\r\n", "+OK\r\n+OK\r\n+OK\r\n");
    assert_eq!(fill(&mut client, 1500), "-");
    client.expect("exists keep soon later\r\n", ":1\r\n");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn what_is_used_stays() {
    let (server, port) = server(&["maxmemory=1MiB", "policy=allkeys-lru"]);
    let mut client = Client::new(port);
    fill(&mut client, 500);
    std::thread::sleep(Duration::from_millis(300));
    // The first hundred are used; the new ones take the place of others.
    for n in 0..100 {
        client.send(format!("touch {n:05}\r\n").as_bytes());
        client.receive(4);
    }
    std::thread::sleep(Duration::from_millis(100));
    let value = "w".repeat(1000);
    for n in 0..700 {
        client.expect(&format!("*3\r\n$3\r\nset\r\n$5\r\nn{n:04}\r\n$1000\r\n{value}\r\n"), "+OK\r\n");
    }
    let mut left = [0, 0];
    for n in 0..500 {
        client.send(format!("exists {n:05}\r\n").as_bytes());
        let is_there = client.receive(4)[1] == b'1';
        left[usize::from(n >= 100)] += usize::from(is_there);
    }
    // Of a hundred that were used far more than of a hundred of the others.
    assert!(left[0] >= 2 * left[1] / 4, "{left:?}");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn who_does_not_read_is_closed() {
    let (server, port) = server(&[]);
    let (mut slow, mut client) = (Client::new(port), Client::new(port));
    slow.expect("subscribe ch\r\n", "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n");
    let message = "m".repeat(1 << 20);
    let mut heard = 1;
    for _ in 0..64 {
        client.send(
            format!("*3\r\n$7\r\npublish\r\n$2\r\nch\r\n${}\r\n{message}\r\n", message.len()).as_bytes(),
        );
        heard = usize::from(client.receive(4)[1] - b'0');
        if heard == 0 {
            break;
        }
    }
    assert_eq!(heard, 0, "it is there for ever");
    client.expect("ping\r\n", "+PONG\r\n");
    // Answers without end to who does not take them.
    let value = "v".repeat(1 << 20);
    client.send(format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len()).as_bytes());
    client.receive(5);
    let mut greedy = Client::new(port);
    greedy.send("mget k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k k\r\n".repeat(2).as_bytes());
    assert!(greedy.rest().len() < 80 << 20);
    client.expect("ping\r\n", "+PONG\r\n");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn waiting_ends_with_what_comes_or_with_its_time() {
    let (server, port) = server(&[]);
    let (mut waiting, mut client) = (Client::new(port), Client::new(port));
    let since = Instant::now();
    waiting.expect("blpop q 0.2\r\nping\r\n", "*-1\r\n+PONG\r\n");
    assert!(since.elapsed() >= Duration::from_millis(200));
    waiting.send(b"blpop q 0\r\nping\r\n");
    client.expect("ping\r\n", "+PONG\r\n");
    while {
        client.send(b"rpush q v\r\nlpop q\r\n");
        client.receive(4);
        client.receive(3) == b"$1\r"
    } {
        client.receive(4);
    }
    client.receive(2);
    assert_eq!(waiting.receive(25), b"*2\r\n$1\r\nq\r\n$1\r\nv\r\n+PONG\r\n"[..].to_vec());
    // One who goes while it waits takes nothing with it.
    waiting.send(b"blpop r 0\r\n");
    drop(waiting);
    std::thread::sleep(Duration::from_millis(200));
    client.expect("rpush r v\r\nlpop r\r\n", ":1\r\n$1\r\nv\r\n");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    for (param, said) in [("policy=most", "policy"), ("durability=sometimes", "durability")] {
        let mut server = Process::start(env!("CARGO_BIN_EXE_kv"), [param]);
        server.wait_for(&format!("boot parameter {said}: "));
        assert_ne!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let (server, port) = server(&[]);
    let (mut idle, mut listening, mut waiting) = (Client::new(port), Client::new(port), Client::new(port));
    idle.expect("set a 1\r\n", "+OK\r\n");
    listening.expect("subscribe a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    waiting.send(b"blpop q 0\r\n");
    let mut busy = Client::new(port);
    // Who waits already is meant too.
    busy.expect("config set timeout 1\r\n", "+OK\r\n");
    busy.expect("config get timeout\r\n", "*2\r\n$7\r\ntimeout\r\n$1\r\n1\r\n");
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(2500) {
        busy.expect("ping\r\n", "+PONG\r\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(idle.0.read(&mut [0; 10]).expect("it is closed in order"), 0);
    busy.expect("rpush q x\r\n", ":1\r\n");
    waiting.expect("", "*2\r\n$1\r\nq\r\n$1\r\nx\r\n");
    busy.expect("publish a b\r\n", ":1\r\n");
    listening.expect("", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(waiting.0.read(&mut [0; 10]).expect("it is closed in order"), 0);
    assert_eq!(server.leave().code(), Some(0));
}

/// How long a client waits for the answer to a command.
fn time(client: &mut Client, say: &str, hear: &str) -> Duration {
    let since = Instant::now();
    client.expect(say, hear);
    since.elapsed()
}

#[test]
fn clients_are_held_up_for_as_long_as_was_said() {
    let (server, port) = server(&[]);
    let (mut one, mut other) = (Client::new(port), Client::new(port));
    let pause = Duration::from_millis(400);
    one.expect("client pause 400 write\r\n", "+OK\r\n");
    assert!(time(&mut other, "get a\r\n", "$-1\r\n") < pause / 2);
    assert!(time(&mut other, "set a 1\r\nget a\r\n", "+OK\r\n$1\r\n1\r\n") > pause / 2);
    one.expect("client pause 400\r\n", "+OK\r\n");
    assert!(time(&mut other, "ping\r\n", "+PONG\r\n") > pause / 2);
    // A transaction that writes waits as a whole.
    one.expect("client pause 400 write\r\n", "+OK\r\n");
    other.expect("multi\r\nget a\r\n", "+OK\r\n+QUEUED\r\n");
    assert!(time(&mut other, "exec\r\n", "*1\r\n$1\r\n1\r\n") < pause / 2);
    assert!(time(&mut other, "multi\r\n", "+OK\r\n") < pause / 2);
    std::thread::sleep(pause);
    other.expect("set a 2\r\n", "+QUEUED\r\n");
    one.expect("client pause 400 write\r\n", "+OK\r\n");
    assert!(time(&mut other, "exec\r\n", "*1\r\n+OK\r\n") > pause / 2);
    // Of two the longer one counts; who writes goes on as soon as it is over.
    one.expect("client pause 100000 write\r\nclient pause 1 write\r\n", "+OK\r\n+OK\r\n");
    other.send(b"set a 3\r\n");
    std::thread::sleep(pause / 2);
    one.expect("get a\r\nclient unpause\r\n", "$1\r\n2\r\n+OK\r\n");
    other.expect("get a\r\n", "+OK\r\n$1\r\n3\r\n");
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn a_subsequence_takes_no_more_memory_than_a_value() {
    let (server, port) = server(&[]);
    let mut client = Client::new(port);
    for (key, len) in [("a", 3000), ("b", 1000)] {
        client.expect(&format!("setrange {key} {} x\r\n", len - 1), &format!(":{len}\r\n"));
    }
    client.expect("lcs a b len\r\n", ":1000\r\n");
    let refused = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n";
    client.expect("lcs a a len\r\n", refused);
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn calls_and_errors_are_counted() {
    let (server, port) = server(&[]);
    let mut client = Client::new(port);
    client.expect("set a x\r\nget\r\nincr a\r\n", "+OK\r\n-ERR");
    client.send(b"lpush a 1\r\nfoo\r\nmulti\r\nget a\r\nexec\r\ninfo default\r\ninfo all\r\nquit\r\n");
    let said = client.rest();
    let (usual, all) = said.split_at(said.rfind("# Server").expect("a section"));
    assert!(!usual.contains("cmdstat_"), "{usual}");
    for line in [
        "cmdstat_get:calls=1,rejected_calls=1,failed_calls=0\r\n",
        "cmdstat_set:calls=1,rejected_calls=0,failed_calls=0\r\n",
        "cmdstat_incr:calls=1,rejected_calls=0,failed_calls=1\r\n",
        "errorstat_ERR:count=3\r\n",
        "errorstat_WRONGTYPE:count=1\r\n",
    ] {
        assert!(all.contains(line), "no {line} in {all}");
    }
    assert_eq!(server.leave().code(), Some(0));
}
