//! The protocol between `cargo fata` and its agent in dom0, and the [`agent`] itself.
//!
//! One TCP connection carries one request. Both directions are a sequence of [frames](write_frame): a tag byte, a
//! big-endian length, that many bytes. The tool opens with a request frame ([`tag::RUN`], [`tag::PUT`], ...), on a
//! dom0 that others use too with [`tag::TOKEN`] before it; the agent answers with output and data frames and closes with
//! [`tag::EXIT`], [`tag::END`] or [`tag::ERROR`]. When the tool hangs up early, whatever the request started is killed, so
//! that nothing outlives a time limit.

pub mod agent;

use std::io::{self, Read, Write};

/// The TCP port the agent listens on in dom0.
pub const AGENT_PORT: u16 = 9999;

/// No frame is longer than this: a longer one is a broken peer.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// The environment variable that gives the agent the secret it demands at the start of each connection.
pub const TOKEN_VARIABLE: &str = "FATA_AGENT_TOKEN";

/// What a frame says.
pub mod tag {
    /// Before the request: the secret of [`TOKEN_VARIABLE`](super::TOKEN_VARIABLE), where the agent was given one.
    pub const TOKEN: u8 = b't';
    /// Request: is the agent there? Answer: `END`.
    pub const PING: u8 = b'p';
    /// Request: run the payload as a bash script. Then `DATA`* `END` is its standard input. Answer: `STDOUT`, `STDERR`, `EXIT`.
    pub const RUN: u8 = b'r';
    /// Request: write the file named by the payload. Then `DATA`* `END`. Answer: `END`.
    pub const PUT: u8 = b'w';
    /// Request: read the file named by the payload. Answer: `DATA`* `END`.
    pub const GET: u8 = b'g';
    /// Request: read the file named by the payload as it grows, for ever. Answer: `DATA`*.
    pub const FOLLOW: u8 = b'f';
    /// Request: connect to the console of the domain whose number is the payload. `DATA` both ways.
    pub const CONSOLE: u8 = b'c';
    /// Request: what the hypervisor knows of each domain. Answer: `DATA` (text, see `DomainInfo`), `END`.
    pub const DOMAINS: u8 = b'd';

    /// Bytes of a file, of a console, of standard input.
    pub const DATA: u8 = b'D';
    /// The end of a sequence of `DATA`; success.
    pub const END: u8 = b'.';
    /// What a script wrote to its standard output.
    pub const STDOUT: u8 = b'1';
    /// What a script wrote to its standard error.
    pub const STDERR: u8 = b'2';
    /// A script ended: its exit status as big-endian `i32`, 128 + n for signal n.
    pub const EXIT: u8 = b'x';
    /// The request failed; the payload says why.
    pub const ERROR: u8 = b'!';
}

/// Writes one frame with a single `write`, so that threads sharing a lock never interleave.
///
/// # Errors
/// Those of `writer`, and `InvalidInput` for a payload over [`MAX_FRAME_BYTES`].
pub fn write_frame(writer: &mut impl Write, tag: u8, payload: &[u8]) -> io::Result<()> {
    if payload.len() > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too long"));
    }
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.push(tag);
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    frame.extend_from_slice(payload);
    writer.write_all(&frame)
}

/// Reads one frame; `None` when the peer closed the connection between two frames.
///
/// # Errors
/// Those of `reader`, and `InvalidData` for a length over [`MAX_FRAME_BYTES`].
pub fn read_frame(reader: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut tag = [0];
    if reader.read(&mut tag)? == 0 {
        return Ok(None);
    }
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload)?;
    Ok(Some((tag[0], payload)))
}

/// What the hypervisor accounts for one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainInfo {
    /// The domain's number.
    pub domid: u32,
    /// `XEN_DOMINF_*` of `xen/domctl.h`.
    pub flags: u32,
    /// Time its vCPUs have run, nanoseconds.
    pub cpu_ns: u64,
    /// Pages it has now.
    pub pages: u64,
    /// Pages it may have.
    pub max_pages: u64,
}

impl DomainInfo {
    /// The code the guest gave to `SCHEDOP_shutdown` (`SHUTDOWN_*` of `xen/sched.h`), once it has.
    pub fn shutdown_code(&self) -> Option<u8> {
        const SHUTDOWN: u32 = 1 << 2;
        (self.flags & SHUTDOWN != 0).then_some((self.flags >> 16) as u8)
    }

    /// One line of the answer to [`tag::DOMAINS`].
    pub fn to_line(&self) -> String {
        let Self { domid, flags, cpu_ns, pages, max_pages } = self;
        format!("{domid} {flags} {cpu_ns} {pages} {max_pages}\n")
    }

    /// The inverse of [`to_line`](Self::to_line).
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(Self {
            domid: next()?.try_into().ok()?,
            flags: next()?.try_into().ok()?,
            cpu_ns: next()?,
            pages: next()?,
            max_pages: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let mut wire = Vec::new();
        write_frame(&mut wire, tag::RUN, b"true").unwrap();
        write_frame(&mut wire, tag::END, b"").unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some((tag::RUN, b"true".to_vec())));
        assert_eq!(read_frame(&mut reader).unwrap(), Some((tag::END, Vec::new())));
        assert_eq!(read_frame(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_length_out_of_bounds_is_refused() {
        let wire = [tag::DATA, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read_frame(&mut wire.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn domain_info_survives_the_wire() {
        let info =
            DomainInfo { domid: 3, flags: (3 << 16) | 4, cpu_ns: 1 << 40, pages: 4096, max_pages: 4352 };
        assert_eq!(DomainInfo::from_line(&info.to_line()), Some(info));
        assert_eq!(info.shutdown_code(), Some(3));
        assert_eq!(DomainInfo::from_line("1 2"), None);
    }
}
