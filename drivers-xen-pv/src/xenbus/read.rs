//! Keys of a device on their way, as futures: several are asked for at once and awaited after that.

use crate::xenstore::{Request, StoreError, XenStore, text_of};
use alloc::string::String;
use core::any::type_name;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::str::FromStr;
use core::task::{Context, Poll, ready};

/// A value of a type that was asked for.
#[must_use = "the value comes when it is awaited"]
pub struct Read<T> {
    key: String,
    request: Request,
    what: PhantomData<fn() -> T>,
}

impl<T: FromStr> Read<T> {
    pub(super) fn new(store: &XenStore, key: String) -> Self {
        Self { request: store.read_octets(&key), key, what: PhantomData }
    }
}

impl<T: FromStr> Future for Read<T> {
    type Output = Result<T, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.request).poll(cx))?;
        let value = text_of(&self.key, reply)?;
        // Numbers are written with blanks around them by some tools.
        let parsed = value.trim().parse();
        Poll::Ready(parsed.map_err(|_| StoreError::BadValue {
            key: core::mem::take(&mut self.key),
            value,
            expected: short_name::<T>(),
        }))
    }
}

fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

/// The same, `None` where there is no such key.
#[must_use = "the value comes when it is awaited"]
pub struct ReadOptional<T>(pub(super) Read<T>);

impl<T: FromStr> Future for ReadOptional<T> {
    type Output = Result<Option<T>, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Err(e) if e.is_absent() => Ok(None),
            read => read.map(Some),
        })
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
