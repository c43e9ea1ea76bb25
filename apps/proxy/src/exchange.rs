//! A request at a server: what is sent, and what is waited for. What is made of the response is in `answer`.

use crate::answer;
use crate::backends::{Fault, Used, Wire, count};
use crate::fields;
use crate::pool::Turn;
use crate::relay::Proxy;
use crate::request::Outgoing;
use crate::upload::{Ended, Upload};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::any::Any;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Poll, ready};
use fata::fetch::Connector;
use fata::http::{BodyError, Early, Request, Response, Status};
use fata::time::{Duration, Instant, timeout};
use fata_http::client::{self, Error, RequestWriter, ResponseHead, ResponseReader};

/// How long a server may think about whether it wants the content (RFC 9110 section 10.1.1).
const CONTINUE_TIME: Duration = Duration::from_secs(1);

pub(crate) type Reader = ResponseReader<<Connector as client::Connector>::Reader>;
pub(crate) type Writer = RequestWriter<<Connector as client::Connector>::Writer>;
pub(crate) type ToServer = Upload<<Connector as client::Connector>::Writer>;

/// Why there is no response.
pub enum Failure {
    /// The connection ended before anything of it had come.
    Unanswered,
    /// What came is none.
    Broken,
    /// It did not come in time.
    TimedOut,
    /// There is no memory for it here.
    NoMemory,
    /// It goes on with another protocol, for which there is no place.
    NoTunnel,
    /// The client's content did not come.
    Client(BodyError),
}

/// The half that writes.
pub(crate) enum Sending {
    /// The request is out whole.
    Done(Writer),
    /// The server may be sent more of its content.
    GoesOn(ToServer),
    /// The server wants no more of it. The stream stays open until the response has come: some servers take its end for the client's.
    Given { _open: Box<dyn Any> },
}

impl Sending {
    fn given(open: impl Any) -> Self {
        Self::Given { _open: Box::new(open) }
    }
}

/// How sending a request's content has ended, as far as it has.
enum Sent {
    Whole,
    /// The server has answered before.
    Answered(Result<ResponseHead, Error>),
    /// It takes no more, and may have said why.
    Refused,
}

/// Sends a request's content, until all is out or the server has answered.
async fn send(
    request: &mut Request<'_>,
    upload: &mut ToServer,
    reader: &mut Reader,
    outgoing: &Outgoing,
) -> Result<Sent, Failed> {
    let early = request.early();
    let mut sending = pin!(upload.run(request));
    let mut answer = pin!(async {
        loop {
            let head = reader.next_head().await?;
            if is_final(&head) {
                return Ok(head);
            }
            pass_on_early(&head, early, outgoing).await;
        }
    });
    poll_fn(|cx| {
        // Where both have ended the answer counts: who has said no may take no more.
        if let Poll::Ready(head) = answer.as_mut().poll(cx) {
            return Poll::Ready(Ok(Sent::Answered(head)));
        }
        let ended = ready!(sending.as_mut().poll(cx));
        Poll::Ready(match ended {
            Ok(()) => Ok(Sent::Whole),
            Err(Ended::Refused) => Ok(Sent::Refused),
            Err(Ended::Stalled) => Err(Failed::Stalled),
            Err(Ended::Client(error)) => Err(Failed::Client(error)),
        })
    })
    .await
}

fn is_final(head: &ResponseHead) -> bool {
    head.status().code() >= 200 || head.status() == Status::SWITCHING_PROTOCOLS
}

/// Passes an interim answer on (RFC 9110 section 15.2).
async fn pass_on_early(head: &ResponseHead, early: Early<'_>, outgoing: &Outgoing) {
    // Who waits to be asked for content is asked where that is read.
    if head.status() == Status::CONTINUE && outgoing.expects_continue {
        return;
    }
    early.send(&answer::with_fields(Response::new(head.status()), head)).await;
}

/// A request at a server.
pub struct Exchange {
    pub(crate) proxy: Rc<Proxy>,
    pub(crate) turn: Turn,
    wire: Wire,
    used: Used,
}

/// What has come of it.
pub(crate) struct Answered {
    pub(crate) proxy: Rc<Proxy>,
    pub(crate) turn: Turn,
    pub(crate) head: ResponseHead,
    pub(crate) reader: Reader,
    pub(crate) sending: Sending,
}

impl Exchange {
    /// On this connection.
    pub fn new(proxy: Rc<Proxy>, turn: Turn, wire: Wire, used: Used) -> Self {
        Self { proxy, turn, wire, used }
    }

