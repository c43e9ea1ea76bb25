//! Asks a web server for one page over and over: `fata-agent ask ADDRESS:PORT PATH SECONDS CONNECTIONS keep|new`.
//!
//! Each connection has one request under way at a time, and asks again as soon as the answer is whole; with `new` each request
//! has a connection of its own, which the server is to close. After so many seconds no request begins, and those under way
//! are waited for. Then one line on standard output says what became of all ([`Tally`]). Unlike wrk, which counts only
//! what comes, this counts what was asked: a request that is not answered in a minute, or not as the first one was, has
//! failed, and ends its connection.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long to connect, and then each part of an answer, may take. Who asks demands less of [`Tally::longest`].
const PATIENCE: Duration = Duration::from_secs(60);
/// An answer's head is not longer, octets.
const MAX_HEAD: usize = 16 << 10;

/// Whether a connection serves for more than one request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Connections {
    Kept,
    New,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    target: SocketAddr,
    path: String,
    time: Duration,
    count: usize,
    connections: Connections,
    patience: Duration,
}

/// What became of the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Begun, whether or not a connection came of it.
    pub sent: u64,
    /// Answered 200, wholly, and with the same content as the first.
    pub answered: u64,
    /// From the first step towards a request - connecting, where it needs that - to the end of its answer, at most.
    pub longest: Duration,
    /// How many the connection has been answered that has been answered least.
    pub least: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, answered, longest, least } = self;
        write!(f, "sent {sent} answered {answered} longest_ms {} least {least}", longest.as_millis())
    }
}

impl FromStr for Tally {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let field = |n: usize, name| {
            let value = words.get(2 * n + 1).filter(|_| words[2 * n] == name)?;
            value.parse::<u64>().ok()
        };
        let read = || {
            let longest = Duration::from_millis(field(2, "longest_ms")?);
            Some(Self {
                sent: field(0, "sent")?,
                answered: field(1, "answered")?,
                longest,
                least: field(3, "least")?,
            })
        };
        read().ok_or_else(|| format!("no tally of requests: {text:?}"))
    }
}

/// Does it; an error says the first request that failed.
pub fn main(arguments: &[String]) -> io::Result<()> {
    let wanted = parse(arguments).ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidInput, "usage: ask ADDRESS:PORT PATH SECONDS CONNECTIONS keep|new")
    })?;
    let (tally, error) = ask(&wanted);
    println!("{tally}");
    error.map_or(Ok(()), Err)
}

fn parse(arguments: &[String]) -> Option<Wanted> {
    let [target, path, seconds, count, connections] = arguments else { return None };
    let connections = match connections.as_str() {
        "keep" => Connections::Kept,
        "new" => Connections::New,
        _ => return None,
    };
    Some(Wanted {
        target: target.parse().ok()?,
        path: path.clone(),
        time: Duration::from_secs(seconds.parse().ok()?),
        count: count.parse().ok().filter(|count| *count > 0)?,
        connections,
        patience: PATIENCE,
    })
}

/// All connections at once; what became of them together, and the first error.
fn ask(wanted: &Wanted) -> (Tally, Option<io::Error>) {
    let each: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..wanted.count).map(|_| scope.spawn(|| Client::new(wanted).run())).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| (Tally::default(), Some(io::Error::other("a thread died"))))
        };
        threads.into_iter().map(join).collect()
    });
    let mut sum = Tally { least: u64::MAX, ..Tally::default() };
    let mut first = None;
    for (tally, error) in each {
        sum.sent += tally.sent;
        sum.answered += tally.answered;
        sum.longest = sum.longest.max(tally.longest);
        sum.least = sum.least.min(tally.answered);
        first = first.or(error);
    }
    (sum, first)
}

/// One connection after the other, or the same for all requests.
struct Client<'w> {
    wanted: &'w Wanted,
    request: String,
    open: Option<TcpStream>,
    /// The last connection's own end.
    own: Option<SocketAddr>,
    /// The content of the first answer.
    page: Option<Vec<u8>>,
    tally: Tally,
}

impl<'w> Client<'w> {
    fn new(wanted: &'w Wanted) -> Self {
        let close = match wanted.connections {
            Connections::Kept => "",
            Connections::New => "Connection: close\r\n",
        };
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", wanted.path, wanted.target);
        Self { wanted, request, open: None, own: None, page: None, tally: Tally::default() }
    }

    fn run(mut self) -> (Tally, Option<io::Error>) {
        let started = Instant::now();
        while started.elapsed() < self.wanted.time {
            let asked = Instant::now();
            self.tally.sent += 1;
            let answered = self.one();
            let waited = asked.elapsed();
            self.tally.longest = self.tally.longest.max(waited);
            if let Err(error) = answered {
                let (number, own) =
                    (self.tally.sent, self.own.map_or("nowhere".to_owned(), |own| own.to_string()));
                let text = format!("request {number} from {own}, after {} ms: {error}", waited.as_millis());
                return (self.tally, Some(io::Error::new(error.kind(), text)));
            }
            self.tally.answered += 1;
        }
        (self.tally, None)
    }

