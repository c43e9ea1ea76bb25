//! The console: stdout, which never makes the appliance wait, and stdin by lines.
//!
//! Both descriptors stay as the shell made them, for they may be shared with others: whether they are ready is asked
//! before each call instead. Regular files always are. Nothing is read before somebody wants a line.

use crate::reactor::{Direction, Reactor, Source};
use fata_libos::console::{Console, MAX_LINE};
use fata_libos::spawn;
use fata_libos::task::WakerSet;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Octets that wait for a slow reader at most.
const MAX_BACKLOG: usize = 64 * 1024;
/// What a pipe or terminal with any room takes without making the writer wait (pipe(7): PIPE_BUF).
const PIECE: usize = 4096;
/// How long leaving waits for a reader, seconds.
const FLUSH_SECONDS: i64 = 2;

/// A descriptor of the process that lives as long as it.
struct Standard(BorrowedFd<'static>);

impl Standard {
    fn is_ready(&self, flags: PollFlags, seconds: i64) -> bool {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        matches!(poll(&mut [PollFd::new(&self.0, flags)], Some(&time)), Ok(1..))
    }

    fn check(&self, flags: PollFlags) -> io::Result<()> {
        if self.is_ready(flags, 0) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

impl mio::event::Source for Standard {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

/// Text on its way out.
struct Output {
    fd: Standard,
    backlog: Vec<u8>,
    /// Octets lost before what is in the backlog, and not told of yet.
    dropped: usize,
    /// The last octet written.
    last: u8,
}

impl Output {
    fn write(&mut self, text: &[u8]) {
        self.backlog.extend_from_slice(text);
        self.flush(0);
        if let Some(excess) = self.backlog.len().checked_sub(MAX_BACKLOG) {
            // Whole lines.
            let line_end = self.backlog.iter().skip(excess).position(|b| *b == b'\n');
            let end = line_end.map_or(self.backlog.len(), |at| excess + at + 1);
            self.backlog.drain(..end);
            self.dropped += end;
        }
    }

    /// Writes what there is room for; waits so long for more.
    fn flush(&mut self, seconds: i64) {
        while self.is_behind() && self.fd.is_ready(PollFlags::OUT, seconds) {
            if self.dropped > 0 {
                let start = if self.last == b'\n' { "" } else { "\n" };
                let told = format!("{start}[console: {} octets dropped]\n", self.dropped);
                self.backlog.splice(..0, told.into_bytes());
                self.dropped = 0;
            }
            let piece = &self.backlog[..self.backlog.len().min(PIECE)];
            match rustix::io::write(self.fd.0, piece) {
                Ok(0) => return,
                Ok(count) => {
                    self.last = piece[count - 1];
                    self.backlog.drain(..count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // Nobody reads any more.
                Err(_) => self.backlog.clear(),
            }
        }
    }

    fn is_behind(&self) -> bool {
        !self.backlog.is_empty() || self.dropped > 0
    }
}

/// Lines on their way in.
#[derive(Default)]
struct Input {
    octets: Vec<u8>,
    is_ended: bool,
}

impl Input {
    /// Takes a line off, if its end has come or no more will.
    fn next_line(&mut self) -> Option<String> {
        let end = self.octets.iter().position(|b| *b == b'\n');
        let len = match end {
            Some(at) => at + 1,
            None if self.is_ended && !self.octets.is_empty() => self.octets.len(),
            None => return None,
        };
        let line: Vec<u8> = self.octets.drain(..len).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE {
            log::warn!("a line was too long: {} octets dropped", line.len() - MAX_LINE);
        }
        Some(String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]).into_owned())
    }

    fn read(&mut self, fd: &Standard) -> io::Result<()> {
        let mut piece = [0; PIECE];
        let count = rustix::io::read(fd.0, &mut piece)?;
        self.is_ended = count == 0;
        // What is too long for a line is kept a little longer, to be told of.
        if self.octets.len() < 2 * MAX_LINE {
            self.octets.extend_from_slice(&piece[..count]);
        } else if let Some(at) = piece[..count].iter().position(|b| *b == b'\n') {
            self.octets.extend_from_slice(&piece[at..count]);
        }
        Ok(())
    }
}

/// See the module.
pub struct UnixConsole {
    reactor: Rc<Reactor>,
    output: RefCell<Output>,
    is_behind: WakerSet,
    has_task: Cell<bool>,
    input: RefCell<Input>,
    /// Stdin, watched from the first line on where it can be.
    stdin: OnceCell<Option<Source<Standard>>>,
}

thread_local! {
    static CONSOLE: OnceCell<Rc<UnixConsole>> = const { OnceCell::new() };
}

impl UnixConsole {
    /// The process's console.
    pub fn open(reactor: &Rc<Reactor>) -> Rc<Self> {
        CONSOLE.with(|console| console.get_or_init(|| Rc::new(Self::new(reactor))).clone())
    }

    fn new(reactor: &Rc<Reactor>) -> Self {
        let fd = Standard(rustix::stdio::stdout());
        Self {
            reactor: reactor.clone(),
            output: RefCell::new(Output { fd, backlog: Vec::new(), dropped: 0, last: b'\n' }),
            is_behind: WakerSet::new(),
            has_task: Cell::new(false),
            input: RefCell::default(),
            stdin: OnceCell::new(),
        }
    }

    /// Writes the backlog when there is room, from a task that is there from the first backlog on.
    fn follow_up(&self) {
        self.is_behind.wake_all();
        if self.has_task.replace(true) {
            return;
        }
        let Some(console) = CONSOLE.with(|console| console.get().cloned()) else { return };
        let fd = Standard(rustix::stdio::stdout());
        match Source::new(&self.reactor, fd, Interest::WRITABLE) {
            Ok(room) => spawn(async move { poll_fn(|cx| console.poll_backlog(&room, cx)).await }).detach(),
            Err(error) => log::warn!("stdout cannot be waited for: {error}"),
        }
    }

    /// Never ready.
    fn poll_backlog(&self, room: &Source<Standard>, cx: &mut Context<'_>) -> Poll<()> {
        self.is_behind.register(cx);
        let written = room.attempt(Direction::Write, |_| {
            let mut output = self.output.borrow_mut();
            output.flush(0);
            if output.is_behind() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if written.is_none() {
            room.register(Direction::Write, cx);
        }
        Poll::Pending
    }

    fn poll_line(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let fd = Standard(rustix::stdio::stdin());
        let source = self.stdin.get_or_init(|| {
            Source::new(&self.reactor, Standard(rustix::stdio::stdin()), Interest::READABLE).ok()
        });
        let mut input = self.input.borrow_mut();
        loop {
            if let Some(line) = input.next_line() {
                return Poll::Ready(Some(line));
            }
            if input.is_ended {
                return Poll::Ready(None);
            }
            let read = match source {
                Some(source) => source.poll(Direction::Read, cx, |fd| {
                    fd.check(PollFlags::IN)?;
                    input.read(fd)
                }),
                None => Poll::Ready(input.read(&fd)),
            };
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => input.is_ended = true,
            }
        }
    }
}

impl Console for UnixConsole {
    fn write(&self, bytes: &[u8]) {
        let is_behind = {
            let mut output = self.output.borrow_mut();
            output.write(bytes);
            output.is_behind()
        };
        if is_behind {
            self.follow_up();
        }
    }

    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(poll_fn(|cx| self.poll_line(cx)))
    }
}

/// Writes to the console that was opened on this thread.
pub fn write(bytes: &[u8]) {
    CONSOLE.with(|console| {
        if let Some(console) = console.get() {
            console.write(bytes);
        }
    });
}

/// Waits a little until stdout's reader has what was written.
pub fn flush() {
    let _ = CONSOLE.try_with(|console| {
        // A panic may come from in there.
        if let Some(mut output) = console.get().and_then(|console| console.output.try_borrow_mut().ok()) {
            output.flush(FLUSH_SECONDS);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read};
    use std::os::fd::IntoRawFd;

    fn output() -> (Output, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        // SAFETY: nobody closes the descriptor.
        let fd = Standard(unsafe { BorrowedFd::borrow_raw(writer.into_raw_fd()) });
        (Output { fd, backlog: Vec::new(), dropped: 0, last: b'\n' }, reader)
    }

    #[test]
    fn a_reader_who_does_not_read_loses_the_oldest_lines_and_is_told() {
        let (mut output, mut reader) = output();
        for n in 0..30_000 {
            output.write(format!("line {n}\n").as_bytes());
            assert!(output.backlog.len() <= MAX_BACKLOG);
        }
        assert!(output.dropped > 0);
        let mut text = Vec::new();
        while output.is_behind() {
            let mut piece = [0; 10_000];
            let len = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..len]);
            output.flush(0);
        }
        let mut rest = [0; 1 << 17];
        let len = reader.read(&mut rest).unwrap();
        text.extend_from_slice(&rest[..len]);
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 29999\n"));
        let told = text.lines().filter(|line| line.contains("[console: ")).count();
        assert_eq!(told, 1, "at one place");
        let broken = text.lines().filter(|line| !line.starts_with("line ") && !line.starts_with('[')).count();
        assert_eq!(broken, 0, "whole lines");
    }

    #[test]
    fn a_reader_who_is_gone_is_no_error() {
        let (mut output, reader) = output();
        drop(reader);
        // Tests ignore SIGPIPE, as processes do.
        output.write(b"nobody reads this\n");
        assert!(!output.is_behind());
    }

    #[test]
    fn lines_of_all_kinds() {
        let mut input = Input { octets: b"one\r\n\ntwo\xff\nrest".to_vec(), is_ended: false };
        assert_eq!(input.next_line().as_deref(), Some("one"));
        assert_eq!(input.next_line().as_deref(), Some(""));
        assert_eq!(input.next_line().as_deref(), Some("two\u{fffd}"));
        assert_eq!(input.next_line(), None);
        input.is_ended = true;
        assert_eq!(input.next_line().as_deref(), Some("rest"));
        assert_eq!(input.next_line(), None);
    }
}
