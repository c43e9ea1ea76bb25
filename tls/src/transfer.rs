//! Octets between a session and the stream below.

use crate::Error;
use crate::record::Incoming;
use crate::session::Phase;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use embedded_io_async::{Error as _, ErrorKind, Read, Write};

/// What is read and forgotten after an alert, octets at most.
const MAX_FORGOTTEN: usize = 64 * 1024;

/// Waits until a whole record is there. Nothing is lost where it is dropped while it waits. False: the stream has ended.
pub(crate) async fn fill<R: Read>(
    stream: &mut R,
    incoming: &mut Incoming,
    phase: Phase,
) -> Result<bool, Error> {
    while !incoming.is_ready() {
        match stream.read(incoming.room(phase)?).await {
            Ok(0) => return Ok(false),
            Ok(n) => incoming.received(n)?,
            Err(e) => return Err(Error::Io(e.kind())),
        }
    }
    Ok(true)
}

/// Records on their way out.
#[derive(Default)]
pub(crate) struct Outgoing {
    octets: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Takes more, once what there was is sent.
    pub(crate) fn load(&mut self, octets: Vec<u8>) {
        (self.octets, self.sent) = (octets, 0);
    }

    /// Writes all of it. What is not written where it is dropped while it waits stays here; what cannot be written goes.
    pub(crate) async fn drain<W: Write>(&mut self, stream: &mut W) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(rest) = self.octets.get(self.sent..).filter(|rest| !rest.is_empty() && result.is_ok())
        {
            match stream.write(rest).await {
                Ok(0) => result = Err(Error::Io(ErrorKind::WriteZero)),
                Ok(n) => self.sent += n,
                Err(e) => result = Err(Error::Io(e.kind())),
            }
        }
        self.load(Vec::new());
        result
    }

    /// Writes what can be written without waiting.
    pub(crate) fn drain_now<W: Write>(&mut self, stream: &mut W) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = pin!(self.drain(stream)).poll(&mut cx);
    }
}

/// Reads on until the peer has ended: a stream that is closed with octets unread, or before others come, may lose the alert before it
/// arrives. A client of TLS 1.3 asks before it knows whether its certificate is taken.
pub(crate) async fn forget<R: Read>(stream: &mut R) {
    let (mut left, mut buf) = (MAX_FORGOTTEN, [0; 512]);
    while let Ok(read @ 1..) = stream.read(&mut buf).await
        && left > 0
    {
        left = left.saturating_sub(read);
    }
}
