//! Octets of any content, short ones without memory of their own.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;

/// The longest that lies where the handle is, octets.
const SHORT: usize = 22;

/// Octets that do not change: a key, a field, a member, an element.
#[derive(Clone)]
pub enum Text {
    /// Up to 22 octets.
    Short {
        /// How many of the octets count.
        len: u8,
        /// The octets.
        octets: [u8; SHORT],
    },
    /// More of them.
    Long(Box<[u8]>),
}

impl Text {
    /// What it takes beside the handle, octets.
    pub fn heap(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(octets) => octets.len() + 16,
        }
    }
}

impl Deref for Text {
    type Target = [u8];

    #[inline(never)]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, octets } => octets.get(..usize::from(*len)).unwrap_or(octets),
            Self::Long(octets) => octets,
        }
    }
}

impl From<&[u8]> for Text {
    #[inline(never)]
    fn from(from: &[u8]) -> Self {
        if from.len() > SHORT {
            return Self::Long(from.into());
        }
        let mut octets = [0; SHORT];
        octets[..from.len()].copy_from_slice(from);
        Self::Short { len: from.len() as u8, octets }
    }
}

impl From<Vec<u8>> for Text {
    fn from(from: Vec<u8>) -> Self {
        if from.len() > SHORT { Self::Long(from.into_boxed_slice()) } else { Self::from(&from[..]) }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        assert_eq!(size_of::<Text>(), 24);
        for len in 0..60 {
            let octets: Vec<u8> = (0..len).collect();
            assert_eq!(*Text::from(&octets[..]), octets[..]);
            assert_eq!(*Text::from(octets.clone()), octets[..]);
            assert_eq!(Text::from(octets).heap() > 0, usize::from(len) > SHORT);
        }
    }
}
