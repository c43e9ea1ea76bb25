//! A connection's logic: requests in order, until one side ends it. Knows no stream; see [`io`](crate::io).

use crate::body::{Incoming, Received};
use crate::framing::{self, Content, Framing};
use crate::head::{Head, Parsed};
#[cfg(feature = "h2")]
use crate::io::Spoken;
use crate::io::{Io, Phase, ReadError};
use crate::router::{Answer, Found};
use crate::send::{self, Asked, select};
use crate::server::Shared as Server;
use crate::{Method, Peer, Request, Response, Status};

/// Octets that are read and forgotten while a client may still send what nobody reads.
const MAX_LINGER: usize = 256 * 1024;

/// Empty lines before a request that are overlooked (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: usize = 4;

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Another request may come.
    Keep,
    /// The response says that it closes, and all of the request was read.
    Close,
    /// As `Close`, but the client may still be sending.
    Linger,
    /// The client must see that something is missing.
    Cut,
}

/// Why there is no request.
enum NoRequest {
    /// The connection ended between two requests.
    End,
    /// What came is none; the status to answer with.
    Refused(Status),
}

/// Serves requests until the connection is to be closed.
pub(crate) async fn serve(server: &Server, io: &Io, peer: &Peer) {
    let mut seen = Progress::default();
    #[cfg(feature = "h2")]
    if is_http2(server, io, &mut seen).await {
        return alloc::boxed::Box::pin(crate::h2::serve(server, io, peer)).await;
    }
    let mut head = server.spare.take_head();
    let mut served = 0;
    let next = loop {
        let framing = match next_head(server, io, &mut head, core::mem::take(&mut seen)).await {
            Ok(framing) => framing,
            Err(NoRequest::End) => break Next::Close,
            Err(NoRequest::Refused(status)) => break refuse(server, io, &head, status).await,
        };
        io.slot.set_busy();
        served += 1;
        match exchange(server, io, peer, &head, framing, served).await {
            Next::Keep => io.flush_if_much().await,
            end => break end,
        }
    };
    io.flush().await;
    if next != Next::Cut {
        io.is_open_ended.set(false);
    }
    if next == Next::Linger {
        linger(server, io).await;
    }
    io.shrink(&server.spare);
    server.spare.keep_input(io.take_rest_of_input(), head);
}

/// Whether the client speaks HTTP/2. Where that cannot be told yet, waits for as much as tells, as for the head that it is otherwise, and
/// uses nothing of it.
#[cfg(feature = "h2")]
async fn is_http2(server: &Server, io: &Io, seen: &mut Progress) -> bool {
    loop {
        let is_preface = || io.with_input(|input| crate::h2::is_preface(input.bytes()));
        let known = match io.spoken.get() {
            Spoken::Http2 => Some(true),
            Spoken::Http1 => Some(false),
            Spoken::AsItBegins if !server.has_prior_knowledge.get() => Some(false),
            Spoken::AsItBegins => is_preface(),
            Spoken::AsAgreed => None,
        };
        match known {
            Some(is_http2) => return is_http2,
            None if seen.no_more.is_some() => return false,
            None => {
                if let Err(end) = wait_for_head(server, io, None, seen).await {
                    seen.no_more = Some(end);
                }
            }
        }
    }
}

/// Waits for a head that can be answered.
async fn next_head(
    server: &Server,
    io: &Io,
    head: &mut Head,
    mut seen: Progress,
) -> Result<Framing, NoRequest> {
    let limits = &server.limits;
    head.clear();
    loop {
        let parsed = io.with_input(|input| {
            seen.skip_empty_lines(input)?;
            if !seen.is_worth_a_try(input.bytes()) {
                return Ok(Parsed::Partial);
            }
            let parsed = head.parse(input.bytes(), limits.header_count)?;
            if let Parsed::Complete(len) = parsed {
                input.consume(len);
            }
            Ok(parsed)
        });
        match parsed.map_err(NoRequest::Refused)? {
            Parsed::Complete(_) => return check(server, head).map_err(NoRequest::Refused),
            Parsed::Partial => match seen.no_more.take() {
                Some(reason) => return Err(reason),
                None => wait_for_head(server, io, Some(head), &mut seen).await?,
            },
        }
    }
}

/// How far reading a head has come over several reads.
#[derive(Default)]
struct Progress {
    empty_lines: usize,
    tried: usize,
    next_try: usize,
    begun: bool,
    /// Why no more will come: what there is is looked at once more, then this counts.
    no_more: Option<NoRequest>,
}

impl Progress {
    fn skip_empty_lines(&mut self, input: &mut crate::io::Input) -> Result<(), Status> {
        while input.bytes().starts_with(b"\r\n") {
            self.empty_lines += 1;
            if self.empty_lines > MAX_EMPTY_LINES {
                return Err(Status::BAD_REQUEST);
            }
            input.consume(2);
        }
        Ok(())
    }

    /// A head is read from its start each time, so not for each octet of a client that dribbles: only when its end may
    /// have come, or it has doubled.
    fn is_worth_a_try(&mut self, bytes: &[u8]) -> bool {
        let new = &bytes[self.tried.saturating_sub(3).min(bytes.len())..];
        let may_end = || new.windows(2).any(|w| w == b"\n\r" || w == b"\n\n");
        let worth = bytes.len() >= self.next_try || self.no_more.is_some() || may_end();
        self.tried = bytes.len();
        if worth {
            self.next_try = bytes.len() * 2;
        }
        worth && bytes != b"\r" && !bytes.is_empty()
    }
}

