//! A server that says what it is told, and a client that says what it has got.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_http::client::{Connection, Error, Malformed, RequestHead};
use std::cell::RefCell;
use std::rc::Rc;

/// Octets that come in pieces, then the end.
pub struct Script {
    octets: Vec<u8>,
    at: usize,
    cuts: Vec<usize>,
}

impl Script {
    pub fn new(octets: &[u8], cuts: &[usize]) -> Self {
        let mut cuts = cuts.to_vec();
        cuts.push(octets.len());
        cuts.sort();
        Self { octets: octets.to_vec(), at: 0, cuts }
    }
}

impl ErrorType for Script {
    type Error = ErrorKind;
}

impl Read for Script {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let end = self.cuts.iter().copied().find(|&cut| cut > self.at).unwrap_or(self.at);
        let n = buf.len().min(end - self.at);
        buf[..n].copy_from_slice(&self.octets[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
pub struct Sink(pub Rc<RefCell<Vec<u8>>>);

impl ErrorType for Sink {
    type Error = ErrorKind;
}

impl Write for Sink {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        // Never all at once.
        let n = buf.len().min(700);
        self.0.borrow_mut().extend_from_slice(&buf[..n]);
        Ok(n)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// What a client makes of a response that comes in pieces: as `table.tsv` has it.
pub async fn result_of(request: &str, response: &[u8], cuts: &[usize], room: usize) -> String {
    match exchange(request, response, cuts, room).await {
        Ok(result) => result,
        Err(error) => name_of(error).into(),
    }
}

async fn exchange(request: &str, response: &[u8], cuts: &[usize], room: usize) -> Result<String, Error> {
    let mut connection = Connection::new(Script::new(response, cuts), Sink::default());
    let mut head = RequestHead::new(if request == "HEAD" { "HEAD" } else { "GET" }, "/").unwrap();
    head.field("Host", "h").unwrap();
    if request == "UPGRADE" {
        head.upgrade("x").unwrap();
    }
    let response = connection.exchange(&head, &[]).await?;
    let mut content = Vec::new();
    let mut piece = vec![0; room];
    while response.status().code() != 101 {
        match connection.reader().read(&mut piece).await? {
            0 => break,
            n => content.extend_from_slice(&piece[..n]),
        }
    }
    // What came together with the response is seen at once; what would come later when it is looked for.
    let is_kept = connection.is_reusable() && connection.reader().read(&mut [0]).await == Ok(0);
    let kept = if is_kept { "keep" } else { "close" };
    Ok(format!("{} {kept} {}", response.status().code(), String::from_utf8_lossy(&content)))
}

pub fn name_of(error: Error) -> &'static str {
    match error {
        Error::Malformed(Malformed::StatusLine) => "status-line",
        Error::Malformed(Malformed::Field) => "field",
        Error::Malformed(Malformed::Length) => "length",
        Error::Malformed(Malformed::Chunk) => "chunk",
        Error::Malformed(Malformed::Upgrade) => "upgrade",
        Error::UnknownCoding => "coding",
        Error::HeadTooLarge(_) => "head-size",
        Error::TooManyFields(_) => "fields",
        Error::TooManyInterim(_) => "interim",
        Error::Closed => "closed",
        Error::Incomplete => "incomplete",
        _ => "another",
    }
}
