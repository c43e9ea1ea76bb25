//! Gathering the parts of one received frame, every field checked.

use super::fault::NetFault;
use crate::abi::netif::{
    EXTRA_FLAG_MORE, ExtraInfo, GsoInfo, RxResponse, extra_type, gso_type, rx_flags, status,
};
use crate::types::PAGE_SIZE;
use fata_libos::net::{Checksum, ETHERNET_HEADER, Received};

/// The most parts of a frame. 64 KiB in whole pages are 16, Linux sends up to 19.
pub(super) const MAX_PARTS: usize = 24;
/// The most extra infos of a frame: one a type.
pub(super) const MAX_EXTRAS: usize = extra_type::MAX as usize - 1;
/// The longest frame: 64 KiB - 1 of IP, an Ethernet header and a tag.
pub(super) const MAX_FRAME: usize = 0xffff + ETHERNET_HEADER + 4;

const KNOWN_FLAGS: u16 =
    rx_flags::DATA_VALIDATED | rx_flags::CSUM_BLANK | rx_flags::MORE_DATA | rx_flags::EXTRA_INFO;

/// Octets of a frame in a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) page: u16,
    pub(super) offset: u16,
    pub(super) len: u16,
}

/// What the next slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    First,
    Part,
    Extra { then_part: bool },
    Nothing,
}

/// The frame so far.
#[derive(Debug)]
pub(super) struct Chain {
    parts: [Part; MAX_PARTS],
    count: usize,
    len: usize,
    extras: usize,
    checksum: Checksum,
    expect: Expect,
    failed: bool,
}

impl Chain {
    pub(super) const fn new() -> Self {
        Self {
            parts: [Part { page: 0, offset: 0, len: 0 }; MAX_PARTS],
            count: 0,
            len: 0,
            extras: 0,
            checksum: Checksum::Complete,
            expect: Expect::First,
            failed: false,
        }
    }

    /// Begins the next frame.
    pub(super) fn clear(&mut self) {
        (self.count, self.len, self.extras) = (0, 0, 0);
        (self.expect, self.failed) = (Expect::First, false);
    }

    /// Whether the next slot holds extra info.
    pub(super) fn expects_extra(&self) -> bool {
        matches!(self.expect, Expect::Extra { .. })
    }

    /// Whether the last slot of the frame was seen.
    pub(super) fn is_complete(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// The slots so far.
    pub(super) fn slots(&self) -> u32 {
        (self.count + self.extras) as u32
    }

    /// The parts so far.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    /// The frame, if it is whole and fits `room` octets.
    pub(super) fn frame(&self, room: usize) -> Option<Received> {
        let good = !self.failed && self.len >= ETHERNET_HEADER && self.len <= room;
        good.then(|| Received::new(self.len, self.checksum))
    }

    /// Takes a response.
    pub(super) fn part(&mut self, page: u16, response: RxResponse) -> Result<(), NetFault> {
        let RxResponse { offset, flags, status, .. } = response;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(NetFault::RxFlags { seen: flags, known: KNOWN_FLAGS });
        }
        let len = self.length(offset, status)?;
        self.append(Part { page, offset, len })?;
        let more = flags & rx_flags::MORE_DATA != 0;
        let first = self.expect == Expect::First;
        if first {
            self.checksum = checksum(flags);
        }
        // Extra info follows the first part only.
        self.expect = match flags & rx_flags::EXTRA_INFO != 0 {
            true if first => Expect::Extra { then_part: more },
            true => {
                return Err(NetFault::RxFlags { seen: flags, known: KNOWN_FLAGS & !rx_flags::EXTRA_INFO });
            }
            false if more => Expect::Part,
            false => Expect::Nothing,
        };
        Ok(())
    }

    /// Takes extra info.
    pub(super) fn extra(&mut self, extra: ExtraInfo) -> Result<(), NetFault> {
        self.extras += 1;
        if self.extras > MAX_EXTRAS {
            return Err(NetFault::TooManyParts { seen: self.extras, most: MAX_EXTRAS });
        }
        match extra.kind {
            extra_type::GSO => check_segmentation(extra.gso())?,
            extra_type::HASH => {}
            seen => return Err(NetFault::ExtraType { seen }),
        }
        self.expect = match (extra.flags, self.expect) {
            (EXTRA_FLAG_MORE, expect) => expect,
            (0, Expect::Extra { then_part: true }) => Expect::Part,
            (0, _) => Expect::Nothing,
            (seen, _) => return Err(NetFault::ExtraFlags { seen }),
        };
        Ok(())
    }

    /// The length that a response's status says, which for a failed part is 0.
    fn length(&mut self, offset: u16, seen: i16) -> Result<u16, NetFault> {
        match u16::try_from(seen) {
            Ok(len) if usize::from(offset) + usize::from(len) <= PAGE_SIZE => Ok(len),
            Ok(len) => Err(NetFault::RxBounds { offset, len }),
            Err(_) if seen == status::ERROR || seen == status::DROPPED => {
                self.failed = true;
                Ok(0)
            }
            Err(_) => Err(NetFault::RxStatus { seen }),
        }
    }

    fn append(&mut self, part: Part) -> Result<(), NetFault> {
        let seen = self.count + 1;
        *self.parts.get_mut(self.count).ok_or(NetFault::TooManyParts { seen, most: MAX_PARTS })? = part;
        self.count = seen;
        self.len += usize::from(part.len);
        if self.len > MAX_FRAME {
            return Err(NetFault::TooLong { seen: self.len, most: MAX_FRAME });
        }
        Ok(())
    }
}

fn checksum(flags: u16) -> Checksum {
    if flags & rx_flags::CSUM_BLANK != 0 {
        Checksum::Partial
    } else if flags & rx_flags::DATA_VALIDATED != 0 {
        Checksum::Verified
    } else {
        Checksum::Complete
    }
}

fn check_segmentation(gso: GsoInfo) -> Result<(), NetFault> {
    let GsoInfo { size, kind, features } = gso;
    let known = matches!(kind, gso_type::TCPV4 | gso_type::TCPV6) && size > 0 && features == 0;
    if known { Ok(()) } else { Err(NetFault::Gso { kind, size, features }) }
}
