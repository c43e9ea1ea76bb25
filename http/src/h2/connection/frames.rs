//! Reads frames, in whatever pieces they come.

use super::{Connection, Fields, Next};
use crate::h2::MAX_BLOCK;
use crate::h2::calm;
use crate::h2::ended::How;
use crate::h2::error::{Code, Error};
use crate::h2::frame::{self, Flags, Header, Kind, MAX_31};
use crate::h2::hpack::{TABLE_SIZE, Unreadable};
use crate::h2::request::{Block, Builder, EndStream, Verdict};
use crate::h2::stream::Stream;
use crate::memory;
use alloc::vec::Vec;
use fata_libos::time::Instant;

/// A block that is decoded however little memory there is, octets.
const SMALL_BLOCK: usize = 512;

impl<'c> Connection<'c> {
    pub(super) fn read_frames(&mut self, now: Instant) {
        let wire = self.wire;
        wire.io.with_input(|input| {
            while self.end.is_none() && wire.may_read() {
                match self.step(input.bytes(), now) {
                    Ok(Some(n)) => input.consume(n),
                    Ok(None) => break,
                    Err(code) => self.fail(code),
                }
            }
        });
    }

    /// Takes something from the start of `input`: how many octets, `None` if more is needed. An error ends the connection.
    fn step(&mut self, input: &[u8], now: Instant) -> Result<Option<usize>, Code> {
        match self.next {
            Next::Preface(seen) => self.preface(input, seen),
            Next::Header => self.header(input, now),
            Next::Content { header, left, padding } => {
                let n = left.min(input.len());
                if n == 0 {
                    return Ok(None);
                }
                self.content(&header, input.get(..n).unwrap_or_default())?;
                self.expect(header, left - n, padding)?;
                Ok(Some(n))
            }
            Next::Settings { left } => self.setting(input, left),
            Next::Skip(left) => {
                let n = left.min(input.len());
                self.next = if n == left { Next::Header } else { Next::Skip(left - n) };
                Ok((n > 0 || left == 0).then_some(n))
            }
        }
    }

    fn preface(&mut self, input: &[u8], seen: usize) -> Result<Option<usize>, Code> {
        let rest = frame::PREFACE.get(seen..).unwrap_or_default();
        let n = rest.len().min(input.len());
        if rest.get(..n) != input.get(..n) {
            return Err(Code::Protocol);
        }
        self.next = if n == rest.len() { Next::Header } else { Next::Preface(seen + n) };
        Ok((n > 0).then_some(n))
    }

    /// Reads a frame's header, and with it what is short.
    fn header(&mut self, input: &[u8], now: Instant) -> Result<Option<usize>, Code> {
        let Some(header) = Header::read(input) else { return Ok(None) };
        self.check_order(&header)?;
        match header.check() {
            Ok(()) => {}
            Err(Error::Connection(code)) => return Err(code),
            Err(Error::Stream(code)) => {
                self.reset(header.stream, code);
                self.next = Next::Skip(header.len);
                return Ok(Some(frame::HEADER));
            }
        }
        let payload = input.get(frame::HEADER..).unwrap_or_default();
        let needed = match header.kind {
            Kind::Data | Kind::Headers => header.prelude(),
            Kind::Priority | Kind::ResetStream | Kind::Ping | Kind::WindowUpdate => header.len,
            Kind::GoAway => 8,
            _ => 0,
        };
        let Some(payload) = payload.get(..needed) else { return Ok(None) };
        match header.kind {
            Kind::Data => self.begin_data(header, payload)?,
            Kind::Headers => self.begin_headers(header, payload, now)?,
            Kind::Continuation => {
                self.spend(calm::FRAME);
                self.expect(header, header.len, 0)?;
            }
            Kind::Settings => {
                self.spend(calm::FRAME);
                match header.flags.has(Flags::ACK) {
                    true => self.acknowledged_by = None,
                    false => self.next = Next::Settings { left: header.len },
                }
            }
            _ => {
                self.short(&header, payload)?;
                self.next = Next::Skip(header.len - needed);
            }
        }
        Ok(Some(frame::HEADER + needed))
    }

    /// SETTINGS come first, and nothing between the frames of a block.
    fn check_order(&mut self, header: &Header) -> Result<(), Code> {
        let is_first = header.kind == Kind::Settings && !header.flags.has(Flags::ACK);
        if !self.has_settings && !is_first {
            return Err(Code::Protocol);
        }
        let continues = (header.kind == Kind::Continuation).then_some(header.stream);
        if continues != self.fields.as_ref().map(|f| f.stream) {
            return Err(Code::Protocol);
        }
        Ok(())
    }

