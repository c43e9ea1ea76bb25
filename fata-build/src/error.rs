//! What is wrong with a manifest, and where.

/// A manifest that cannot be used. Its `Display` is one line: `unikernel.toml:7: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Error {
    /// The file, and the line if it is about one.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

impl Error {
    /// An error about a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { place: file.to_owned(), message: message.into() }
    }

    /// An error in a line.
    pub fn at(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { place: format!("{file}:{line}"), message: message.into() }
    }
}
