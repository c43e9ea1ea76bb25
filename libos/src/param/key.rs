//! Parameters in code: a constant for each, that knows the type of its values.

use super::kinds::{number, parse_duration};
use super::{Ipv4Prefix, Ipv6Prefix, Param, Size};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// What a parameter is in code. Its values were checked when the guest booted, so that reading one does not fail.
#[derive(Debug)]
pub struct Key<T: ?Sized> {
    param: &'static Param,
    of: PhantomData<fn(&T)>,
}

impl<T: ?Sized> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Key<T> {}

impl<T: ?Sized> Key<T> {
    /// The key of a parameter whose kind has values of this type. `fata-build` makes them from `unikernel.toml`.
    #[doc(hidden)]
    pub const fn new(param: &'static Param) -> Self {
        Self { param, of: PhantomData }
    }

    /// The parameter.
    pub fn param(self) -> &'static Param {
        self.param
    }
}

/// A type of values that parameters have.
pub trait Value {
    /// A value: the type itself, or what refers to the boot parameters.
    type Of<'v>;

    /// The value that a text means; `None` if it means none of this type, or there is no text.
    fn of(text: Option<&str>) -> Option<Self::Of<'_>>;
}

impl Value for str {
    type Of<'v> = &'v str;
    fn of(text: Option<&str>) -> Option<&str> {
        text
    }
}

impl Value for bool {
    type Of<'v> = bool;
    fn of(text: Option<&str>) -> Option<bool> {
        match text? {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        }
    }
}

impl Value for u16 {
    type Of<'v> = u16;
    fn of(text: Option<&str>) -> Option<u16> {
        number(text?)?.try_into().ok()
    }
}

impl Value for u64 {
    type Of<'v> = u64;
    fn of(text: Option<&str>) -> Option<u64> {
        number(text?)
    }
}

impl Value for Duration {
    type Of<'v> = Duration;
    fn of(text: Option<&str>) -> Option<Duration> {
        parse_duration(text?)
    }
}

impl Value for [Ipv4Addr] {
    type Of<'v> = Vec<Ipv4Addr>;
    fn of(text: Option<&str>) -> Option<Vec<Ipv4Addr>> {
        text?.split(',').map(|address| address.parse().ok()).collect()
    }
}

impl Value for [IpAddr] {
    type Of<'v> = Vec<IpAddr>;
    // Compiled only where it is called: by being there, until the linker drops it, it changes what else is inlined.
    #[inline]
    fn of(text: Option<&str>) -> Option<Vec<IpAddr>> {
        text?.split(',').map(|address| address.parse().ok()).collect()
    }
}

macro_rules! parsed {
    ($($type:ty),*) => {$(
        impl Value for $type {
            type Of<'v> = $type;
            fn of(text: Option<&str>) -> Option<$type> {
                text?.parse().ok()
            }
        }
    )*};
}

parsed!(Ipv4Addr, Ipv4Prefix, Ipv6Addr, Ipv6Prefix, IpAddr, Size);

/// A parameter without a default has a value only if the command line gives one.
impl<T: Value + ?Sized> Value for Option<&T> {
    type Of<'v> = Option<T::Of<'v>>;
    fn of(text: Option<&str>) -> Option<Option<T::Of<'_>>> {
        match text {
            None => Some(None),
            given => T::of(given).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_types() {
        assert_eq!(str::of(Some("a b")), Some("a b"));
        assert_eq!(bool::of(Some("on")), Some(true));
        assert_eq!(u16::of(Some("80")), Some(80));
        assert_eq!(u16::of(None), None);
        assert_eq!(Duration::of(Some("500ms")), Some(Duration::from_millis(500)));
        assert_eq!(Duration::of(Some("2h")), Some(Duration::from_secs(7200)));
        assert_eq!(Duration::of(Some("20")), Some(Duration::from_secs(20)));
        assert_eq!(
            [("s"), ("1 s"), ("1.5s"), ("-1s"), ("1d"), ("5000000000")].map(|t| Duration::of(Some(t))),
            [None; 6]
        );
        let two = vec![Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(9, 9, 9, 9)];
        assert_eq!(<[Ipv4Addr]>::of(Some("1.1.1.1,9.9.9.9")), Some(two));
        let both = vec![IpAddr::from([1, 1, 1, 1]), IpAddr::from(Ipv6Addr::LOCALHOST)];
        assert_eq!(<[IpAddr]>::of(Some("1.1.1.1,::1")), Some(both));
        assert_eq!(<[Ipv4Addr]>::of(Some("1.1.1.1,::1")), None);
        assert_eq!(Option::<&str>::of(None), Some(None));
        assert_eq!(Option::<&u16>::of(Some("7")), Some(Some(7)));
        assert_eq!(Option::<&u16>::of(Some("x")), None);
    }
}
