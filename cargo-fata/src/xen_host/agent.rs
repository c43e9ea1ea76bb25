//! The tool's side of the protocol with the agent in dom0.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fata_dom0::{DomainInfo, read_frame, tag, write_frame};

use crate::{command, interrupt};

/// How long small requests may take. dom0 is emulated, and may share its processors with a build.
const SMALL: Duration = Duration::from_secs(60);
/// Files may be tens of megabytes.
const FILE: Duration = Duration::from_secs(300);
/// How often waiting looks at the clock and for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);
const CHUNK_BYTES: usize = 256 << 10;

/// Where the agent listens, and what it wants to hear first.
#[derive(Clone, Copy)]
pub struct Agent {
    /// Its port.
    pub address: SocketAddr,
    /// The secret it was started with, if any.
    pub token: Option<Token>,
}

/// A secret that only the tool and its agent know.
#[derive(Clone, Copy)]
pub struct Token(u128);

impl Token {
    /// A new one, from the kernel's random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes))?;
        Ok(Self(u128::from_ne_bytes(bytes)))
    }

    /// As the agent is given it, and hears it.
    pub fn to_text(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// What a script did.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status; 128 + n when signal n ended it.
    pub status: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Output {
    /// Demands that the script succeeded.
    pub fn ok(self) -> Result<Self> {
        if self.status != 0 {
            let said = command::last_lines(&format!("{}{}", self.stdout, self.stderr), 12);
            bail!("a script in dom0 ended with status {}:\n{said}", self.status);
        }
        Ok(self)
    }
}

impl Agent {
    /// Whether the agent answers.
    pub fn ping(&self) -> bool {
        let pinged = || -> Result<()> {
            let mut talk = self.ask(tag::PING, b"", Duration::from_secs(5))?;
            talk.expect_end(&mut |_| Ok(()))
        };
        pinged().is_ok()
    }

    /// Runs a bash script; an error if it takes longer than `limit`, in which case it is killed.
    pub fn sh(&self, script: &str, limit: Duration) -> Result<Output> {
        let ran = || -> Result<Output> {
            let mut talk = self.ask(tag::RUN, script.as_bytes(), limit)?;
            talk.send(tag::END, b"")?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            loop {
                let (tag, payload) = talk.next()?;
                match tag {
                    tag::STDOUT => stdout.extend_from_slice(&payload),
                    tag::STDERR => stderr.extend_from_slice(&payload),
                    tag::EXIT => return Output::new(&payload, &stdout, &stderr),
                    other => bail!("the agent answered with {:?}", char::from(other)),
                }
            }
        };
        ran().with_context(|| format!("in dom0: {}", headline(script)))
    }

    /// Writes a file in dom0, with its folders.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let put = || -> Result<()> {
            let mut talk = self.ask(tag::PUT, path.as_bytes(), FILE)?;
            for chunk in bytes.chunks(CHUNK_BYTES) {
                talk.send(tag::DATA, chunk)?;
            }
            talk.send(tag::END, b"")?;
            talk.expect_end(&mut |_| Ok(()))
        };
        put().with_context(|| format!("cannot write {path} in dom0"))
    }

    /// Reads a file in dom0.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.ask(tag::GET, path.as_bytes(), FILE)
            .and_then(|mut talk| {
                talk.expect_end(&mut |payload| {
                    bytes.extend_from_slice(payload);
                    Ok(())
                })
            })
            .with_context(|| format!("cannot read {path} in dom0"))?;
        Ok(bytes)
    }

    /// What the hypervisor accounts for each domain.
    pub fn domains(&self) -> Result<Vec<DomainInfo>> {
        let mut text = Vec::new();
        self.ask(tag::DOMAINS, b"", SMALL)?.expect_end(&mut |payload| {
            text.extend_from_slice(payload);
            Ok(())
        })?;
        let text = String::from_utf8(text)?;
        text.lines()
            .map(|line| DomainInfo::from_line(line).with_context(|| format!("bad domain line {line:?}")))
            .collect()
    }

    /// Reads a file as it grows; see [`Stream::read`].
    pub fn follow(&self, path: &str) -> Result<Stream> {
        self.stream(tag::FOLLOW, path)
    }

    /// Connects to a guest's console; see [`Stream::read`].
    pub fn console(&self, domid: u32) -> Result<Stream> {
        self.stream(tag::CONSOLE, &domid.to_string())
    }

    /// Starts a bash script whose output is read as it comes; dropping it ends the script.
    pub fn start(&self, script: &str) -> Result<Running> {
        let talk = self.ask(tag::RUN, script.as_bytes(), Duration::MAX);
        Ok(Running { talk: talk.with_context(|| format!("in dom0: {}", headline(script)))? })
    }

    fn stream(&self, request: u8, payload: &str) -> Result<Stream> {
        Ok(Stream { talk: self.ask(request, payload.as_bytes(), Duration::MAX)? })
    }

    fn ask(&self, request: u8, payload: &[u8], limit: Duration) -> Result<Talk> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))
            .context("dom0's agent does not answer")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        let mut talk = Talk { stream, received: Vec::new(), limit, started: Instant::now() };
        if let Some(token) = self.token {
            talk.send(tag::TOKEN, token.to_text().as_bytes())?;
        }
        talk.send(request, payload)?;
        Ok(talk)
    }
}

