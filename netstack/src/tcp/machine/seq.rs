//! Sequence numbers (RFC 9293, 3.4).

use core::ops::{Add, AddAssign, Sub};

/// A number of the sequence space, which wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether it comes before `other`: the two are less than half of the space apart.
    pub fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether it comes after `other`.
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// The later of the two.
    pub fn later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub fn earlier(self, other: Self) -> Self {
        if self.after(other) { other } else { self }
    }

    /// How far it lies after `other`; 0 where it lies before.
    pub fn beyond(self, other: Self) -> u32 {
        if self.after(other) { self - other } else { 0 }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    fn sub(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }
}

/// From the earlier to the later.
impl Sub for Seq {
    type Output = u32;
    fn sub(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap() {
        let (a, b) = (Seq(u32::MAX - 1), Seq(3));
        assert!(a.before(b) && b.after(a) && !a.before(a));
        assert_eq!((b - a, a + 5, b - 5), (5, b, a));
        assert_eq!((a.later(b), a.earlier(b), a.beyond(b), b.beyond(a)), (b, a, 0, 5));
    }
}