    /// A frame that is short, or whose payload does not matter.
    fn short(&mut self, header: &Header, payload: &[u8]) -> Result<(), Code> {
        match header.kind {
            Kind::Ping if header.flags.has(Flags::ACK) => self.hear_farewell(payload),
            Kind::Ping => {
                let data = payload.first_chunk().copied().unwrap_or_default();
                self.wire.put(|out| frame::put_ping(out, Flags::ACK, &data));
            }
            Kind::WindowUpdate => self.open_window(header.stream, frame::number(payload))?,
            Kind::ResetStream => self.reset_by_client(header.stream)?,
            Kind::GoAway => self.client_leaves = true,
            // Priorities are overlooked, but for what no client of RFC 7540 may say either (its section 5.3.1).
            Kind::Priority if frame::number(payload) == header.stream => {
                self.reset(header.stream, Code::Protocol)
            }
            // Other priorities, and types that we do not know.
            _ => {}
        }
        self.spend(calm::FRAME);
        Ok(())
    }

    fn setting(&mut self, input: &[u8], left: usize) -> Result<Option<usize>, Code> {
        if left == 0 {
            self.has_settings = true;
            self.wire.put(|out| frame::put_header(out, Kind::Settings, Flags::ACK, 0, 0));
            self.next = Next::Header;
            return Ok(Some(0));
        }
        let Some(&[a, b, ref value @ ..]) = input.first_chunk::<6>() else { return Ok(None) };
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([a, b]) {
            2 if value > 1 => return Err(Code::Protocol),
            4 => self.set_initial_window(value)?,
            5 if !(16_384..1 << 24).contains(&value) => return Err(Code::Protocol),
            _ => {}
        }
        self.next = Next::Settings { left: left - 6 };
        Ok(Some(6))
    }

    /// Changes the windows of all streams too (RFC 9113 section 6.9.2).
    fn set_initial_window(&mut self, size: u32) -> Result<(), Code> {
        if size > MAX_31 {
            return Err(Code::FlowControl);
        }
        let change = i64::from(size) - self.initial_window;
        self.initial_window = size.into();
        for running in &self.streams {
            let window = running.stream.window.get() + change;
            if window > MAX_31.into() {
                return Err(Code::FlowControl);
            }
            running.stream.window.set(window);
        }
        Ok(())
    }

    fn open_window(&mut self, id: u32, octets: u32) -> Result<(), Code> {
        let opened = |window: i64| Some(window + i64::from(octets)).filter(|&w| w <= MAX_31.into());
        if id == 0 {
            if octets == 0 {
                return Err(Code::Protocol);
            }
            self.wire.window.set(opened(self.wire.window.get()).ok_or(Code::FlowControl)?);
            return Ok(());
        }
        self.check_opened(id)?;
        let Some(stream) = self.stream(id) else { return Ok(()) };
        if octets == 0 {
            self.reset(id, Code::Protocol);
        } else if let Some(window) = opened(stream.window.get()) {
            stream.window.set(window);
        } else {
            self.reset(id, Code::FlowControl);
        }
        Ok(())
    }

    fn reset_by_client(&mut self, id: u32) -> Result<(), Code> {
        self.check_opened(id)?;
        if let Some(at) = self.position(id) {
            self.wire.io.stats.http2.resets.add(1);
            self.spend(calm::RESET);
            self.remove(at, How::Closed);
        }
        Ok(())
    }

    fn begin_data(&mut self, header: Header, prelude: &[u8]) -> Result<(), Code> {
        self.check_opened(header.stream)?;
        let (content, padding) = header.split(prelude).map_err(|_| Code::Protocol)?;
        let len = header.len as u32;
        if !self.wire.inbound.take(len) {
            return Err(Code::FlowControl);
        }
        if content == 0 && !header.flags.has(Flags::END_STREAM) {
            self.spend(calm::FRAME);
        }
        self.wire.used(len - content as u32);
        match self.stream(header.stream) {
            Some(stream) if stream.remote_ended.get() => self.reset(header.stream, Code::StreamClosed),
            Some(stream) if !stream.take(len) => self.reset(header.stream, Code::FlowControl),
            Some(stream) => stream.used(self.wire, len - content as u32),
            None if self.ended.find(header.stream) == Some(How::Reset) => self.spend(calm::FRAME),
            None => self.reset(header.stream, Code::StreamClosed),
        }
        self.expect(header, content, padding)
    }

