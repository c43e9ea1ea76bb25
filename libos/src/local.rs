//! One value per thread of execution: a plain static in a guest, which has one thread and no interrupts; a thread-local
//! where there are threads, so that tests run beside each other.

/// Declares `static NAME: Local<T>`-like storage with an initial value that is a constant.
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        #[cfg(target_os = "xen")]
        $(#[$meta])* $vis static $name: $crate::local::Local<$ty> = $crate::local::Local::new($init);
        #[cfg(not(target_os = "xen"))]
        std::thread_local! { $(#[$meta])* $vis static $name: $ty = const { $init }; }
    };
}
pub(crate) use local;

/// The guest's form: same `with` as `std::thread::LocalKey`.
#[cfg(target_os = "xen")]
pub(crate) struct Local<T>(T);

#[cfg(target_os = "xen")]
impl<T> Local<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0)
    }
}

// SAFETY: a guest has one vCPU running Rust code and takes no interrupts (events stay masked, exceptions end it), so no
// second thread of execution can reach the value. The platform crates keep this by never starting another vCPU.
#[cfg(target_os = "xen")]
unsafe impl<T> Sync for Local<T> {}
