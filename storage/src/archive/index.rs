//! Which file is where.

use super::{Error, Limits, name};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::time::{Duration, SystemTime};

/// Symbolic links that lead to symbolic links.
const MOST_LINKS: usize = 8;

/// A file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where its content begins, octets from the archive's begin.
    pub offset: u64,
    /// Its octets.
    pub len: u64,
    /// When it was last written, in seconds since 1970.
    pub modified: u64,
}

impl Entry {
    /// When it was last written.
    pub fn modified(&self) -> SystemTime {
        SystemTime::from_unix(Duration::from_secs(self.modified))
    }
}

/// All files, in order of their names.
#[derive(Debug)]
pub struct Index {
    files: Vec<(Box<str>, Entry)>,
    left_out: usize,
}

/// What was found so far.
pub struct Builder {
    limits: Limits,
    found: Vec<(Box<str>, Found)>,
    names: usize,
    left_out: usize,
}

enum Found {
    File(Entry),
    /// With the name that it leads to.
    HardLink(Box<str>),
    /// The same.
    SymbolicLink(Box<str>),
}

impl Builder {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: *limits, found: Vec::new(), names: 0, left_out: 0 }
    }

    pub fn file(&mut self, name: String, entry: Entry) -> Result<(), Error> {
        self.push(name, Found::File(entry), 0)
    }

    pub fn hard_link(&mut self, name: String, to: String) -> Result<(), Error> {
        let octets = to.len();
        self.push(name, Found::HardLink(to.into()), octets)
    }

    pub fn symbolic_link(&mut self, name: String, to: &str) -> Result<(), Error> {
        match name::target(&name, to) {
            Some(target) => {
                let octets = target.len();
                self.push(name, Found::SymbolicLink(target.into()), octets)
            }
            None => {
                self.leave_out();
                Ok(())
            }
        }
    }

    pub fn leave_out(&mut self) {
        self.left_out += 1;
    }

    fn push(&mut self, name: String, found: Found, more: usize) -> Result<(), Error> {
        let Limits { entries, names, .. } = self.limits;
        if self.found.len() >= entries {
            return Err(Error::Entries { most: entries });
        }
        self.names += name.len() + more;
        if self.names > names {
            return Err(Error::Names { most: names });
        }
        let octets = size_of::<(Box<str>, Found)>();
        self.found.try_reserve(1).map_err(|_| Error::NoMemory { octets })?;
        self.found.push((name.into_boxed_str(), found));
        Ok(())
    }

    pub fn finish(mut self) -> Index {
        // Stable: of one name the last is the one that counts.
        self.found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let is_overruled = |at: usize| self.found.get(at + 1).is_some_and(|next| next.0 == self.found[at].0);
        let resolved: Vec<_> = (0..self.found.len())
            .map(|at| if is_overruled(at) { Resolved::Overruled } else { self.resolve(at) })
            .collect();
        let mut files = Vec::with_capacity(resolved.len());
        let mut left_out = self.left_out;
        for ((name, _), resolved) in self.found.into_iter().zip(resolved) {
            match resolved {
                Resolved::File(entry) => files.push((name, entry)),
                Resolved::Nothing => left_out += 1,
                Resolved::Overruled => {}
            }
        }
        files.shrink_to_fit();
        Index { files, left_out }
    }

    fn resolve(&self, mut at: usize) -> Resolved {
        for _ in 0..=MOST_LINKS {
            let name = match &self.found[at].1 {
                Found::File(entry) => return Resolved::File(*entry),
                Found::HardLink(name) | Found::SymbolicLink(name) => name,
            };
            match self.last_of(name) {
                Some(next) => at = next,
                None => break,
            }
        }
        Resolved::Nothing
    }

    /// The last entry of a name.
    fn last_of(&self, name: &str) -> Option<usize> {
        let behind = self.found.partition_point(|(own, _)| **own <= *name);
        let last = behind.checked_sub(1)?;
        (*self.found[last].0 == *name).then_some(last)
    }
}

enum Resolved {
    File(Entry),
    Nothing,
    Overruled,
}

impl Index {
    pub fn get(&self, name: &str) -> Option<Entry> {
        let at = self.files.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(self.files[at].1)
    }

    pub fn has_directory(&self, name: &str) -> bool {
        // Names with other signs where the slash would be stand between.
        let first = self.files.partition_point(|(own, _)| own.bytes().lt(name.bytes().chain([b'/'])));
        let is_below = |own: &str| own.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        if name.is_empty() {
            !self.files.is_empty()
        } else {
            self.files.get(first).is_some_and(|(own, _)| is_below(own))
        }
    }

    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, Entry)> {
        self.files.iter().map(|(name, entry)| (&**name, *entry))
    }

    pub fn left_out(&self) -> usize {
        self.left_out
    }
}
