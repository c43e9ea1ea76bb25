//! A request from its first word to its response's head: connections, redirections, a second try.

use super::agent::{Clock, Lease, Shared, Wanted};
use super::answer::Response;
use super::failure::{FetchError, Waiting};
use super::upload::{Body, ContentWriter, Upload, is_own_fault};
use super::{
    Connector, Content, Error, Policy, RequestHead, RequestWriter, ResponseHead, Url, UrlError, redirect,
};
use crate::stream::Aborted;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Poll, ready};
use fata_libos::time::{Sleep, sleep, timeout};

/// What is read of a redirection's content so that its connection can be kept, octets.
const MAX_SKIP: usize = 16 * 1024;

/// A request that is put together. Nothing is sent before [`send`](Self::send).
pub struct Request<C: Connector> {
    shared: Rc<Shared<C>>,
    method: String,
    url: Result<Url, UrlError>,
    fields: Vec<(String, Vec<u8>)>,
    body: Body<C>,
    expects_continue: bool,
}

impl<C: Connector> Request<C> {
    pub(super) fn new(shared: Rc<Shared<C>>, method: &str, url: &str) -> Self {
        let (method, url) = (method.to_owned(), url.parse());
        Self { shared, method, url, fields: Vec::new(), body: Body::None, expects_continue: false }
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the content.
    pub fn body(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Octets(Rc::new(octets.into()));
        self
    }

    /// Content that is made while it is sent, of a length that is known before or not. Such a request is not sent again: not
    /// where a redirection asks for that, which is given back then.
    pub fn stream(
        mut self,
        length: Option<u64>,
        source: impl AsyncFnOnce(&mut ContentWriter<'_, C>) -> Result<(), Aborted> + 'static,
    ) -> Self {
        let content = length.map_or(Content::Chunked, Content::Length);
        self.body = Body::Stream(content, Some(Box::new(source)));
        self
    }

    /// Asks the server whether it wants the content before that is sent.
    pub fn expect_continue(mut self) -> Self {
        self.expects_continue = true;
        self
    }

    /// Sends it, and waits for the head of a response that is no redirection to follow.
    pub async fn send(self) -> Result<Response<C>, FetchError<C::Error>> {
        let Self { shared, method, url, fields, body, expects_continue } = self;
        let clock = Clock::start(shared.policy.total_time);
        let call = Call { shared, method, fields, body, expects_continue, clock };
        Box::pin(call.follow(url?)).await
    }
}

/// A request under way.
struct Call<C: Connector> {
    shared: Rc<Shared<C>>,
    method: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Body<C>,
    expects_continue: bool,
    clock: Clock,
}

impl<C: Connector> Call<C> {
    /// Goes on until there is a response that leads nowhere else.
    async fn follow(mut self, mut url: Url) -> Result<Response<C>, FetchError<C::Error>> {
        let most = self.shared.policy.redirects;
        let mut seen: Vec<(String, Url)> = Vec::new();
        loop {
            let Answered { lease, head, upload } =
                self.ask(&url).await.inspect_err(|error| self.count(error))?;
            let location = head.fields_of("Location").next().filter(|_| redirect::is_redirect(head.status()));
            let Some(location) = location.filter(|_| most > 0) else {
                return Ok(Response::new(head, url, lease, upload, self.shared, self.clock));
            };
            let next = url.join(location).map_err(FetchError::BadLocation)?;
            let change = redirect::change(head.status(), &self.method, &url, &next);
            if !change.to_get && !self.body.is_there() {
                return Ok(Response::new(head, url, lease, upload, self.shared, self.clock));
            }
            if change.is_downgrade && !self.shared.policy.allow_downgrade {
                return Err(FetchError::Downgrade);
            }
            seen.push((self.method.clone(), url));
            self.change(change);
            if seen.len() > most {
                return Err(FetchError::TooManyRedirects(most));
            }
            if seen.iter().any(|(method, url)| *method == self.method && *url == next) {
                return Err(FetchError::RedirectLoop);
            }
            self.shared.stats.redirects.add(1);
            self.skip(lease).await;
            url = next;
        }
    }

    fn change(&mut self, change: redirect::Change) {
        if change.to_get {
            self.method = "GET".into();
            self.body = Body::None;
            self.fields.retain(|(name, _)| !redirect::is_of_content(name));
        }
        if change.is_other_origin {
            self.fields.retain(|(name, _)| !redirect::is_credential(name));
        }
    }

    fn count(&self, error: &FetchError<C::Error>) {
        if let FetchError::TimedOut(_) = error {
            self.shared.stats.timeouts.add(1);
        }
    }

    /// Reads what a redirection says beside, if that is little, so that its connection can be used again.
    async fn skip(&self, mut lease: Lease<C>) {
        let skipping = async {
            let (mut piece, mut skipped) = ([0; 512], 0);
            while skipped < MAX_SKIP {
                match lease.reader()?.read(&mut piece).await? {
                    0 => break,
                    n => skipped += n,
                }
            }
            Ok::<_, Error>(())
        };
        // What cannot be read ends the connection, and nothing else.
        let (time, _) = self.clock.left(self.shared.policy.continue_time, Waiting::Content);
        let _ = timeout(time, skipping).await;
    }

    /// One request and its response's head; a second try where a connection was dead that had been kept.
    async fn ask(&mut self, url: &Url) -> Result<Answered<C>, FetchError<C::Error>> {
        let is_idempotent =
            matches!(&self.method[..], "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        let can_be_repeated = is_idempotent && self.body.can_be_repeated();
        let head = self.head(url)?;
        let wanted = if can_be_repeated { Wanted::Any } else { Wanted::Alive };
        let mut lease = self.shared.connection(url.origin(), wanted, &self.clock).await?;
        match self.exchange(&mut lease, &head).await {
            Err(FetchError::Http(Error::Closed | Error::Io(_)))
                if lease.is_reused && can_be_repeated && lease.reader()?.is_unanswered() =>
            {
                self.shared.stats.retried.add(1);
                drop(lease);
                lease = self.shared.connection(url.origin(), Wanted::Fresh, &self.clock).await?;
                let (head, upload) = self.exchange(&mut lease, &head).await?;
                Ok(Answered { lease, head, upload })
            }
            result => result.map(|(head, upload)| Answered { lease, head, upload }),
        }
    }

    fn head(&self, url: &Url) -> Result<RequestHead, FetchError<C::Error>> {
        let mut head = RequestHead::new(&self.method, url.target())?;
        let has = |wanted: &str| self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !has("Host") {
            head.field("Host", url.origin().authority())?;
        }
        if !has("User-Agent") {
            head.field("User-Agent", "fata")?;
        }
        for (name, value) in &self.fields {
            head.field(name, value)?;
        }
        head.content(self.body.content());
        if self.expects_continue {
            head.expect_continue();
        }
        Ok(head)
    }

    /// The response's head, and what is still on its way to the server then.
    async fn exchange(
        &mut self,
        lease: &mut Lease<C>,
        head: &RequestHead,
    ) -> Result<(ResponseHead, Option<Upload<C>>), FetchError<C::Error>> {
        let (policy, clock) = (&self.shared.policy, self.clock);
        let connection = lease.connection()?;
        clock.within(policy.pause_time, Waiting::Request, connection.send(head)).await??;
        if head.waits_for_continue() {
            let (time, what) = clock.left(policy.continue_time, Waiting::Head);
            match timeout(time, connection.reader().wait_for_continue()).await {
                Ok(asked) => {
                    if let Some(response) = asked? {
                        return Ok((response, None));
                    }
                }
                Err(_) if what == Waiting::All => return Err(FetchError::TimedOut(what)),
                Err(_) => {}
            }
        }
        let writer = lease.take_writer()?;
        let mut upload = Some(Upload::start(self.body.once(), writer, policy.pause_time, clock));
        let (answer, writer) = clock.total(answer(lease, &mut upload, policy, clock)).await?;
        let head = answer?;
        if let Some(writer) = writer {
            lease.put_writer(writer);
        }
        // Who says no, or where else to go, does not want the rest. Any other may make its answer of what comes.
        if head.status().code() >= 300 {
            return Ok((head, None));
        }
        // Of an answer without content nobody waits for the end.
        if let Some(rest) = upload.take_if(|_| lease.reader().is_ok_and(|reader| reader.is_done())) {
            let (writer, result) = clock.total(rest).await?;
            match result {
                Ok(()) => lease.put_writer(writer),
                Err(error) if is_own_fault(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok((head, upload))
    }
}

/// A response's head, and what belongs to it.
struct Answered<C: Connector> {
    lease: Lease<C>,
    head: ResponseHead,
    upload: Option<Upload<C>>,
}

/// A response's head, and the half that writes, if it is done: then there is no upload any more.
type Answer<C> = (
    Result<ResponseHead, FetchError<<C as Connector>::Error>>,
    Option<RequestWriter<<C as Connector>::Writer>>,
);

/// Waits for a response's head while the content goes out.
async fn answer<C: Connector>(
    lease: &mut Lease<C>,
    upload: &mut Option<Upload<C>>,
    policy: &Policy,
    clock: Clock,
) -> Answer<C> {
    let reader = match lease.reader() {
        Ok(reader) => reader,
        Err(error) => return (Err(error.into()), None),
    };
    let mut reading = pin!(reader.head());
    let (mut writer, mut failed) = (None, None);
    let mut patience: Option<(Sleep, Waiting)> = None;
    let answer = poll_fn(|cx| {
        if let Some(sending) = upload
            && let Poll::Ready((half, result)) = Pin::new(sending).poll(cx)
        {
            *upload = None;
            let (time, what) = clock.left(policy.head_time, Waiting::Head);
            patience = Some((sleep(time), what));
            match result {
                Ok(()) => writer = Some(half),
                Err(error @ FetchError::Http(Error::Io(_))) => failed = Some(error),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // A server that has said no may take no more: then what it said counts, not that writing failed.
        let failure = match reading.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(Ok(response)),
            Poll::Ready(Err(error)) => FetchError::Http(error),
            Poll::Pending => match &mut patience {
                Some((sleep, what)) => {
                    ready!(Pin::new(sleep).poll(cx));
                    FetchError::TimedOut(*what)
                }
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Err(failed.take().unwrap_or(failure)))
    })
    .await;
    (answer, writer)
}
