//! Whose a function or constant is: the crate and module, read from its name.
//!
//! A generic function is its caller's as much as its author's: `Rc<netstack::Iface>::drop_slow` is `alloc`'s text, and there
//! because of `netstack`. It is counted for the one nearest to the appliance of the crates that its name has.

use std::collections::HashMap;

/// Crates of the compiler, below all others. `__rustc` is what they export by another name.
const LIBRARY: [&str; 5] = ["core", "alloc", "std", "compiler_builtins", "__rustc"];

/// How far above the bottom crates are: each is above those it depends on.
#[derive(Default)]
pub struct Ranks(HashMap<String, usize>);

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The crate, as code spells it.
    pub krate: String,
    /// The modules inside it, with `::` between them; empty for the crate's root.
    pub module: String,
}

impl Owner {
    /// By its two names.
    pub fn new(krate: &str, module: &str) -> Self {
        Self { krate: krate.to_owned(), module: module.to_owned() }
    }
}

impl Ranks {
    /// The crates of a `Cargo.lock`; what is not there is an appliance, above all.
    pub fn of(lock: &str) -> Self {
        let table: toml::Table = lock.parse().unwrap_or_default();
        let packages = table.get("package").and_then(toml::Value::as_array).into_iter().flatten();
        let dependencies: HashMap<String, Vec<String>> = packages
            .filter_map(|package| {
                let list = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
                let names = list.filter_map(|name| name.as_str()?.split(' ').next().map(in_code));
                Some((in_code(package.get("name")?.as_str()?), names.collect()))
            })
            .collect();
        let mut ranks = Self::default();
        for name in dependencies.keys() {
            ranks.add(name, &dependencies);
        }
        ranks
    }

    fn add(&mut self, name: &str, dependencies: &HashMap<String, Vec<String>>) -> usize {
        if let Some(rank) = self.0.get(name) {
            return *rank;
        }
        // Should a crate depend on itself, by its tests say, it is where the others put it.
        self.0.insert(name.to_owned(), 1);
        let below = dependencies.get(name).into_iter().flatten();
        let rank = 1 + below.map(|name| self.add(name, dependencies)).max().unwrap_or(0);
        self.0.insert(name.to_owned(), rank);
        rank
    }

    fn rank(&self, krate: &str) -> usize {
        if LIBRARY.contains(&krate) { 0 } else { self.0.get(krate).copied().unwrap_or(usize::MAX) }
    }

    /// Whose the symbol of a (demangled) name is; `None` for names without a path, as assembly and C have.
    pub fn owner(&self, name: &str) -> Option<Owner> {
        // A trait's path is not where its implementation is; but for `str` and other types without a path it is all there is.
        self.highest(paths(name).filter(|path| !path.of_trait))
            .or_else(|| self.highest(paths(name)))
            .map(|path| split(path.text))
    }

    /// The first of those with the highest crate.
    fn highest<'a>(&self, paths: impl Iterator<Item = Path<'a>>) -> Option<Path<'a>> {
        let rank = |path: &Path<'_>| self.rank(path.text.split("::").next().unwrap_or_default());
        paths.reduce(|best, path| if rank(&path) > rank(&best) { path } else { best })
    }
}

/// The crates of all paths in a (demangled) name, of traits and arguments too.
pub fn crates_in(name: &str) -> impl Iterator<Item = &str> {
    paths(name).filter_map(|path| path.text.split("::").next())
}

fn in_code(package: &str) -> String {
    package.replace('-', "_")
}

/// A path in a name.
struct Path<'a> {
    text: &'a str,
    /// Whether it is that of the trait in `<Type as Trait>`.
    of_trait: bool,
}

/// The paths in a name, in order: `<a::B as c::D<e::F>>::g` has `a::B`, `c::D` and `e::F`.
fn paths(name: &str) -> impl Iterator<Item = Path<'_>> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut rest = name;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find(is_of_path)?..];
            let before = &name[..name.len() - rest.len()];
            let text = &rest[..rest.find(|c| !is_of_path(c)).unwrap_or(rest.len())];
            rest = &rest[text.len()..];
            // `>::method` is no path of its own.
            if text.contains("::") && !text.starts_with(':') {
                return Some(Path { text, of_trait: before.ends_with(" as ") });
            }
        }
    })
}

/// Crate and modules of a path: what comes before a type or the last name.
fn split(path: &str) -> Owner {
    let mut parts = path.split("::");
    let krate = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let is_module = |part: &&&str| part.starts_with(|c: char| c.is_lowercase() || c == '_');
    let modules = rest[..rest.len().saturating_sub(1)].iter().take_while(is_module);
    Owner::new(krate, &modules.copied().collect::<Vec<_>>().join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        [[package]]
        name = "fata-netstack"
        dependencies = ["fata-libos", "smoltcp 0.14.0"]
        [[package]]
        name = "fata-libos"
        dependencies = ["async-task"]
        [[package]]
        name = "async-task"
        [[package]]
        name = "smoltcp"
    "#;

    #[test]
    fn a_function_is_its_crates() {
        let ranks = Ranks::of(LOCK);
        for (name, krate, module) in [
            ("fata_netstack::tcp::segment::way", "fata_netstack", "tcp::segment"),
            ("<fata_netstack::tcp::conn::Conn>::kill", "fata_netstack", "tcp::conn"),
            ("<fata_netstack::hash::Key as core::hash::BuildHasher>::hash_one", "fata_netstack", "hash"),
            ("hello::main::{closure#0}", "hello", ""),
            ("<core::net::ip_addr::Ipv6Addr as core::fmt::Display>::fmt", "core", "net::ip_addr"),
            ("<str as core::fmt::Debug>::fmt", "core", "fmt"),
        ] {
            assert_eq!(ranks.owner(name), Some(Owner::new(krate, module)), "{name}");
        }
        assert_eq!(ranks.owner("memcpy"), None);
    }

    #[test]
    fn a_generic_function_is_the_highest_crates() {
        let ranks = Ranks::of(LOCK);
        for (name, krate) in [
            ("<alloc::rc::Rc<fata_netstack::interface::Iface>>::drop_slow", "fata_netstack"),
            ("<async_task::raw::RawTask<fata_libos::task::X, core::Y>>::run", "fata_libos"),
            ("fata_libos::task::executor::block_on::<hello::run::{closure#0}>", "hello"),
            ("<smoltcp::iface::Set>::get::<fata_netstack::tcp::machine::Tx>", "fata_netstack"),
        ] {
            assert_eq!(ranks.owner(name).unwrap().krate, krate, "{name}");
        }
    }

    #[test]
    fn a_name_has_the_crates_of_all_its_paths() {
        let name = "<fata_aead::Key<aes::Aes128> as core::clone::Clone>::clone::<ghash::GHash>";
        assert_eq!(crates_in(name).collect::<Vec<_>>(), ["fata_aead", "aes", "core", "ghash"]);
        assert_eq!(crates_in("memcpy").count(), 0);
    }

    #[test]
    fn odd_names_are_read_to_their_end() {
        for name in ["", "::", "<>", "é::ü::{closure#0}", "a::", "<&mut [u8]>::x"] {
            Ranks::default().owner(name);
        }
    }
}
