//! What gzip has packed (RFC 1952), unpacked into memory.

use super::Error;
use super::source::{Octets, PIECE, Pieces, Source};
use alloc::boxed::Box;
use core::hint::black_box;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use fata_libos::task::yield_now;
use miniz_oxide::inflate::stream::{InflateState, ZeroReset, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// With the smallest table that takes an octet at a time: unpacking takes longer than this in any case.
static SUM: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bits of the header's flags: a checksum of the header, further fields, the file's name, a comment.
const HEADER_SUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;
/// Octets of a name or a comment.
const LONGEST_TEXT: u64 = 4096;

/// Whether it begins as what gzip has packed.
pub fn is_gzip(octets: &[u8]) -> bool {
    octets.starts_with(&MAGIC)
}

/// Unpacks all members that follow each other; what is behind the last one is a disk's padding.
pub async fn unpack(source: &Source, most: usize) -> Result<Source, Error> {
    let mut input = Input { source, at: 0, window: None, used: 0 };
    let mut unpacked = Pieces::new(source.is_secret());
    loop {
        header(&mut input).await?;
        let begin = unpacked.len();
        let sum = content(&mut input, &mut unpacked, most).await?;
        if input.number().await? != sum {
            return Err(input.wrong("checksum"));
        }
        // Of a longer member the low 32 bits.
        if input.number().await? != (unpacked.len() - begin) as u32 {
            return Err(input.wrong("length"));
        }
        if !input.has_another_member().await? {
            return Ok(Source::Memory(unpacked));
        }
    }
}

async fn header(input: &mut Input<'_>) -> Result<(), Error> {
    for expected in MAGIC {
        if input.octet().await? != expected {
            return Err(input.wrong("begin"));
        }
    }
    let flags = input.octet().await?;
    if flags & RESERVED != 0 {
        return Err(input.wrong("flag"));
    }
    // The time, how hard it was packed, on what system.
    input.skip(6).await?;
    if flags & EXTRA != 0 {
        let len = u16::from_le_bytes([input.octet().await?, input.octet().await?]);
        input.skip(len.into()).await?;
    }
    for text in [NAME, COMMENT] {
        let begin = input.place();
        while flags & text != 0 && input.octet().await? != 0 {
            if input.place() - begin > LONGEST_TEXT {
                return Err(input.wrong("name"));
            }
        }
    }
    if flags & HEADER_SUM != 0 {
        input.skip(2).await?;
    }
    Ok(())
}

/// Unpacks one member, and gives the checksum of what it is.
async fn content(input: &mut Input<'_>, unpacked: &mut Pieces, most: usize) -> Result<u32, Error> {
    let mut state =
        State { inflate: InflateState::new_boxed(DataFormat::Raw), is_secret: input.source.is_secret() };
    let mut sum = SUM.digest();
    loop {
        if unpacked.len() > most {
            return Err(Error::Unpacked { most });
        }
        let packed = input.rest().await?;
        let room = unpacked.room()?;
        let result = inflate(&mut state.inflate, packed, room, MZFlush::None);
        sum.update(&room[..result.bytes_written]);
        unpacked.grow(result.bytes_written);
        input.used += result.bytes_consumed;
        match result.status {
            Ok(MZStatus::StreamEnd) if unpacked.len() <= most => return Ok(sum.finalize()),
            Ok(_) if result.bytes_consumed + result.bytes_written > 0 => {}
            _ => return Err(input.wrong("content")),
        }
        // Other tasks go on meanwhile.
        yield_now().await;
    }
}

/// What unpacking goes by, the last 32 KiB of what was unpacked among it.
struct State {
    inflate: Box<InflateState>,
    is_secret: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        if self.is_secret {
            self.inflate.reset_as(ZeroReset);
            // Else nobody would see the zeros, and they might not be written.
            black_box(&mut *self.inflate);
        }
    }
}

/// What is packed, from begin to end.
struct Input<'a> {
    source: &'a Source,
    /// Where the window ends.
    at: u64,
    window: Option<Octets>,
    /// Octets of the window that were used.
    used: usize,
}

impl Input<'_> {
    /// What is at hand, one octet at least.
    async fn rest(&mut self) -> Result<&[u8], Error> {
        if self.used == self.len() {
            let octets = self.source.len();
            let left = octets.saturating_sub(self.at);
            if left == 0 {
                return Err(self.wrong("end"));
            }
            self.window = Some(self.source.piece(self.at, left.min(PIECE as u64) as usize).await?);
            self.used = 0;
            self.at += self.len() as u64;
        }
        Ok(&self.window.as_deref().unwrap_or_default()[self.used..])
    }

    /// Octets of the window.
    fn len(&self) -> usize {
        self.window.as_deref().map_or(0, <[u8]>::len)
    }

    async fn octet(&mut self) -> Result<u8, Error> {
        let octet = self.rest().await?[0];
        self.used += 1;
        Ok(octet)
    }

    async fn skip(&mut self, octets: usize) -> Result<(), Error> {
        for _ in 0..octets {
            self.octet().await?;
        }
        Ok(())
    }

    async fn number(&mut self) -> Result<u32, Error> {
        let mut octets = [0; 4];
        for octet in &mut octets {
            *octet = self.octet().await?;
        }
        Ok(u32::from_le_bytes(octets))
    }

    async fn has_another_member(&self) -> Result<bool, Error> {
        let at = self.place();
        if self.source.len().saturating_sub(at) < MAGIC.len() as u64 {
            return Ok(false);
        }
        let mut next = [0; MAGIC.len()];
        self.source.read(at, &mut next).await?;
        Ok(is_gzip(&next))
    }

    fn place(&self) -> u64 {
        self.at - (self.len() - self.used) as u64
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::Gzip { at: self.place(), what }
    }
}
