//! What is wrong when there are keys: OpenSSL's client, which has them, by a relay that spoils what it sends; and what it sends itself that
//! no server has to bear.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A guest on an emulated processor answers within it.
const SOON: Duration = Duration::from_secs(40);
/// What OpenSSL's client says when its handshake is done.
const DONE: &str = "Verify return code";
/// Between two commands: OpenSSL's client looks for one at the beginning of what it reads at once.
const APART: Duration = Duration::from_millis(50);
/// Enough for each limit of what a client may repeat.
const MOST: usize = 120;

/// A request that is not over: the guest waits for its end.
const REQUEST: &str = "GET / HTTP/1.1\n";

/// What becomes of a client's record, by its number among those behind its change of the cipher: Finished, then data.
type Change = fn(usize, &[u8]) -> Vec<u8>;

/// Name, the RFC and section, version, what is typed once, what is typed then until the connection ends, what the relay does, and what the
/// client says at the end.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, Change, &'static str);

const BAD_RECORD_MAC: &str = "SSL alert number 20";
const RECORD_OVERFLOW: &str = "SSL alert number 22";
const UNEXPECTED_MESSAGE: &str = "SSL alert number 10";

const ROWS: &[Row] = &[
    ("a change of Finished", "8446 5.2", "-tls1_3", REQUEST, "", |n, r| flipped(n == 0, r), BAD_RECORD_MAC),
    ("a change of data", "8446 5.2", "-tls1_3", REQUEST, "", |n, r| flipped(n == 1, r), BAD_RECORD_MAC),
    ("data that is cut", "8446 5.2", "-tls1_3", REQUEST, "", |n, r| cut(n == 1, r), BAD_RECORD_MAC),
    ("data twice", "8446 5.3", "-tls1_3", REQUEST, "", |n, r| twice(n == 1, r), BAD_RECORD_MAC),
    ("data that is lost", "8446 5.3", "-tls1_3", REQUEST, "x\n", |n, r| lost(n == 1, r), BAD_RECORD_MAC),
    (
        "a record that is too long",
        "8446 5.2",
        "-tls1_3",
        REQUEST,
        "",
        |n, r| long(n == 1, r, 16_641),
        RECORD_OVERFLOW,
    ),
    ("another protocol", "8446 5", "-tls1_3", REQUEST, "", |n, r| other(n == 1, r), UNEXPECTED_MESSAGE),
    ("requests for new keys", "8446 4.6.3", "-tls1_3", REQUEST, "K\n", |_, r| r.to_vec(), UNEXPECTED_MESSAGE),
    ("a change of Finished", "5246 6.2.3", "-tls1_2", REQUEST, "", |n, r| flipped(n == 0, r), BAD_RECORD_MAC),
    ("a change of data", "5246 6.2.3", "-tls1_2", REQUEST, "", |n, r| flipped(n == 1, r), BAD_RECORD_MAC),
    ("data that is cut", "5246 6.2.3", "-tls1_2", REQUEST, "", |n, r| cut(n == 1, r), BAD_RECORD_MAC),
    ("data twice", "5246 6.2.3", "-tls1_2", REQUEST, "", |n, r| twice(n == 1, r), BAD_RECORD_MAC),
    ("data that is lost", "5246 6.2.3", "-tls1_2", REQUEST, "x\n", |n, r| lost(n == 1, r), BAD_RECORD_MAC),
    (
        "a record that is too long",
        "5246 6.2.3",
        "-tls1_2",
        REQUEST,
        "",
        |n, r| long(n == 1, r, 18_433),
        RECORD_OVERFLOW,
    ),
    ("another protocol", "5246 6", "-tls1_2", REQUEST, "", |n, r| other(n == 1, r), UNEXPECTED_MESSAGE),
    // A warning that there is none, which this client takes for the end.
    ("renegotiation", "5246 7.2.2", "-tls1_2", REQUEST, "R\n", |_, r| r.to_vec(), "no renegotiation"),
];

