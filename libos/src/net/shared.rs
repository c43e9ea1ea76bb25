//! Octets that several hold: they are sent from where they are.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// Octets that stay where they are for as long as anybody needs them. Cheap to clone: all clones are the same octets.
#[derive(Clone)]
pub enum Shared {
    /// Of the image.
    Static(&'static [u8]),
    /// Of the heap, freed with the last of those that hold them.
    Counted(Rc<Vec<u8>>),
}

impl Shared {
    /// Whether these are the same octets, not others that are like them.
    pub fn is_same(&self, other: &Self) -> bool {
        core::ptr::eq::<[u8]>(&**self, &**other)
    }
}

impl Deref for Shared {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(octets) => octets,
            Self::Counted(octets) => octets,
        }
    }
}

impl From<&'static [u8]> for Shared {
    fn from(octets: &'static [u8]) -> Self {
        Self::Static(octets)
    }
}

impl From<Vec<u8>> for Shared {
    fn from(octets: Vec<u8>) -> Self {
        Self::Counted(Rc::new(octets))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_and_what_is_like_them_is_not() {
        let (one, other) = (Shared::from(alloc::vec![1, 2]), Shared::from(alloc::vec![1, 2]));
        assert!(one.is_same(&one.clone()) && !one.is_same(&other));
        assert_eq!((&*one, &*other), (&[1, 2][..], &[1, 2][..]));
        static OCTETS: [u8; 4] = [1, 2, 3, 4];
        let whole = Shared::from(&OCTETS[..]);
        assert!(whole.is_same(&Shared::from(&OCTETS[..])) && !whole.is_same(&Shared::from(&OCTETS[..2])));
    }
}
