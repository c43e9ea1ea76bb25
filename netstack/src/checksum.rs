//! The Internet checksum (RFC 1071).

use crate::version::in_use;
use core::net::IpAddr;

/// A sum of 16-bit words, not yet folded.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds octets that start at an even place of the message.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        let (words, rest) = data.as_chunks::<4>();
        for word in words {
            self.0 += u64::from(u32::from_be_bytes(*word));
        }
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        self.0 += u64::from(u32::from_be_bytes(last));
        self
    }

    /// Adds the pseudo-header of what a packet between two addresses carries (RFC 9293, 3.1; RFC 8200, 8.1). Its sum is the
    /// same for both versions: the length and the protocol stand in words of their own, whatever their width.
    pub(crate) fn pseudo(mut self, src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Self {
        for address in [src, dst] {
            match address {
                IpAddr::V4(address) => self.0 += u64::from(address.to_bits()),
                IpAddr::V6(address) if in_use() => {
                    for part in address.octets().as_chunks().0 {
                        self.0 += u64::from(u32::from_be_bytes(*part));
                    }
                }
                IpAddr::V6(_) => {}
            }
        }
        self.words(protocol, len)
    }

    /// Adds what stands in the pseudo-header beside the addresses.
    pub(crate) fn words(mut self, protocol: u8, len: usize) -> Self {
        self.0 += u64::from(protocol) + len as u64;
        self
    }

    /// The sum in 16 bits: what stands in the field of a frame whose checksum the device completes.
    pub(crate) fn folded(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// The value of a checksum field.
    pub(crate) fn finish(self) -> u16 {
        !self.folded()
    }

    /// Whether a message summed with its checksum is right.
    pub(crate) fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn the_example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().data(&data).folded(), 0xddf2);
        assert_eq!(Sum::default().data(&[0x12, 0x34, 0x56]).folded(), 0x1234 + 0x5600);
    }

    #[test]
    fn a_message_with_its_checksum_is_valid() {
        let mut data =
            [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        let sum = Sum::default().data(&data).finish();
        assert_eq!(sum, 0xb861);
        data[10..12].copy_from_slice(&sum.to_be_bytes());
        assert!(Sum::default().data(&data).is_valid());
    }
}
