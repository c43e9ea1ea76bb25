//! A response: its head, and its content as it comes.

use super::agent::{Clock, Lease, Shared};
use super::failure::{FetchError, Waiting};
use super::upload::{Sent, Upload, is_own_fault};
use super::{Connector, ResponseHead, Url};
use crate::{Status, memory};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

/// Content of unknown length is read in steps of so many octets.
const STEP: usize = 4 * 1024;

/// A response. When its content has come whole, its connection may serve the next request; dropped before that it is closed.
///
/// A server that says yes may do so before it has all of the request's content. The rest goes out while the response is read,
/// whose end is not told before that; dropping it ends both.
pub struct Response<C: Connector> {
    head: ResponseHead,
    url: Url,
    /// `None` once all has come.
    lease: Option<Lease<C>>,
    /// What of the request is still on its way.
    upload: Option<Upload<C>>,
    shared: Rc<Shared<C>>,
    clock: Clock,
}

impl<C: Connector> Response<C> {
    pub(super) fn new(
        head: ResponseHead,
        url: Url,
        lease: Lease<C>,
        upload: Option<Upload<C>>,
        shared: Rc<Shared<C>>,
        clock: Clock,
    ) -> Self {
        Self { head, url, lease: Some(lease), upload, shared, clock }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// Status and fields.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The first field of that name, where it is UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Where it came from, after all redirections.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Octets of the content that are still to come, where that is known.
    pub fn known_rest(&mut self) -> Option<u64> {
        match &mut self.lease {
            None => Some(0),
            Some(lease) => lease.reader().ok()?.known_rest(),
        }
    }

    /// The next octets of the content; 0 at its end.
    pub async fn read(&mut self, out: &mut [u8]) -> Result<usize, FetchError<C::Error>> {
        let read = self.next(out).await;
        match read {
            Ok(0) if !out.is_empty() => self.lease = None,
            Err(FetchError::TimedOut(_)) => self.shared.stats.timeouts.add(1),
            _ => {}
        }
        read
    }

    async fn next(&mut self, out: &mut [u8]) -> Result<usize, FetchError<C::Error>> {
        while let Some(upload) = &mut self.upload {
            let Some(lease) = &mut self.lease else { return Ok(0) };
            // No pause is too long while the server may wait for us; the upload has its own bound.
            let n = match self.clock.total(beside(upload, lease.reader()?.read(out))).await? {
                Beside::Sent(sent) => {
                    self.sent(sent)?;
                    continue;
                }
                Beside::Read(n) => n?,
            };
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let sent = self.clock.total(upload).await?;
            self.sent(sent)?;
        }
        let Some(lease) = &mut self.lease else { return Ok(0) };
        let reading = lease.reader()?.read(out);
        Ok(self.clock.within(self.shared.policy.pause_time, Waiting::Content, reading).await??)
    }

    /// The request is out, or will never be.
    fn sent(&mut self, (writer, result): Sent<C>) -> Result<(), FetchError<C::Error>> {
        self.upload = None;
        match result {
            Ok(()) => {
                if let Some(lease) = &mut self.lease {
                    lease.put_writer(writer);
                }
                Ok(())
            }
            Err(error) if is_own_fault(&error) => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// All the rest of the content, at most `limit` octets.
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, FetchError<C::Error>> {
        let mut all = Vec::new();
        loop {
            let known = self.known_rest();
            if known.is_some_and(|rest| rest > (limit - all.len()) as u64) {
                return Err(self.too_large(limit));
            }
            // One octet more than the limit shows that there is more.
            let step = known
                .map_or(STEP, |rest| rest as usize)
                .clamp(1, STEP)
                .min((limit - all.len()).saturating_add(1));
            self.make_room(&mut all, step, known)?;
            let old = all.len();
            all.resize(old + step, 0);
            let n = self.read(&mut all[old..]).await?;
            all.truncate(old + n);
            if n == 0 {
                return Ok(all);
            }
            if all.len() > limit {
                return Err(self.too_large(limit));
            }
        }
    }

    /// The same as text.
    pub async fn text(self, limit: usize) -> Result<String, FetchError<C::Error>> {
        String::from_utf8(self.bytes(limit).await?).map_err(|_| FetchError::NotText)
    }

    fn too_large(&self, limit: usize) -> FetchError<C::Error> {
        self.shared.stats.too_large.add(1);
        FetchError::TooLarge(limit)
    }

    fn make_room(
        &self,
        all: &mut Vec<u8>,
        step: usize,
        known: Option<u64>,
    ) -> Result<(), FetchError<C::Error>> {
        if all.capacity() - all.len() >= step {
            return Ok(());
        }
        let known = known.and_then(|rest| usize::try_from(rest).ok());
        let grown =
            known.map_or((all.len() + step).max(2 * all.capacity()), |rest| all.len() + rest.max(step));
        if !memory::is_free(grown) || all.try_reserve_exact(grown - all.len()).is_err() {
            self.shared.stats.refused.add(1);
            return Err(super::Error::NoMemory.into());
        }
        Ok(())
    }
}

enum Beside<C: Connector> {
    Sent(Sent<C>),
    Read(Result<usize, super::Error>),
}

/// Content both ways: whichever comes first.
async fn beside<C: Connector>(
    upload: &mut Upload<C>,
    reading: impl Future<Output = Result<usize, super::Error>>,
) -> Beside<C> {
    let mut reading = pin!(reading);
    poll_fn(|cx| {
        if let Poll::Ready(sent) = Pin::new(&mut *upload).poll(cx) {
            return Poll::Ready(Beside::Sent(sent));
        }
        reading.as_mut().poll(cx).map(Beside::Read)
    })
    .await
}

impl<C: Connector> fmt::Debug for Response<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} of {})", self.head.status().code(), self.url)
    }
}
