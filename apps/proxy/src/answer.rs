//! A server's response as it goes to the client (RFC 9110 section 7.6).

use crate::backends::{Fault, count};
use crate::buffer;
use crate::exchange::{Answered, Failure, Reader, Sending, ToServer, Writer};
use crate::fields;
use crate::kept::said_time;
use crate::pipe::{self, Buffers};
use crate::pool::Turn;
use crate::relay::Proxy;
use crate::request::{Outgoing, all, joined};
use crate::silence::{Heard, Silence};
use crate::upload::Ended;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata::http::{Aborted, BodyWriter, RequestContent, Response, Status};
use fata::time::{Duration, timeout};
use fata_http::client::{Connection, ResponseHead};

impl Answered {
    /// The client's response.
    pub(crate) fn response(self, outgoing: &Outgoing) -> Result<Response, Failure> {
        let (head, name) = (self.head.clone(), self.proxy.name.clone());
        let mut response = match head.status() {
            Status::SWITCHING_PROTOCOLS => self.tunnel(outgoing)?,
            status => self.with_content(outgoing)?.status(status),
        };
        if response.status_code() == Status::UPGRADE_REQUIRED {
            // Without what it wants it would say nothing (RFC 9110 section 15.5.22).
            for value in head.fields_of("Upgrade") {
                response = response.relayed_header("Upgrade", value);
            }
        }
        let version = if head.is_http_1_0() { "1.0" } else { "1.1" };
        let via = joined(all(head.fields_of("Via")), &format!("{version} {name}"));
        Ok(with_fields(response, &head).relayed_header("Via", &via))
    }

    fn with_content(self, outgoing: &Outgoing) -> Result<Response, Failure> {
        let Self { proxy, turn, head, reader, sending } = self;
        let said = head.field("Keep-Alive").and_then(said_time);
        let length = match outgoing.is_head {
            true => head.field("Content-Length").and_then(|length| length.parse().ok()),
            false => reader.known_rest(),
        };
        let sending = match sending {
            // Its place is free at once, and the connection for the next.
            Sending::Done(writer) if reader.is_done() => {
                turn.keep(Connection::of_halves(reader, writer), said);
                return Ok(without_content(outgoing, length));
            }
            other => other,
        };
        let piece = buffer::piece(usize::MAX).ok_or(Failure::NoMemory)?;
        let mut download = Download { proxy, turn, reader, piece };
        Ok(match sending {
            Sending::GoesOn(upload) => Response::two_ways(
                length,
                async move |content: RequestContent<'_>, body: &mut BodyWriter<'_>| {
                    download.beside(upload, content, body, said).await
                },
            ),
            Sending::Done(writer) => sized(length, async move |body: &mut BodyWriter<'_>| {
                download.run(body).await?;
                download.keep(writer, said);
                Ok(())
            }),
            given @ Sending::Given { .. } => sized(length, async move |body: &mut BodyWriter<'_>| {
                download.run(body).await?;
                drop(given);
                Ok(())
            }),
        })
    }

    /// Goes on with another protocol.
    fn tunnel(self, outgoing: &Outgoing) -> Result<Response, Failure> {
        let Self { proxy, turn, head, reader, sending } = self;
        let protocol = head.field("Upgrade").unwrap_or_default();
        let wire = match sending {
            Sending::Done(writer) => Connection::of_halves(reader, writer).into_upgraded(),
            _ => None,
        };
        let Some(wire) = wire.filter(|_| fields::was_asked(&outgoing.protocols, Some(protocol))) else {
            count(&turn.server().counts.failed);
            turn.server().failed(Fault::Protocol);
            return Err(Failure::Broken);
        };
        let buffers = Buffers::new().ok_or(Failure::NoMemory)?;
        let idle = proxy.times.tunnel;
        // From now on it takes no request's place.
        let Some(place) = turn.into_tunnel() else { return Err(Failure::NoTunnel) };
        Ok(Response::upgrade(
            protocol,
            async move |content: RequestContent<'_>, body: &mut BodyWriter<'_>| {
                let _open = Open::new(&proxy);
                let done = pipe::run(content, body, wire, idle, buffers).await;
                drop(place);
                done
            },
        ))
    }
}

/// With the fields that go on, but `Via`.
pub(crate) fn with_fields(mut response: Response, head: &ResponseHead) -> Response {
    for (name, value) in head.fields() {
        if !name.eq_ignore_ascii_case("Via") && fields::goes_on(name, head.fields_of("Connection")) {
            response = response.relayed_header(name, value);
        }
    }
    response
}