    /// Sends the request, and makes the client's response of the server's.
    pub async fn run(self, request: &mut Request<'_>, outgoing: &Outgoing) -> Result<Response, Failure> {
        let Self { proxy, turn, wire, used } = self;
        let began = Instant::now();
        let counts = &turn.server().counts;
        count(&counts.requests);
        match ask(wire, proxy.times.response, request, outgoing).await {
            Ok((head, reader, sending)) => {
                counts.waited_us.set(counts.waited_us.get().wrapping_add(began.elapsed().as_micros() as u64));
                let class = usize::from(head.status().code() / 100).wrapping_sub(1);
                counts.responses.get(class).map(count);
                turn.answered();
                Answered { proxy, turn, head, reader, sending }.response(outgoing)
            }
            Err(failed) => {
                let is_to_blame = !matches!(failed, Failed::Meanwhile(..));
                let (failure, fault) = failed.what();
                match failure {
                    // It was to be expected.
                    Failure::Unanswered if used == Used::Before => return Err(failure),
                    Failure::NoMemory | Failure::NoTunnel | Failure::Client(_) => return Err(failure),
                    Failure::TimedOut => count(&counts.timed_out),
                    Failure::Unanswered | Failure::Broken => {}
                }
                count(&counts.failed);
                if let Some(fault) = fault {
                    turn.server().failed(fault);
                }
                if is_to_blame {
                    turn.unanswered();
                }
                Err(failure)
            }
        }
    }
}

/// What went wrong between a request and the head of its response.
enum Failed {
    Http(Error, IsFirst),
    /// The same, while it was the client who was waited for: servers wait as long as they like.
    Meanwhile(Error, IsFirst),
    Silent,
    Stalled,
    NoMemory,
    Client(BodyError),
}

/// Whether something of the response had come.
#[derive(PartialEq, Eq)]
enum IsFirst {
    Yes,
    No,
}

impl IsFirst {
    fn of(reader: &Reader) -> Self {
        if reader.is_unanswered() { Self::Yes } else { Self::No }
    }
}

impl Failed {
    fn of(error: Error, reader: &Reader) -> Self {
        Self::Http(error, IsFirst::of(reader))
    }

    fn what(self) -> (Failure, Option<Fault>) {
        match self {
            Self::Http(Error::NoMemory, _) | Self::Meanwhile(Error::NoMemory, _) | Self::NoMemory => {
                (Failure::NoMemory, None)
            }
            Self::Http(error, IsFirst::Yes) | Self::Meanwhile(error, IsFirst::Yes) => {
                (Failure::Unanswered, Some(error.into()))
            }
            Self::Http(error, IsFirst::No) | Self::Meanwhile(error, IsFirst::No) => {
                (Failure::Broken, Some(error.into()))
            }
            Self::Silent => (Failure::TimedOut, Some(Fault::Silent)),
            Self::Stalled => (Failure::TimedOut, Some(Fault::Stalled)),
            Self::Client(error) => (Failure::Client(error), None),
        }
    }
}

/// Sends the request; gives the head of its response.
async fn ask(
    mut wire: Wire,
    time: Duration,
    request: &mut Request<'_>,
    outgoing: &Outgoing,
) -> Result<(ResponseHead, Reader, Sending), Failed> {
    match timeout(time, wire.send(&outgoing.head)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failed::of(error, wire.reader())),
        Err(_) => return Err(Failed::Stalled),
    }
    if outgoing.expects_continue {
        loop {
            match timeout(CONTINUE_TIME, wire.reader().next_head()).await {
                Ok(Ok(head)) if is_final(&head) => {
                    let (reader, writer) = wire.into_halves();
                    return Ok((head, reader, Sending::given(writer)));
                }
                Ok(Ok(head)) if head.status() == Status::CONTINUE => break,
                Ok(Ok(head)) => pass_on_early(&head, request.early(), outgoing).await,
                Ok(Err(error)) => return Err(Failed::of(error, wire.reader())),
                Err(_) => break,
            }
        }
    }
    let (mut reader, writer) = wire.into_halves();
    let sending = if outgoing.has_content {
        let mut upload = Upload::new(writer, time).ok_or(Failed::NoMemory)?;
        match send(request, &mut upload, &mut reader, outgoing).await? {
            Sent::Answered(Ok(head)) => {
                let sending = match wants_more(&head, &upload, outgoing) {
                    true => Sending::GoesOn(upload),
                    false => Sending::given(upload),
                };
                return Ok((head, reader, sending));
            }
            Sent::Answered(Err(error)) if upload.awaits_client() => {
                return Err(Failed::Meanwhile(error, IsFirst::of(&reader)));
            }
            Sent::Answered(Err(error)) => return Err(Failed::of(error, &reader)),
            Sent::Refused => Sending::given(upload),
            Sent::Whole => match upload.into_writer() {
                Some(writer) => Sending::Done(writer),
                None => return Err(Failed::Stalled),
            },
        }
    } else {
        Sending::Done(writer)
    };
    loop {
        match timeout(time, reader.next_head()).await {
            Ok(Ok(head)) if is_final(&head) => return Ok((head, reader, sending)),
            Ok(Ok(head)) => pass_on_early(&head, request.early(), outgoing).await,
            Ok(Err(error)) => return Err(Failed::of(error, &reader)),
            Err(_) => return Err(Failed::Silent),
        }
    }
}

/// Whether a server that has answered is to get the rest of the content: not one that refuses it, or leads elsewhere, and closes (RFC 9112 section
/// 9.5); and none that a client has not been asked for, which sends it no more.
fn wants_more(head: &ResponseHead, upload: &ToServer, outgoing: &Outgoing) -> bool {
    let closes = head.is_http_1_0() || fields::closes(head.fields_of("Connection"));
    let is_asked = !outgoing.expects_continue || upload.has_asked();
    is_asked && (head.status().code() < 300 || !closes)
}
