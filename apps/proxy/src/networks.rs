//! Lists of addresses and networks that are believed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use fata::param::{Ipv4Prefix, Ipv6Prefix};

/// Addresses and networks.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    four: Vec<Ipv4Prefix>,
    six: Vec<Ipv6Prefix>,
}

impl Networks {
    /// Reads addresses and networks with commas between.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for word in text.split(',') {
            let (address, whole) = match word.contains(':') {
                true => (word, "/128"),
                false => (word, "/32"),
            };
            let text = if address.contains('/') { address.into() } else { format!("{address}{whole}") };
            match (text.parse(), text.parse()) {
                (Ok(four), _) => all.four.push(four),
                (_, Ok(six)) => all.six.push(six),
                _ => return Err(format!("\"{word}\" is no address and no network, such as 10.0.0.0/8")),
            }
        }
        Ok(all)
    }

    /// Whether an address is among them.
    pub fn has(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(four) => self.four.iter().any(|network| network.contains(four)),
            IpAddr::V6(six) => self.six.iter().any(|network| network.contains(six)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_among_them() {
        let all = Networks::parse("10.0.0.0/8,192.0.2.1,2001:db8::/32,::1").unwrap();
        for (address, expected) in [
            ("10.9.9.9", true),
            ("::ffff:10.1.1.1", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::9", true),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(all.has(address.parse().unwrap()), expected, "{address}");
        }
        for bad in ["", "10.0.0.0/33", "a", "10.0.0.1,"] {
            assert!(Networks::parse(bad).is_err(), "{bad}");
        }
    }
}