fn sized(
    length: Option<u64>,
    write: impl AsyncFnOnce(&mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
) -> Response {
    match length {
        Some(length) => Response::sized_stream(length, write),
        None => Response::stream(write),
    }
}

/// Of a response that has none, or whose client wants none.
fn without_content(outgoing: &Outgoing, length: Option<u64>) -> Response {
    match outgoing.is_head {
        // As it is said of what GET would give.
        true => sized(length, async |_: &mut BodyWriter<'_>| Ok(())),
        false => Response::new(Status::OK),
    }
}

/// A connection with another protocol, counted as long as it is there.
struct Open(Rc<Proxy>);

impl Open {
    fn new(proxy: &Rc<Proxy>) -> Self {
        count(&proxy.counts.upgraded);
        count(&proxy.counts.tunnels);
        Self(proxy.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let tunnels = &self.0.counts.tunnels;
        tunnels.set(tunnels.get().wrapping_sub(1));
    }
}

/// Content on its way to the client.
struct Download {
    proxy: Rc<Proxy>,
    turn: Turn,
    reader: Reader,
    piece: Vec<u8>,
}

impl Download {
    fn time(&self) -> Duration {
        self.proxy.times.response
    }

    /// Passes all of it on.
    async fn run(&mut self, body: &mut BodyWriter<'_>) -> Result<(), Aborted> {
        loop {
            match timeout(self.time(), self.reader.read(&mut self.piece)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(n)) => body.write(&self.piece[..n]).await,
                Ok(Err(error)) => return Err(self.failed(error.into())),
                Err(_) => return Err(self.failed(Fault::Silent)),
            }
        }
    }

    /// The same, while the rest of the request goes to the server: which of both is waited for, is the server's business, but not for ever. A server
    /// whose response is whole may read on, and gets all there is (RFC 9112 section 9.5); the end of the response is not told before that.
    async fn beside(
        mut self,
        mut upload: ToServer,
        content: RequestContent<'_>,
        body: &mut BodyWriter<'_>,
        said: Option<Duration>,
    ) -> Result<(), Aborted> {
        let silence = Silence::new(self.time());
        let mut content = Heard::new(content, &silence);
        let (reader, piece) = (&mut self.reader, &mut self.piece);
        let ended = {
            let mut down = pin!(async {
                loop {
                    match reader.read(piece).await {
                        Ok(0) => return Ok(()),
                        // The client has its own limits.
                        Ok(n) => silence.excused(body.write(&piece[..n])).await,
                        Err(error) => return Err(error),
                    }
                }
            });
            let mut up = pin!(upload.run(&mut content));
            let mut too_long = pin!(silence.too_long());
            let (mut is_sent, mut is_received) = (false, false);
            // The writing way first: what it waits for is not to be forgotten for what the other waits for.
            poll_fn(|cx| {
                if !is_received && let Poll::Ready(ended) = down.as_mut().poll(cx) {
                    match ended {
                        Ok(()) => is_received = true,
                        Err(error) => return Poll::Ready(End::Fault(error.into())),
                    }
                }
                if !is_sent && let Poll::Ready(ended) = up.as_mut().poll(cx) {
                    match ended {
                        Ok(()) | Err(Ended::Refused) => is_sent = true,
                        Err(Ended::Stalled) => return Poll::Ready(End::Fault(Fault::Stalled)),
                        Err(Ended::Client(_)) => return Poll::Ready(End::Client),
                    }
                    silence.broken();
                }
                match (is_received, is_sent) {
                    (true, true) => Poll::Ready(End::Whole),
                    // The client has its own limit, and so has each piece that the server is to take.
                    (true, false) => Poll::Pending,
                    (false, _) => too_long.as_mut().poll(cx).map(|()| End::Fault(Fault::Silent)),
                }
            })
            .await
        };
        match ended {
            End::Whole => {
                if let Some(writer) = upload.into_writer() {
                    self.keep(writer, said);
                }
                Ok(())
            }
            End::Fault(fault) => Err(self.failed(fault)),
            End::Client => Err(Aborted),
        }
    }

    fn failed(&self, fault: Fault) -> Aborted {
        let counts = &self.turn.server().counts;
        count(&counts.failed);
        if matches!(fault, Fault::Silent | Fault::Stalled) {
            count(&counts.timed_out);
        }
        self.turn.server().failed(fault);
        Aborted
    }

    /// Its connection may serve others.
    fn keep(self, writer: Writer, said: Option<Duration>) {
        self.turn.keep(Connection::of_halves(self.reader, writer), said);
    }
}

/// How content both ways has ended.
enum End {
    Whole,
    Fault(Fault),
    Client,
}
