//! The tree of the fake XenStore daemon.

use crate::xenstore::Errno;
use std::collections::BTreeMap;

/// Absolute paths and their values; a path's parents are always there too.
#[derive(Clone, Default)]
pub(super) struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        self.0.get(path).cloned().ok_or(Errno::ENOENT)
    }

    pub(super) fn write(&mut self, path: &str, value: &[u8]) {
        self.mkdir(path);
        self.0.insert(path.into(), value.into());
    }

    pub(super) fn mkdir(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').skip(1) {
            self.0.entry(path[..at].into()).or_default();
        }
        self.0.entry(path.into()).or_default();
    }

    pub(super) fn rm(&mut self, path: &str) -> Result<(), Errno> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !parent.is_empty() && !self.0.contains_key(parent) {
            return Err(Errno::ENOENT);
        }
        self.0.retain(|p, _| !is_below(p, path));
        Ok(())
    }

    pub(super) fn directory(&self, path: &str) -> Result<Vec<String>, Errno> {
        self.read(path)?;
        let below = self.0.keys().filter_map(|p| p.strip_prefix(path)?.strip_prefix('/'));
        Ok(below.filter(|name| !name.contains('/')).map(String::from).collect())
    }
}

/// Whether `path` is `parent` or below it.
pub(super) fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
