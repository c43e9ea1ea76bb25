//! Paths into names.

use super::Error;

/// The longest path, octets.
const LONGEST: usize = 4096;

/// The names of a path, from the root on. Empty ones and `.` are left out; `..` leads out of what was meant, and is refused.
pub fn names(path: &str) -> Result<impl Iterator<Item = &str> + Clone, Error> {
    if path.len() > LONGEST {
        return Err(Error::NameTooLong);
    }
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    if names.clone().any(|name| name == ".." || name.contains('\0')) {
        return Err(Error::BadPath);
    }
    Ok(names)
}
