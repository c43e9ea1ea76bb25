//! Keys of a device on their way, as futures: several are asked for at once and awaited after that.

use crate::text::number;
use crate::xenstore::{Request, StoreError, XenStore, text_of};
use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// What a key can hold.
pub trait FromText: Sized {
    /// What an error says was expected.
    const NAME: &'static str;

    /// The value, from text without blanks around it.
    fn from_text(text: &str) -> Option<Self>;
}

impl FromText for String {
    const NAME: &'static str = "String";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

macro_rules! number {
    ($($number:ident)*) => {$(
        impl FromText for $number {
            const NAME: &'static str = stringify!($number);
            fn from_text(text: &str) -> Option<Self> {
                number(text.as_bytes())?.try_into().ok()
            }
        }
    )*};
}
number!(u32 u64);

/// The text of a key on its way.
struct Text {
    key: String,
    request: Request,
}

impl Text {
    /// Gives the text to `take`, which says whether it was what was expected.
    #[inline(never)]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        expected: &'static str,
        take: &mut dyn FnMut(&str) -> bool,
    ) -> Poll<Result<(), StoreError>> {
        let reply = ready!(Pin::new(&mut self.request).poll(cx))?;
        let value = text_of(&self.key, reply)?;
        // Numbers are written with blanks around them by some tools.
        Poll::Ready(match take(value.trim_ascii()) {
            true => Ok(()),
            false => Err(StoreError::bad_value(core::mem::take(&mut self.key), value, expected)),
        })
    }
}

/// A value of a type that was asked for.
#[must_use = "the value comes when it is awaited"]
pub struct Read<T> {
    text: Text,
    what: PhantomData<fn() -> T>,
}

impl<T: FromText> Read<T> {
    pub(super) fn new(store: &XenStore, key: String) -> Self {
        Self { text: Text { request: store.read_octets(&key), key }, what: PhantomData }
    }
}

impl<T: FromText> Future for Read<T> {
    type Output = Result<T, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut value = None;
        ready!(self.text.poll(cx, T::NAME, &mut |text| {
            value = T::from_text(text);
            value.is_some()
        }))?;
        // There is one where the closure says so.
        value.map_or(Poll::Pending, |value| Poll::Ready(Ok(value)))
    }
}

/// The same, `None` where there is no such key.
#[must_use = "the value comes when it is awaited"]
pub struct ReadOptional<T>(pub(super) Read<T>);

impl<T: FromText> Future for ReadOptional<T> {
    type Output = Result<Option<T>, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Err(e) if e.is_absent() => Ok(None),
            read => read.map(Some),
        })
    }
}

/// Several numbers that were asked for, awaited as one.
#[must_use = "the values come when they are awaited"]
pub struct Numbers {
    asked: Vec<ReadOptional<u32>>,
    seen: Vec<Option<u32>>,
}

impl Numbers {
    pub(super) fn new(asked: Vec<ReadOptional<u32>>) -> Self {
        Self { asked, seen: Vec::new() }
    }
}

impl Future for Numbers {
    type Output = Result<Vec<Option<u32>>, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { asked, seen } = &mut *self;
        while let Some(next) = asked.get_mut(seen.len()) {
            seen.push(ready!(Pin::new(next).poll(cx))?);
        }
        Poll::Ready(Ok(core::mem::take(seen)))
    }
}

/// Whether a `feature-...` key says yes.
#[must_use = "the answer comes when it is awaited"]
pub struct HasFeature(pub(super) ReadOptional<u32>);

impl Future for HasFeature {
    type Output = Result<bool, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(|number| number.is_some_and(|n| n != 0))
    }
}