async fn wait_for_head(
    server: &Server,
    io: &Io,
    head: Option<&mut Head>,
    seen: &mut Progress,
) -> Result<(), NoRequest> {
    let has_begun = seen.empty_lines > 0 || io.with_input(|input| !input.bytes().is_empty());
    if !has_begun {
        io.begin_reading(Phase::wait(server.limits.idle_time));
        io.shrink(&server.spare);
        if let Some(head) = head {
            head.shrink();
        }
        server.registry.set_idle(&io.slot);
        return io.fill_idle().await.map_err(|_| NoRequest::End);
    }
    if !core::mem::replace(&mut seen.begun, true) {
        io.slot.set_busy();
        io.begin_reading(Phase::wait(server.limits.head_time));
    }
    seen.no_more = io.fill().await.err().map(|e| match e {
        ReadError::TimedOut => NoRequest::Refused(Status::REQUEST_TIMEOUT),
        ReadError::Full if io.with_input(|input| input.bytes().contains(&b'\n')) => {
            NoRequest::Refused(Status::HEADER_FIELDS_TOO_LARGE)
        }
        ReadError::Full => NoRequest::Refused(Status::URI_TOO_LONG),
        ReadError::NoMemory => NoRequest::Refused(Status::SERVICE_UNAVAILABLE),
        ReadError::Closed => NoRequest::End,
    });
    Ok(())
}

/// Whether a whole head is one that we serve.
fn check(server: &Server, head: &mut Head) -> Result<Framing, Status> {
    let framing = framing::read(head)?;
    head.take(server.takes.get())?;
    match framing.content {
        Content::Length(n) if n > server.limits.body_size => Err(Status::CONTENT_TOO_LARGE),
        _ => Ok(framing),
    }
}

/// Answers what is no request, and closes.
async fn refuse(server: &Server, io: &Io, head: &Head, status: Status) -> Next {
    match status {
        Status::REQUEST_TIMEOUT => io.stats.timeouts.add(1),
        Status::BAD_REQUEST => io.stats.malformed.add(1),
        Status::SERVICE_UNAVAILABLE => io.stats.refused.add(1),
        _ => {}
    }
    let (response, asked) = (Response::error(status), Asked::unreadable(head));
    let begun = send::begin(server, io, asked, &response, None);
    let sent = send::finish(io, begun, response.into_body(), None, None).await;
    if sent.is_ok() { Next::Linger } else { Next::Cut }
}

/// One request and its response.
async fn exchange(server: &Server, io: &Io, peer: &Peer, head: &Head, framing: Framing, served: u32) -> Next {
    let Some(method) = head.method() else { return Next::Cut };
    let body = Incoming::new(io, &server.limits, &framing);
    io.is_watched.set(server.watches_clients.get());
    let mut response = match answer(server, io, Received::Http1(&body), head, method, peer) {
        Answer::AtOnce(response) => response,
        Answer::Later(response) => {
            let _waits = server.waiting.one();
            response.await
        }
    };
    let part = select(&mut response, method, head);
    let mut asked = Asked::new(head, &framing);
    // What reads on may read all of it.
    let can_go_on = if response.reads_on() { body.may_be_read() } else { body.can_skip() };
    asked.keep_alive &= !server.is_last(&io.slot, served) && can_go_on;
    let begun = send::begin(server, io, asked, &response, part.as_ref());
    let sent = send::finish(io, begun, response.into_body(), part, Some(Received::Http1(&body))).await;
    io.is_watched.set(false);
    match sent {
        Err(_) => Next::Cut,
        Ok(true) if body.skip().await => Next::Keep,
        Ok(_) if body.known_rest() == Some(0) && io.has_no_input() => Next::Close,
        Ok(_) => Next::Linger,
    }
}

/// Asks the handler that the request has, if there is one.
#[inline]
pub(crate) fn answer<'a>(
    server: &'a Server,
    io: &Io,
    body: Received<'a>,
    head: &'a Head,
    method: Method,
    peer: &'a Peer,
) -> Answer<'a> {
    let path = head.path();
    match server.router.find(method, path) {
        Found::Answer(response) => Answer::AtOnce(response),
        Found::Handler(..) if !server.waiting.may_call() => {
            io.stats.refused.add(1);
            Answer::AtOnce(Response::error(Status::SERVICE_UNAVAILABLE).close())
        }
        Found::Handler(handler, pattern) => handler.call(Request { head, body, method, path, pattern, peer }),
    }
}

/// Reads on for a while, so that the client sees the answer: closing with input unread makes some stacks reset.
pub(crate) async fn linger(server: &Server, io: &Io) {
    io.begin_reading(Phase::wait(server.limits.linger_time));
    let mut forgotten = 0;
    while forgotten < MAX_LINGER {
        forgotten += io.with_input(|input| {
            let n = input.bytes().len();
            input.consume(n);
            n
        });
        if io.fill().await.is_err() {
            return;
        }
    }
}
