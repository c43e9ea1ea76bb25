//! The store over a simulated disk.

mod basics;
