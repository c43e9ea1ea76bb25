//! Fata.
