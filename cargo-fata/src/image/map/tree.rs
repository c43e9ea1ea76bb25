//! Pieces put together by crate, and in each by module.

use std::collections::BTreeMap;

use super::pieces::Piece;

/// A part of the image with what it is made of; a leaf has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name among its siblings.
    pub name: String,
    /// Its size in the file.
    pub octets: u64,
    /// The largest first.
    pub parts: Vec<Node>,
}

impl Node {
    fn over(name: String, mut parts: Vec<Node>) -> Self {
        parts.sort_by(|a, b| b.octets.cmp(&a.octets).then_with(|| a.name.cmp(&b.name)));
        Self { name, octets: parts.iter().map(|part| part.octets).sum(), parts }
    }
}

/// Crates, in them modules, in these functions and constants; those of one name in one.
pub fn by_crate(pieces: &[Piece]) -> Node {
    let mut crates: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, u64>>> = BTreeMap::new();
    for piece in pieces {
        let modules = crates.entry(&piece.owner.krate).or_default();
        *modules.entry(&piece.owner.module).or_default().entry(&piece.name).or_default() += piece.octets;
    }
    let leaf = |(name, octets): (&str, u64)| Node { name: name.to_owned(), octets, parts: Vec::new() };
    let crates = crates.into_iter().map(|(krate, modules)| {
        let modules = modules
            .into_iter()
            .map(|(module, items)| Node::over(module.to_owned(), items.into_iter().map(leaf).collect()));
        Node::over(krate.to_owned(), modules.collect())
    });
    Node::over(String::new(), crates.collect())
}

#[cfg(test)]
mod tests {
    use super::super::owner::Owner;
    use super::super::pieces::Kind;
    use super::*;

    #[test]
    fn sizes_add_up_and_the_largest_comes_first() {
        let piece = |krate: &str, module: &str, name: &str, octets| Piece {
            owner: Owner::new(krate, module),
            name: name.to_owned(),
            kind: Kind::Code,
            octets,
        };
        let tree = by_crate(&[
            piece("core", "fmt", "pad", 10),
            piece("xen", "mm", "init", 5),
            piece("xen", "console", "write", 7),
            piece("xen", "mm", "init", 1),
        ]);
        assert_eq!(tree.octets, 23);
        let names: Vec<_> = tree.parts.iter().map(|part| (&*part.name, part.octets)).collect();
        assert_eq!(names, [("xen", 13), ("core", 10)]);
        assert_eq!(tree.parts[0].parts[1].parts, [Node { name: "init".into(), octets: 6, parts: vec![] }]);
    }
}