/// Each row ends as the RFCs say, as far as the client hears of it.
pub fn every_row(port: u16) -> Result<usize> {
    let mut wrong = Vec::new();
    for row in ROWS {
        let (name, rfc, version, .., wanted) = row;
        let said = said(port, row).with_context(|| format!("{version}: {name}"))?;
        if !said.contains(wanted) {
            wrong.push(format!("RFC {rfc}: {version}, {name}: no {wanted:?} in {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    Ok(ROWS.len())
}

fn flipped(is_it: bool, record: &[u8]) -> Vec<u8> {
    let mut record = record.to_vec();
    if let (true, Some(last)) = (is_it, record.last_mut()) {
        *last ^= 1;
    }
    record
}

fn with_length(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]][..], body].concat()
}

fn cut(is_it: bool, record: &[u8]) -> Vec<u8> {
    match (is_it, record) {
        (true, [kind, _, _, _, _, body @ .., _]) => with_length(*kind, body),
        _ => record.to_vec(),
    }
}

fn twice(is_it: bool, record: &[u8]) -> Vec<u8> {
    if is_it { record.repeat(2) } else { record.to_vec() }
}

fn lost(is_it: bool, record: &[u8]) -> Vec<u8> {
    if is_it { Vec::new() } else { record.to_vec() }
}

fn long(is_it: bool, record: &[u8], length: usize) -> Vec<u8> {
    if is_it { with_length(23, &vec![1; length]) } else { record.to_vec() }
}

fn other(is_it: bool, record: &[u8]) -> Vec<u8> {
    if is_it { b"GET / HTTP/1.1\r\n\r\n".to_vec() } else { record.to_vec() }
}

/// What the client says, on either output, of a connection by the relay.
fn said(port: u16, row: &Row) -> Result<String> {
    let (_, _, version, once, again, change, _) = row;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let change = *change;
    let relay = thread::spawn(move || relay(&listener, port, change));
    let command =
        format!("exec timeout 60 openssl s_client -connect {address} -servername server.test {version} 2>&1");
    let mut client = Command::new("sh");
    let client = client.args(["-c", &command]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let said = talk(client.spawn()?, once, again);
    // Where the client has not come, the relay waits still.
    drop(TcpStream::connect(address));
    let said = said?;
    match relay.join() {
        Ok(result) => result.map(|()| said),
        Err(_) => anyhow::bail!("the relay panicked, and the client said {said}"),
    }
}

/// Types commands when the handshake is done, and listens to the end.
fn talk(mut client: Child, once: &str, again: &str) -> Result<String> {
    let (mut stdin, mut stdout) =
        (client.stdin.take().context("no input")?, client.stdout.take().context("no output")?);
    let said = Arc::new(Mutex::new(Vec::new()));
    let listening = {
        let said = said.clone();
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buf) {
                if let (Ok(mut said), Some(more)) = (said.lock(), buf.get(..n)) {
                    said.extend_from_slice(more);
                }
            }
        })
    };
    let so_far = || said.lock().map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
    let start = Instant::now();
    while !so_far().contains(DONE) && !listening.is_finished() && start.elapsed() < SOON {
        thread::sleep(APART);
    }
    // It may have ended: that is seen by what it has said.
    let mut result = stdin.write_all(once.as_bytes());
    for _ in 0..MOST {
        if again.is_empty() || result.is_err() || listening.is_finished() {
            break;
        }
        thread::sleep(APART);
        result = stdin.write_all(again.as_bytes());
    }
    while !listening.is_finished() && start.elapsed() < SOON {
        thread::sleep(APART);
    }
    // Whom the server has left alone, this ends.
    drop(stdin);
    let _ = listening.join();
    client.wait()?;
    Ok(so_far())
}

/// Takes one client to a port of this machine.
fn relay(listener: &TcpListener, port: u16, change: Change) -> Result<()> {
    let (mut client, _) = listener.accept()?;
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let mut sealed = None;
    client.set_read_timeout(Some(SOON))?;
    while let Ok(record) = record(&mut client) {
        let octets = match sealed {
            Some(n) => change(n, &record),
            None => record.clone(),
        };
        sealed = match (sealed, record.first()) {
            (Some(n), _) => Some(n + 1),
            (None, Some(20)) => Some(0),
            _ => None,
        };
        if server.write_all(&octets).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

/// The next record (RFC 8446 section 5.1).
fn record(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record)?;
    let length = u16::from_be_bytes([record[3], record[4]]);
    record.resize(5 + usize::from(length), 0);
    stream.read_exact(&mut record[5..])?;
    Ok(record)
}
