//! One request and its response, as a future of its stream.

use super::frame::{self, Flags};
use super::request::Request;
use super::stream::{Incoming, Stream, Wait};
use super::wire::Wire;
use crate::body::{Left, Received, RequestContent};
use crate::connection::answer;
use crate::response::Kind;
use crate::router::Answer;
use crate::send::{self, Asked};
use crate::stream::{Aborted, BodyWriter, Delimiter};
use crate::{Method, Peer, Response};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::ops::Range;
use core::task::Poll;
use fata_libos::time::timeout;

/// Answers a request. An error: the stream is to be reset, so that the client sees that something is missing.
pub(crate) async fn serve(
    wire: &Wire<'_>,
    stream: Rc<Stream>,
    request: Request,
    peer: &Peer,
) -> Result<(), Aborted> {
    let incoming = Incoming { wire, stream: &stream };
    let (head, method) = (&request.head, request.method);
    let mut response = match answer(wire.server, wire.io, Received::Http2(&incoming), head, method, peer) {
        Answer::AtOnce(response) => response,
        Answer::Later(response) => {
            let _waits = wire.server.waiting.one();
            response.await
        }
    };
    let part = send::select(&mut response, method, head);
    respond(wire, &stream, Some(Received::Http2(&incoming)), method == Method::Head, response, part).await?;
    incoming.skip().await;
    // Some clients overlook an answer whose stream is reset while they send: curl 7.88 does.
    let _ = timeout(wire.server.limits.linger_time, incoming.linger()).await;
    Ok(())
}

/// Answers what no handler sees.
pub(crate) async fn refuse(
    wire: &Wire<'_>,
    stream: Rc<Stream>,
    is_head: bool,
    response: Response,
) -> Result<(), Aborted> {
    respond(wire, &stream, None, is_head, response, None).await
}

/// Sends a response, or `part` of it.
async fn respond(
    wire: &Wire<'_>,
    stream: &Stream,
    request: Option<Received<'_>>,
    is_head: bool,
    response: Response,
    part: Option<Range<usize>>,
) -> Result<(), Aborted> {
    let sender = Sender { wire, stream };
    let asked = Asked { is_head, http_1_1: true, keep_alive: true };
    let delimiter = send::delimiter(&response, asked, part.as_ref());
    wire.io.stats.count(response.status);
    if response.close {
        wire.closes.set(true);
    }
    let has_content = !is_head && delimiter.is_some_and(|d| d != Delimiter::Length(0));
    // Whose end comes with its head would be taken for one who wants no more.
    let goes_on = has_content || response.reads_on();
    let end = if goes_on { Flags::NONE } else { Flags::END_STREAM };
    sender.until_there_is_room().await;
    sender.put_head(&response, delimiter, part.as_ref(), end);
    let delimiter = delimiter.filter(|_| has_content);
    let whole = |len: usize| part.clone().unwrap_or(0..len);
    match response.into_body().0 {
        Kind::Stream { source, .. } if goes_on => {
            let mut writer = BodyWriter::over_http2(&sender, delimiter.unwrap_or(Delimiter::Length(0)));
            let left = request.map_or(Left::Nothing, Left::Content);
            source.run(RequestContent(left), &mut writer).await?;
            writer.finish()?;
            sender.finish(writer.trailers()).await;
        }
        _ if !has_content => {}
        Kind::Static(bytes) => {
            let part = bytes.get(whole(bytes.len())).unwrap_or_default();
            sender.data(part, Flags::END_STREAM).await;
        }
        Kind::Owned(bytes) => {
            let part = bytes.get(whole(bytes.len())).unwrap_or_default();
            sender.data(part, Flags::END_STREAM).await;
        }
        Kind::Stream { .. } => {}
        Kind::Upgrade(_) => return Err(Aborted),
    }
    Ok(())
}

/// Where a stream's response goes.
pub(crate) struct Sender<'a> {
    pub(crate) wire: &'a Wire<'a>,
    pub(crate) stream: &'a Stream,
}

impl Sender<'_> {
    /// Sends octets in as many frames as windows and turns make of them; the last with `flags`.
    pub(crate) async fn data(&self, octets: &[u8], flags: Flags) {
        let mut rest = octets;
        let _waiting = self.stream.waiting();
        poll_fn(|cx| {
            if rest.is_empty() && flags == Flags::NONE {
                return Poll::Ready(());
            }
            let n = match self.may_send(rest.len()) {
                Ok(n) => n,
                Err(wait) => return self.stream.wait(wait, cx),
            };
            let (piece, more) = rest.split_at(n);
            rest = more;
            let last = rest.is_empty();
            self.wire.put_data(self.stream.id, piece, if last { flags } else { Flags::NONE });
            self.stream.sent(n);
            if last { Poll::Ready(()) } else { self.stream.wait(Wait::Window, cx) }
        })
        .await;
    }

    /// How many of `wanted` octets may be sent now, or what is to be waited for; an end without content needs no window.
    fn may_send(&self, wanted: usize) -> Result<usize, Wait> {
        let window = self.stream.may_send(self.wire);
        if wanted > 0 && window == 0 {
            return Err(Wait::Window);
        }
        match self.wire.room() {
            0 => Err(if wanted > 0 { Wait::Window } else { Wait::Room }),
            room => Ok(self.wire.reserved(wanted.min(room).min(window))),
        }
    }

    /// Waits until all that was put before is with the stream.
    pub(crate) async fn flush(&self) {
        let mark = self.wire.io.mark();
        let _waiting = self.stream.waiting();
        poll_fn(|cx| match self.wire.io.is_written(mark) {
            true => Poll::Ready(()),
            false => self.stream.wait(Wait::Written(mark), cx),
        })
        .await;
    }

    pub(crate) async fn until_there_is_room(&self) {
        let _waiting = self.stream.waiting();
        poll_fn(|cx| match self.wire.room() {
            0 => self.stream.wait(Wait::Room, cx),
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Ends content that was made while it was sent.
    async fn finish(&self, trailers: &[u8]) {
        if trailers.is_empty() {
            return self.data(&[], Flags::END_STREAM).await;
        }
        self.until_there_is_room().await;
        let mut block = Vec::new();
        put_lines(self.wire, &mut block, trailers);
        self.wire.put(|out| frame::put_block(out, self.stream.id, Flags::END_STREAM, &block));
    }

    fn put_head(
        &self,
        response: &Response,
        delimiter: Option<Delimiter>,
        part: Option<&Range<usize>>,
        flags: Flags,
    ) {
        let mut lines = self.wire.server.spare.take_output();
        lines.clear();
        send::put_lines(&mut lines, self.wire.server, response, delimiter, part);
        let mut block = Vec::with_capacity(lines.len());
        self.wire.encoder.borrow_mut().begin(&mut block);
        self.wire.encoder.borrow_mut().status(&mut block, response.status.digits());
        put_lines(self.wire, &mut block, &lines);
        lines.clear();
        self.wire.server.spare.keep_output(lines);
        self.wire.put(|out| frame::put_block(out, self.stream.id, flags, &block));
    }
}

/// Encodes header lines, but those that speak of a connection of HTTP/1.1 (section 8.2.2).
pub(super) fn put_lines(wire: &Wire<'_>, block: &mut Vec<u8>, lines: &[u8]) {
    let mut encoder = wire.encoder.borrow_mut();
    for line in lines.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let (name, value) = (line.get(..colon), line.get(colon + 1..));
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default().trim_ascii());
        if !super::request::is_of_connection(name) {
            encoder.field(block, name, value);
        }
    }
}