    fn one(&mut self) -> io::Result<()> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(self.request.as_bytes())?;
        let content = answer(&mut stream)?;
        match self.wanted.connections {
            Connections::Kept => self.open = Some(stream),
            Connections::New if stream.read(&mut [0])? > 0 => return Err(wrong("more than an answer")),
            Connections::New => {}
        }
        if *self.page.get_or_insert_with(|| content.clone()) != content {
            return Err(wrong("not the content of the first answer"));
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let Wanted { target, patience, .. } = self.wanted;
        let stream = TcpStream::connect_timeout(target, *patience)?;
        self.own = Some(stream.local_addr()?);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(*patience))?;
        stream.set_write_timeout(Some(*patience))?;
        Ok(stream)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The content of one answer, which must be 200 and say its length.
fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut octets, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let mut more = |octets: &mut Vec<u8>| match stream.read(&mut buffer)? {
        0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up before the answer's end")),
        length => {
            octets.extend_from_slice(&buffer[..length]);
            Ok(())
        }
    };
    let head = loop {
        match octets.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None if octets.len() > MAX_HEAD => return Err(wrong("a head without an end")),
            None => more(&mut octets)?,
        }
    };
    let length = content_length(&octets[..head])?;
    let mut content = octets.split_off(head);
    while content.len() < length {
        more(&mut content)?;
    }
    if content.len() > length {
        return Err(wrong("more than an answer"));
    }
    Ok(content)
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    let text = String::from_utf8_lossy(head);
    if !text.starts_with("HTTP/1.1 200 ") {
        return Err(wrong(text.lines().next().unwrap_or_default()));
    }
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    text.lines().find_map(field).ok_or_else(|| wrong("an answer without its length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage";
    const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

    type Serve = fn(usize, TcpStream);

    /// A server whose connections each do as `serve` does with its number.
    fn server(serve: Serve) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                std::thread::spawn(move || serve(number, stream.unwrap()));
            }
        });
        address
    }

    /// Answers each request so; after `count` it hangs up.
    fn answers(mut stream: TcpStream, count: usize, text: &str) {
        for _ in 0..count {
            let mut request = [0; 512];
            match stream.read(&mut request) {
                Ok(1..) => stream.write_all(text.as_bytes()).unwrap(),
                _ => return,
            }
        }
    }

    fn asked(target: SocketAddr, connections: Connections) -> (Tally, Option<io::Error>) {
        // A busy machine may let a thread wait for long: patience is what only a server that hangs uses up.
        let (time, patience) = (Duration::from_millis(500), Duration::from_secs(3));
        ask(&Wanted { target, path: "/".to_owned(), time, count: 3, connections, patience })
    }

    #[test]
    fn what_is_asked_is_answered_on_kept_connections() {
        let (tally, error) = asked(server(|_, stream| answers(stream, usize::MAX, GOOD)), Connections::Kept);
        assert!(error.is_none(), "{error:?}");
        assert!(tally.sent == tally.answered && tally.sent > 3, "{tally}");
    }

    #[test]
    fn what_is_asked_is_answered_on_new_connections() {
        let (tally, error) = asked(server(|_, stream| answers(stream, 1, GOOD)), Connections::New);
        assert!(error.is_none(), "{error:?}");
        assert!(tally.sent == tally.answered && tally.sent > 3, "{tally}");
    }

    #[test]
    fn one_connection_that_hangs_is_told() {
        let one_hangs = |number, stream| match number {
            1 => std::thread::sleep(Duration::from_secs(60)),
            _ => answers(stream, usize::MAX, GOOD),
        };
        let (tally, error) = asked(server(one_hangs), Connections::Kept);
        assert_eq!((tally.sent - tally.answered, tally.least), (1, 0));
        assert!(tally.longest >= Duration::from_secs(3), "{tally}");
        let error = error.unwrap().to_string();
        let after =
            error.split_once(", after ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(error.starts_with("request 1 from 127.0.0.1:") && after >= Some(3000), "{error}");
    }

    #[test]
    fn a_wrong_answer_is_none() {
        let bad: [(Serve, &str); 4] = [
            (|_, stream| answers(stream, 1, CUT), "hung up"),
            (|_, stream| answers(stream, 9, REFUSED), "503"),
            (|_, stream| answers(stream, 9, &format!("{GOOD}x")), "more than an answer"),
            (|n, stream| answers(stream, 1, &GOOD.replace("page", ["page", "pige"][n / 3 % 2])), "content"),
        ];
        for (serve, says) in bad {
            let (tally, error) = asked(server(serve), Connections::New);
            let error = error.expect(says).to_string();
            assert!(error.contains(says) && tally.answered < tally.sent, "{says}: {error}, {tally}");
        }
    }

    #[test]
    fn a_tally_survives_being_printed() {
        let tally = Tally { sent: 7, answered: 6, longest: Duration::from_millis(1234), least: 2 };
        assert_eq!(tally.to_string().parse(), Ok(tally));
        assert!("sent 7 answered 6".parse::<Tally>().is_err() && "".parse::<Tally>().is_err());
    }

    #[test]
    fn the_command_line_is_read() {
        let parse = |text: &str| parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let wanted = parse("10.0.2.15:80 /4k.html 30 16 keep").unwrap();
        assert_eq!((wanted.count, wanted.time.as_secs(), wanted.connections), (16, 30, Connections::Kept));
        assert_eq!(parse("10.0.2.15:80 / 30 1 new").unwrap().connections, Connections::New);
        assert_eq!(parse("10.0.2.15:80 / 30 0 new"), None);
        assert_eq!(parse("10.0.2.15:80 / 30 1 sometimes"), None);
        assert_eq!(parse("10.0.2.15:80 / 30 1"), None);
    }
}
