//! Two ends of a connection in memory. Other crates' tests have it by a link.
#![allow(dead_code, reason = "each test file uses its part")]

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_libos::net::Abort;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// One direction.
#[derive(Default)]
pub struct Pipe {
    pub octets: VecDeque<u8>,
    capacity: usize,
    /// At most so many octets are read or written at once; any number where 0.
    piece: usize,
    ended: bool,
    broken: bool,
    reset: bool,
    /// What is in it goes when its writer is dropped who has not read all.
    lost_unread: bool,
    pub total: usize,
    waiting: Option<Waker>,
}

type Shared = Rc<RefCell<Pipe>>;

/// An end of a connection. Dropping it ends the other's reading and breaks its writing.
pub struct End {
    pub input: Shared,
    pub output: Shared,
}

/// A connection whose directions hold at most `capacity` octets each.
pub fn duplex(capacity: usize) -> (End, End) {
    duplex_in_pieces(capacity, 0)
}

/// The same, of which at most `piece` octets move at once.
pub fn duplex_in_pieces(capacity: usize, piece: usize) -> (End, End) {
    let pipe = || Rc::new(RefCell::new(Pipe { capacity, piece, ..Pipe::default() }));
    let (a, b) = (pipe(), pipe());
    (End { input: a.clone(), output: b.clone() }, End { input: b, output: a })
}

impl End {
    /// Whether the other end was aborted.
    pub fn is_reset(&self) -> bool {
        self.input.borrow().reset
    }

    /// Whether there is something to be read, the end for one.
    pub fn has_input(&self) -> bool {
        let pipe = self.input.borrow();
        !pipe.octets.is_empty() || pipe.ended
    }

    /// As TCP does it: where this end is dropped with something unread, or the other sends more then, that loses what it has not read.
    pub fn loses_unread(&self) {
        self.output.borrow_mut().lost_unread = true;
    }

    /// Ends writing, as a TCP FIN does.
    pub fn finish(&self) {
        let mut pipe = self.output.borrow_mut();
        pipe.ended = true;
        pipe.wake();
    }

    /// Both directions.
    pub fn halves(self) -> (Half, Half) {
        let this = Rc::new(self);
        (Half(this.clone()), Half(this))
    }
}

/// A direction that is used by itself.
pub struct Half(Rc<End>);

impl Pipe {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn lose(&mut self) {
        if self.lost_unread {
            self.octets.clear();
            self.reset = true;
        }
    }

    fn piece(&self, n: usize) -> usize {
        if self.piece == 0 { n } else { n.min(self.piece) }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.finish();
        let mut pipe = self.input.borrow_mut();
        if !pipe.octets.is_empty() {
            self.output.borrow_mut().lose();
        }
        pipe.broken = true;
        pipe.wake();
    }
}

impl Abort for End {
    fn abort(&mut self) {
        self.output.borrow_mut().reset = true;
    }
}

async fn read(pipe: &Shared, buf: &mut [u8]) -> Result<usize, ErrorKind> {
    poll_fn(|cx| {
        let mut pipe = pipe.borrow_mut();
        if pipe.octets.is_empty() && !pipe.ended {
            pipe.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = pipe.piece(pipe.octets.len().min(buf.len()));
        for (to, from) in buf.iter_mut().zip(pipe.octets.drain(..n)) {
            *to = from;
        }
        pipe.wake();
        Poll::Ready(Ok(n))
    })
    .await
}

async fn write(pipe: &Shared, buf: &[u8]) -> Result<usize, ErrorKind> {
    poll_fn(|cx| {
        let mut pipe = pipe.borrow_mut();
        if pipe.broken {
            return Poll::Ready(Err(ErrorKind::BrokenPipe));
        }
        let n = pipe.piece(buf.len().min(pipe.capacity - pipe.octets.len()));
        if n == 0 {
            pipe.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.octets.extend(&buf[..n]);
        pipe.total += n;
        pipe.wake();
        Poll::Ready(Ok(n))
    })
    .await
}

macro_rules! stream {
    ($($name:ty: $self:ident => $input:expr, $output:expr;)*) => { $(
        impl ErrorType for $name {
            type Error = ErrorKind;
        }
        impl Read for $name {
            async fn read(&mut $self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
                read($input, buf).await
            }
        }
        impl Write for $name {
            async fn write(&mut $self, buf: &[u8]) -> Result<usize, ErrorKind> {
                let written = write($output, buf).await;
                if written.is_err() {
                    $input.borrow_mut().lose();
                }
                written
            }
            async fn flush(&mut self) -> Result<(), ErrorKind> {
                Ok(())
            }
        }
    )* };
}

stream! {
    End: self => &self.input, &self.output;
    Half: self => &self.0.input, &self.0.output;
}