    fn begin_headers(&mut self, header: Header, prelude: &[u8], now: Instant) -> Result<(), Code> {
        if header.stream.is_multiple_of(2) {
            return Err(Code::Protocol);
        }
        let (content, padding) = header.split(prelude).map_err(|_| Code::Protocol)?;
        let end = if header.flags.has(Flags::END_STREAM) { EndStream::Yes } else { EndStream::No };
        let priority = prelude.get(usize::from(header.flags.has(Flags::PADDED))..).unwrap_or_default();
        let depends = header.flags.has(Flags::PRIORITY) && frame::number(priority) == header.stream;
        let stream = header.stream;
        self.fields =
            Some(Fields { stream, end, octets: Vec::new(), since: now, depends_on_itself: depends });
        self.expect(header, content, padding)
    }

    /// A piece of a frame's content.
    fn content(&mut self, header: &Header, octets: &[u8]) -> Result<(), Code> {
        if header.kind != Kind::Data {
            return self.add_to_block(octets);
        }
        let senders = self.streams.iter().filter(|running| !running.stream.remote_ended.get()).count();
        match self.stream(header.stream) {
            Some(stream) if stream.receive(self.wire, octets, senders) => {}
            Some(_) => {
                self.wire.used(octets.len() as u32);
                self.reset(header.stream, Code::Protocol);
            }
            None => self.wire.used(octets.len() as u32),
        }
        Ok(())
    }

    /// So much of a frame's content is still to come: where nothing is, it has ended.
    fn expect(&mut self, header: Header, left: usize, padding: usize) -> Result<(), Code> {
        self.next = Next::Content { header, left, padding };
        if left > 0 {
            return Ok(());
        }
        self.next = Next::Skip(padding);
        if header.kind != Kind::Data {
            return if header.flags.has(Flags::END_HEADERS) { self.end_block() } else { Ok(()) };
        }
        if header.flags.has(Flags::END_STREAM)
            && let Some(stream) = self.stream(header.stream)
            && !stream.end_remote()
        {
            self.reset(header.stream, Code::Protocol);
        }
        Ok(())
    }

    fn add_to_block(&mut self, octets: &[u8]) -> Result<(), Code> {
        let max = MAX_BLOCK.max(2 * self.wire.server.limits.head_size());
        let Some(fields) = &mut self.fields else { return Err(Code::Internal) };
        let is_too_long = fields.octets.len() + octets.len() > max;
        if is_too_long || !memory::reserve(&mut fields.octets, octets.len()) {
            return Err(Code::EnhanceYourCalm);
        }
        fields.octets.extend_from_slice(octets);
        Ok(())
    }

    /// A block of header fields is whole: a request, or what follows its content.
    fn end_block(&mut self) -> Result<(), Code> {
        let Some(Fields { stream: id, end, octets, depends_on_itself, .. }) = self.fields.take() else {
            return Err(Code::Internal);
        };
        let known = self.stream(id);
        let is_new = known.is_none() && id > self.last;
        let is_open = is_new && self.may_open();
        let kind = if is_open { Block::Head } else { Block::Trailers };
        let mut builder = Builder::new(&self.wire.server.limits, kind);
        builder.takes = self.wire.server.takes.get();
        self.decode(&octets, &mut builder)?;
        self.spend(u32::try_from(builder.excess()).unwrap_or(u32::MAX) / calm::FIELDS);
        if let Some(stream) = known {
            self.trailers(&stream, end, builder.finish(end));
            return Ok(());
        }
        if !is_new {
            return match self.ended.find(id) {
                Some(How::Reset) => {
                    self.spend(calm::FRAME);
                    Ok(())
                }
                Some(How::Closed) => Err(Code::StreamClosed),
                None => Err(Code::Protocol),
            };
        }
        self.last = id;
        self.wire.io.stats.http2.streams.add(1);
        match is_open {
            true if depends_on_itself => self.open(id, end, Verdict::Malformed),
            true => self.open(id, end, builder.finish(end)),
            false => self.refuse(id),
        }
        Ok(())
    }

    fn decode(&mut self, block: &[u8], builder: &mut Builder<'_>) -> Result<(), Code> {
        // Decoded, Huffman's code is longer by three fifths.
        if block.len() > SMALL_BLOCK && !memory::is_free(2 * block.len() + TABLE_SIZE) {
            self.wire.io.stats.refused.add(1);
            return Err(Code::EnhanceYourCalm);
        }
        self.decoder.decode(block, &mut |name, value| builder.field(name, value)).map_err(|error| match error
        {
            Unreadable::Malformed => Code::Compression,
            Unreadable::NoMemory => Code::EnhanceYourCalm,
        })
    }

    fn trailers(&mut self, stream: &Stream, end: EndStream, verdict: Verdict) {
        if stream.remote_ended.get() {
            return self.reset(stream.id, Code::StreamClosed);
        }
        let is_wrong = end == EndStream::No || matches!(verdict, Verdict::Malformed);
        if is_wrong || !stream.end_remote() {
            self.reset(stream.id, Code::Protocol);
        }
    }
}
