//! A fake network back end, step-driven, that can be hostile.

mod rings;

pub use rings::{Delivery, NetbackRings, QueueAddress, SentFrame};
