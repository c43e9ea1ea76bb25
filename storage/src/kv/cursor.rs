//! Reading in order: the tree and the memtables, side by side.

use super::inner::Inner;
use super::layout::Span;
use super::memtable::Slot;
use super::node::{Entry, Node};
use super::store::Held;
use super::{Error, Key, Part};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Bound, RangeBounds};

/// Keys and values in order, of one state of the store. It counts as a snapshot while it is held.
pub struct Cursor {
    held: Rc<Held>,
    /// What is still to come begins here.
    from: Bound<Key>,
    to: Bound<Key>,
    walk: Walk,
}

/// A way through the leaves.
struct Walk {
    /// Nodes from the top down.
    path: Vec<Step>,
    /// The node that is to be read next.
    next: Option<Target>,
    /// The entry that was read and not given yet.
    ahead: Option<Entry>,
}

/// A node on the way.
struct Step {
    node: Rc<Node>,
    level: u8,
    /// The entry that comes next.
    index: usize,
    from: Option<Key>,
    to: Option<Key>,
}

/// A node that is referred to, and the keys it is responsible for: from the first on, up to the second.
struct Target {
    span: Span,
    level: u8,
    from: Option<Key>,
    to: Option<Key>,
}

impl Target {
    /// A stranger may have made a tree that refers to a node from many places, level after level: to walk it would have no
    /// end. In a good one no two places are responsible for the same keys.
    fn check(&self, node: &Node) -> Result<(), Error> {
        let (first, last) = (node.key(0), node.key(node.count() - 1));
        let is_within = self.from.as_ref().is_none_or(|from| first >= &from[..])
            && self.to.as_ref().is_none_or(|to| last < &to[..]);
        if is_within { Ok(()) } else { Err(self.span.corrupt(Part::Node)) }
    }
}

impl Step {
    /// The child at an index.
    fn target(&self, index: usize) -> Target {
        // What is less than all keys is in the first.
        let from = if index == 0 { self.from.clone() } else { Some(Rc::from(self.node.key(index))) };
        let is_last = index + 1 == self.node.count();
        let to = if is_last { self.to.clone() } else { Some(Rc::from(self.node.key(index + 1))) };
        Target { span: self.node.child(index), level: self.level - 1, from, to }
    }
}

fn owned(bound: Bound<&[u8]>) -> Bound<Key> {
    bound.map(Rc::from)
}

fn borrowed(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

/// The least key that is greater than all that begin with `prefix`.
fn end_of(prefix: &[u8]) -> Bound<Key> {
    let Some(last) = prefix.iter().rposition(|octet| *octet < u8::MAX) else { return Bound::Unbounded };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Bound::Excluded(Rc::from(end))
}

impl Walk {
    /// The next entry of the tree from `from` on. After an error it goes on behind what could not be read.
    async fn advance(&mut self, inner: &Inner, from: &Bound<Key>) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(target) = self.next.take() {
                let Target { span, level, .. } = target;
                let node = inner.node(&span, level).await?;
                target.check(&node)?;
                let start = match from {
                    Bound::Included(key) | Bound::Excluded(key) if level == 0 => {
                        node.search(key).unwrap_or_else(|index| index)
                    }
                    Bound::Included(key) | Bound::Excluded(key) => node.child_index(key),
                    Bound::Unbounded => 0,
                };
                let Target { from, to, .. } = target;
                self.path.push(Step { node, level, index: start, from, to });
            }
            let Some(step) = self.path.last_mut() else { return Ok(None) };
            let at = step.index;
            if at >= step.node.count() {
                self.path.pop();
                continue;
            }
            step.index += 1;
            if step.level > 0 {
                self.next = Some(step.target(at));
            } else if (borrowed(from), Bound::Unbounded).contains(step.node.key(at)) {
                return Ok(Some(step.node.entry(at)));
            }
        }
    }
}

impl Cursor {
    pub(crate) fn of_range<K: AsRef<[u8]>>(held: Rc<Held>, bounds: &impl RangeBounds<K>) -> Self {
        let from = owned(bounds.start_bound().map(|key| key.as_ref()));
        Self::new(held, from, owned(bounds.end_bound().map(|key| key.as_ref())))
    }

    pub(crate) fn of_prefix(held: Rc<Held>, prefix: &[u8]) -> Self {
        Self::new(held, Bound::Included(Rc::from(prefix)), end_of(prefix))
    }

    fn new(held: Rc<Held>, from: Bound<Key>, to: Bound<Key>) -> Self {
        let top = held.view.root.top;
        let next = top.map(|top| Target { span: top.span, level: top.level, from: None, to: None });
        Self { held, from, to, walk: Walk { path: Vec::new(), next, ahead: None } }
    }

    /// The next key and its value; `None` at the end. After an error the cursor goes on behind what could not be read.
    pub async fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        match self.next_slot().await? {
            Some((key, slot)) => {
                let value = self.held.inner.value(&slot).await?;
                Ok(Some((key.to_vec(), value)))
            }
            None => Ok(None),
        }
    }

    /// The next key, without reading its value.
    pub async fn next_key(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.next_slot().await?.map(|(key, _)| key.to_vec()))
    }

    pub(crate) async fn next_slot(&mut self) -> Result<Option<(Key, Slot)>, Error> {
        loop {
            if self.walk.ahead.is_none() {
                self.walk.ahead = self.walk.advance(&self.held.inner, &self.from).await?;
            }
            let Some((key, slot)) = self.first() else { return Ok(None) };
            if !(Bound::Unbounded, borrowed(&self.to)).contains(&key[..]) {
                return Ok(None);
            }
            self.walk.ahead.take_if(|entry| entry.key <= key);
            self.from = Bound::Excluded(key.clone());
            if slot != Slot::Deleted {
                return Ok(Some((key, slot)));
            }
        }
    }

    /// The first of what the memtables and the tree have next; the newer where it is one key.
    fn first(&self) -> Option<(Key, Slot)> {
        let view = &self.held.view;
        let active = view.active.next(borrowed(&self.from), view.seq);
        let frozen = view.frozen.as_ref().and_then(|frozen| frozen.next(borrowed(&self.from), view.seq));
        let tree = self.walk.ahead.as_ref().map(|entry| (entry.key.clone(), entry.slot.clone()));
        // Of equal ones `min_by` gives the first.
        [active, frozen, tree].into_iter().flatten().min_by(|a, b| a.0.cmp(&b.0))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor of commit {}", self.held.view.seq)
    }
}
