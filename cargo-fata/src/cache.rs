//! The folder outside the tree where the tool keeps what takes long to make.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long the entries of older recipes stay.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// `$FATA_CACHE`, else `$XDG_CACHE_HOME/fata`, else `~/.cache/fata`.
pub fn root() -> Result<PathBuf> {
    let from_env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from_env("FATA_CACHE")
        .or_else(|| Some(from_env("XDG_CACHE_HOME")?.join("fata")))
        .or_else(|| Some(from_env("HOME")?.join(".cache/fata")))
        .context("no place for the cache: set FATA_CACHE to a folder")
}

/// A folder of the cache that is either whole or absent.
pub struct Entry {
    path: PathBuf,
    prefix: String,
}

impl Entry {
    /// The entry for a recipe: `kind-HASH`, so that a changed recipe is another entry.
    pub fn new(kind: &str, recipe: &[&str]) -> Result<Self> {
        let prefix = format!("{kind}-");
        Ok(Self { path: root()?.join(format!("{prefix}{}", digest(recipe))), prefix })
    }

    /// Where it is, once it is there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes it in a temporary folder and moves it into place; then removes what older recipes have left.
    pub fn create(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let parent = self.path.parent().context("the cache has no parent folder")?;
        let temporary = parent.join(format!("tmp-{}{}", self.prefix, std::process::id()));
        remove(&temporary)?;
        std::fs::create_dir_all(&temporary)
            .with_context(|| format!("cannot make {}", temporary.display()))?;
        let made = make(&temporary).and_then(|()| self.move_into_place(&temporary));
        remove(&temporary)?;
        made?;
        self.remove_older(parent)
    }

    fn move_into_place(&self, temporary: &Path) -> Result<()> {
        match std::fs::rename(temporary, &self.path) {
            // Another run of the tool was faster.
            Err(_) if self.exists() => Ok(()),
            renamed => renamed.with_context(|| format!("cannot make {}", self.path.display())),
        }
    }

    fn remove_older(&self, parent: &Path) -> Result<()> {
        for entry in std::fs::read_dir(parent)?.flatten() {
            let is_older =
                entry.file_name().to_string_lossy().starts_with(&self.prefix) && entry.path() != self.path;
            // Another checkout may be at another recipe, and use its entry now.
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if is_older && age.is_some_and(|age| age > KEPT) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A short name for a list of texts, the same on every machine.
pub fn digest(parts: &[&str]) -> String {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write(&[0xff]);
    }
    format!("{:016x}", hasher.finish())
}

/// A short name for a file's content.
pub fn digest_bytes(bytes: &[u8]) -> String {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

/// FNV-1a: the standard library's hasher may change from one compiler to the next.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_tell_parts_apart() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["a"]), digest(&["a"]));
    }
}
