//! Stub.
use super::keys::{KeysError, Pair};
use fata::time::SystemTime;
impl Pair {
    /// x
    pub fn check_dates(&self, _: SystemTime) -> Result<(), KeysError> { Ok(()) }
    /// x
    pub fn make(_: &[&str]) -> Result<Self, KeysError> { Err(KeysError::Expired) }
    /// x
    pub fn expires(&self) -> u64 { 0 }
}
