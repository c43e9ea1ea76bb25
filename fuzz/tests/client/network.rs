//! Servers that a client's requests come to. Each looks whether what comes may come to it at all, and then does what it is
//! told.

use crate::common::{End, duplex};
use crate::net::Both;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_http::client::{Connector, Origin};
use fata_libos::time::{Duration, sleep};
use proptest::sample::Index;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a server does with a request. Times are seconds.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers as it should, after a while.
    Honest(u64),
    /// Answers as it should before it has the request's content.
    Early,
    /// Leads elsewhere.
    Redirect(u16, Vec<u8>),
    /// Says this.
    Says(Vec<u8>),
    /// Answers as it should, and says this behind, at once or after a while.
    Behind(u64, Vec<u8>),
    /// Answers as it should, and ends the connection after a while.
    Ends(u64),
    /// Says a part of an answer, and ends the connection after a while.
    Part(Index, u64),
    /// Says no before it has the request's content, and ends the connection.
    Refuses,
    /// Says nothing.
    Silent,
}

/// How many connections there may be, of one origin and of all.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub per_origin: usize,
    pub all: usize,
}

/// How often one fetch may come: redirections and the first request, each with a second try.
const MOST_REQUESTS: u32 = 2 * (1 + REDIRECTS as u32);

/// How many redirections a client follows.
pub const REDIRECTS: usize = 5;

/// All servers.
pub struct World {
    acts: Vec<Act>,
    next: Cell<usize>,
    bounds: Bounds,
    connections: RefCell<BTreeMap<String, usize>>,
    requests: RefCell<BTreeMap<String, u32>>,
}

impl World {
    /// Servers that do this, one request after the other, and then nothing but what they should.
    pub fn new(acts: Vec<Act>, bounds: Bounds) -> Rc<Self> {
        Rc::new(Self {
            acts,
            next: Cell::default(),
            bounds,
            connections: RefCell::default(),
            requests: RefCell::default(),
        })
    }

    /// Connections that the client has not let go.
    pub fn connections(&self) -> usize {
        self.connections.borrow().values().sum()
    }

    fn act(&self) -> Act {
        let next = self.next.replace(self.next.get() + 1);
        self.acts.get(next).cloned().unwrap_or(Act::Honest(0))
    }

    /// What must not come to the server of an origin.
    fn check(&self, origin: &str, head: &str) {
        let host = field(head, "Host").unwrap_or_else(|| panic!("no host: {head}"));
        assert_eq!(origin.split_once("://").map(|(_, authority)| authority), Some(host), "{head}");
        if let Some(secret) = field(head, "Authorization") {
            assert_eq!(secret, origin, "a secret goes to another: {head}");
        }
        if field(head, "X-Secure").is_some() {
            assert!(origin.starts_with("https:"), "from https to http: {head}");
        }
        if head.starts_with("GET ") || head.starts_with("HEAD ") {
            for name in ["Content-Length", "Content-Type", "Transfer-Encoding", "Expect"] {
                assert_eq!(field(head, name), None, "{head}");
            }
        }
        let id = field(head, "X-Id").unwrap_or_else(|| panic!("no id: {head}"));
        let mut requests = self.requests.borrow_mut();
        let requests = requests.entry(id.into()).or_default();
        *requests += 1;
        assert!(*requests <= MOST_REQUESTS, "{requests} requests: {head}");
    }
}

/// A field of a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// An origin's name: what secrets for it are, too.
pub fn name_of(origin: &Origin) -> String {
    format!("{}://{}", origin.scheme().as_str(), origin.authority())
}

/// Connects to its servers.
pub struct Network(pub Rc<World>);

/// The client's end to read from. It counts as a connection.
pub struct Counted {
    end: End,
    _connection: Connection,
}

struct Connection {
    world: Rc<World>,
    origin: String,
}

impl Connection {
    fn new(world: &Rc<World>, origin: &str) -> Self {
        let mut connections = world.connections.borrow_mut();
        *connections.entry(origin.into()).or_default() += 1;
        let (of_origin, all) = (connections[origin], connections.values().sum::<usize>());
        let Bounds { per_origin, all: most } = world.bounds;
        assert!(of_origin <= per_origin && all <= most, "{of_origin} connections to {origin}, {all} in all");
        Self { world: world.clone(), origin: origin.into() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(count) = self.world.connections.borrow_mut().get_mut(&self.origin) {
            *count -= 1;
        }
    }
}

impl ErrorType for Counted {
    type Error = ErrorKind;
}

impl Read for Counted {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.end.read(buf).await
    }
}

