//! Part of Fata.