impl Output {
    fn new(exit: &[u8], stdout: &[u8], stderr: &[u8]) -> Result<Self> {
        let status = i32::from_be_bytes(exit.try_into().context("the agent's exit frame is short")?);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { status, stdout: text(stdout), stderr: text(stderr) })
    }
}

/// A connection on which bytes come for as long as it is open.
pub struct Stream {
    talk: Talk,
}

impl Stream {
    /// The next bytes: empty when none came for a moment, `None` when the other end is gone.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>> {
        match self.talk.poll()? {
            Polled::Frame(tag::DATA, payload) => Ok(Some(payload)),
            Polled::Frame(tag::ERROR, payload) => bail!("dom0: {}", String::from_utf8_lossy(&payload)),
            Polled::Frame(..) | Polled::Closed => Ok(None),
            Polled::Nothing => Ok(Some(Vec::new())),
        }
    }

    /// Sends bytes: what is typed on a console.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.talk.send(tag::DATA, bytes)
    }
}

/// A script under way.
pub struct Running {
    talk: Talk,
}

/// What a script under way has written, or that it has ended.
pub enum Said {
    /// To its standard output.
    Stdout(Vec<u8>),
    /// To its standard error.
    Stderr(String),
    /// Nothing for a moment.
    Nothing,
    /// It is over.
    End,
}

impl Running {
    /// What it says next.
    pub fn read(&mut self) -> Result<Said> {
        Ok(match self.talk.poll()? {
            Polled::Frame(tag::STDOUT, payload) => Said::Stdout(payload),
            Polled::Frame(tag::STDERR, payload) => {
                Said::Stderr(String::from_utf8_lossy(&payload).into_owned())
            }
            Polled::Frame(tag::ERROR, payload) => bail!("dom0: {}", String::from_utf8_lossy(&payload)),
            Polled::Frame(..) | Polled::Closed => Said::End,
            Polled::Nothing => Said::Nothing,
        })
    }

    /// Waits until `text` is in what it writes to its standard error; gives what it wrote to its standard output until then.
    pub fn wait_stderr(&mut self, text: &str, limit: Duration) -> Result<Vec<u8>> {
        let (started, mut stdout, mut stderr) = (Instant::now(), Vec::new(), String::new());
        while !stderr.contains(text) {
            interrupt::check()?;
            match self.read()? {
                Said::Stdout(bytes) => stdout.extend(bytes),
                Said::Stderr(said) => stderr += &said,
                Said::End => bail!("it ended: {}", stderr.trim()),
                Said::Nothing if started.elapsed() > limit => {
                    bail!("no {text:?} after {} s: {}", limit.as_secs(), stderr.trim())
                }
                Said::Nothing => {}
            }
        }
        Ok(stdout)
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) -> Result<()> {
        self.talk.send(tag::END, b"")
    }
}

/// One request and its answer.
struct Talk {
    stream: TcpStream,
    /// What has come of frames that are not whole yet.
    received: Vec<u8>,
    limit: Duration,
    started: Instant,
}

enum Polled {
    Frame(u8, Vec<u8>),
    Nothing,
    Closed,
}

impl Talk {
    fn send(&mut self, tag: u8, payload: &[u8]) -> Result<()> {
        write_frame(&mut self.stream, tag, payload).context("dom0's agent hung up")
    }

    /// The next frame; an error when time is up, the user interrupts, or the agent reports one.
    fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            interrupt::check()?;
            match self.poll()? {
                Polled::Frame(tag::ERROR, payload) => bail!("{}", String::from_utf8_lossy(&payload)),
                _ if self.started.elapsed() > self.limit => {
                    bail!("no end after {:.0} s", self.limit.as_secs_f64())
                }
                Polled::Frame(tag, payload) => return Ok((tag, payload)),
                Polled::Closed => bail!("dom0's agent hung up"),
                Polled::Nothing => {}
            }
        }
    }

    fn expect_end(&mut self, on_data: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            match self.next()? {
                (tag::DATA, payload) => on_data(&payload)?,
                (tag::END, _) => return Ok(()),
                (other, _) => bail!("the agent answered with {:?}", char::from(other)),
            }
        }
    }

    /// Waits one tick at most for a whole frame.
    fn poll(&mut self) -> Result<Polled> {
        if let Some((tag, payload)) = self.take_frame()? {
            return Ok(Polled::Frame(tag, payload));
        }
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Ok(Polled::Closed),
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(Polled::Nothing);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Polled::Nothing),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Polled::Closed),
            Err(error) => return Err(error).context("reading from dom0's agent"),
        }
        Ok(match self.take_frame()? {
            Some((tag, payload)) => Polled::Frame(tag, payload),
            None => Polled::Nothing,
        })
    }

    fn take_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let Some(length) = self.received.get(1..5) else { return Ok(None) };
        let length = u32::from_be_bytes(length.try_into()?) as usize + 5;
        if self.received.len() < length {
            return Ok(None);
        }
        let frame = self.received.drain(..length).collect::<Vec<_>>();
        Ok(read_frame(&mut frame.as_slice())?)
    }
}

fn headline(script: &str) -> String {
    let line = script.trim().lines().next().unwrap_or_default();
    if line.len() < script.trim().len() { format!("{line} ...") } else { line.to_owned() }
}
