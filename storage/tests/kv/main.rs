//! The store over a simulated disk.

mod basics;
mod crash;
mod every_moment;
mod support;
