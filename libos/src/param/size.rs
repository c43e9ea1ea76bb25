//! Sizes: `"16 MiB"`, `256KiB`, `65536`.

use core::fmt;
use core::str::FromStr;

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// The number.
    pub octets: u64,
}

impl Size {
    /// So many MiB.
    pub const fn mib(number: u64) -> Self {
        Self { octets: number << 20 }
    }

    /// Whole MiB, if that is what it is.
    pub fn as_mib(self) -> Option<u64> {
        self.octets.is_multiple_of(1 << 20).then_some(self.octets >> 20)
    }
}

/// A text that is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size, such as 16 MiB or 512 KiB")]
pub struct BadSize;

impl FromStr for Size {
    type Err = BadSize;
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(BadSize)?;
        let number = super::kinds::number(number).ok_or(BadSize)?;
        let shift = match unit.trim_ascii_start() {
            "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(BadSize),
        };
        let octets = number << shift;
        if octets >> shift == number { Ok(Self { octets }) } else { Err(BadSize) }
    }
}

/// In the largest unit of which it is a whole number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.octets > 0 && self.octets.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{} {name}", self.octets / unit),
            None => write!(f, "{}", self.octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_back_as_they_were_written() {
        for text in ["16 MiB", "512 KiB", "2 GiB", "65537", "0"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("1024KiB".parse(), Ok(Size::mib(1)));
        for text in ["", "MiB", "16 MB", "16 mib", "-1 MiB", "1.5 MiB", "17179869184 GiB"] {
            assert_eq!(text.parse::<Size>(), Err(BadSize), "{text}");
        }
    }
}