impl Connector for Network {
    type Reader = Counted;
    type Writer = End;
    type Error = &'static str;

    async fn connect(&self, origin: &Origin) -> Result<(Counted, End), &'static str> {
        let name = name_of(origin);
        let connection = Connection::new(&self.0, &name);
        match origin.host() {
            "refused.test" => return Err("refused"),
            "silent.test" => core::future::pending().await,
            _ => sleep(Duration::from_millis(20)).await,
        }
        let ((ours, read), (other, write)) = (duplex(512), duplex(512));
        fata_libos::spawn_detached(serve(self.0.clone(), name, Both { read, write }));
        Ok((Counted { end: other, _connection: connection }, ours))
    }

    fn has_input(&self, reader: &mut Counted) -> Option<bool> {
        Some(reader.end.has_input())
    }
}

async fn serve(world: Rc<World>, origin: String, mut end: Both) {
    // Whether nothing but what it should has been said on this connection.
    let mut is_clean = true;
    while serve_one(&world, &origin, &mut end, &mut is_clean).await == Some(()) {}
}

/// `None` where the connection ends.
async fn serve_one(world: &World, origin: &str, end: &mut Both, is_clean: &mut bool) -> Option<()> {
    let head = end.head().await;
    if !head.ends_with("\r\n\r\n") {
        return None;
    }
    world.check(origin, &head);
    let act = world.act();
    let answer = answer(origin, &head, *is_clean);
    match &act {
        Act::Refuses => {
            say(end, b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno").await?;
            return None;
        }
        Act::Early => say(end, &answer).await?,
        _ => {}
    }
    content(end, &head).await?;
    match act {
        Act::Honest(time) => {
            sleep(Duration::from_secs(time)).await;
            say(end, &answer).await
        }
        Act::Early => Some(()),
        Act::Redirect(status, location) => {
            *is_clean &= !location.contains(&b'\n');
            let start = format!("HTTP/1.1 {status} Go\r\nContent-Length: 4\r\nLocation: ");
            let content = if head.starts_with("HEAD ") { "" } else { "away" };
            say(end, &[start.as_bytes(), &location, b"\r\n\r\n", content.as_bytes()].concat()).await
        }
        Act::Says(octets) => {
            *is_clean = false;
            say(end, &octets).await
        }
        Act::Behind(time, octets) => {
            *is_clean = false;
            if time == 0 {
                return say(end, &[answer, octets].concat()).await;
            }
            say(end, &answer).await?;
            sleep(Duration::from_secs(time)).await;
            say(end, &octets).await
        }
        Act::Ends(time) => {
            say(end, &answer).await?;
            sleep(Duration::from_secs(time)).await;
            None
        }
        Act::Part(at, time) => {
            say(end, &answer[..at.index(answer.len() + 1)]).await?;
            sleep(Duration::from_secs(time)).await;
            None
        }
        Act::Refuses => None,
        Act::Silent => core::future::pending().await,
    }
}

async fn say(end: &mut Both, octets: &[u8]) -> Option<()> {
    end.write_all(octets).await.ok()
}

/// An answer as it should be: whose it is, whether it is the one to this request for sure, and to which.
fn answer(origin: &str, head: &str, is_clean: bool) -> Vec<u8> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let kind = if is_clean { "clean" } else { "perhaps" };
    let text = format!("answer {kind} {origin} {path} {}", field(head, "X-Id").unwrap_or_default());
    let content = if head.starts_with("HEAD ") { "" } else { &text };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", text.len()).into_bytes()
}

/// Reads a request's content, of which each octet is an `x`.
async fn content(end: &mut Both, head: &str) -> Option<()> {
    let has_length = field(head, "Content-Length").map(|length| length.parse::<usize>().unwrap());
    if field(head, "Expect").is_some() {
        say(end, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if let Some(length) = has_length {
        let mut content = vec![0; length];
        end.read_exact(&mut content).await.ok()?;
        assert!(content.iter().all(|octet| *octet == b'x'), "{head}");
    } else if field(head, "Transfer-Encoding").is_some() {
        let mut last = [0; 5];
        while last != *b"0\r\n\r\n" {
            last.rotate_left(1);
            end.read_exact(&mut last[4..]).await.ok()?;
        }
    }
    Some(())
}
