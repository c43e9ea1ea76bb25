//! A sequence in a tree by position: a list, and what a sorted set keeps in order.
//!
//! A B+ tree whose inner nodes count what is below them (an order-statistic tree: Cormen et al., Introduction to
//! Algorithms, chapter 14). Taking, adding and finding take a time logarithmic in the length.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// The most items of a leaf, and children of an inner node.
const LEAF: usize = 64;
const INNER: usize = 32;

enum Node<T> {
    Leaf(Vec<T>),
    Inner(Vec<Child<T>>),
}

struct Child<T> {
    count: usize,
    node: Box<Node<T>>,
}

/// A sequence.
pub struct Rope<T> {
    root: Node<T>,
    len: usize,
}

impl<T> Default for Rope<T> {
    fn default() -> Self {
        Self { root: Node::Leaf(Vec::new()), len: 0 }
    }
}

impl<T> Rope<T> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Items around a position that lie together, and where in them it is; nothing behind the end.
    #[inline(never)]
    pub fn run(&self, mut at: usize) -> (&[T], usize) {
        if at >= self.len {
            return (&[], 0);
        }
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return (items, at),
                Node::Inner(children) => {
                    let which = child_at(children, &mut at);
                    node = &children[which].node;
                }
            }
        }
    }

    /// The item at a position.
    pub fn at(&self, at: usize) -> Option<&T> {
        let (run, at) = self.run(at);
        run.get(at)
    }

    /// The item at a position.
    pub fn at_mut(&mut self, mut at: usize) -> Option<&mut T> {
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get_mut(at),
                Node::Inner(children) => {
                    let which = child_at(children, &mut at);
                    node = &mut children.get_mut(which)?.node;
                }
            }
        }
    }

    /// Items from a position on.
    pub fn from(&self, at: usize) -> Items<'_, T> {
        Items { rope: self, run: &[], next: at }
    }

    /// How many items at the front `is_before` holds for: it must not hold again behind one for which it does not.
    #[inline(never)]
    pub fn partition(&self, is_before: &dyn Fn(&T) -> bool) -> usize {
        let (mut node, mut passed) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return passed + items.partition_point(is_before),
                Node::Inner(children) => {
                    let behind = children.partition_point(|child| first(&child.node).is_some_and(is_before));
                    let which = behind.saturating_sub(1);
                    passed += children[..which].iter().map(|child| child.count).sum::<usize>();
                    node = &children[which].node;
                }
            }
        }
    }

    /// Adds an item, so that it is at position `at`, at most the length.
    #[inline(never)]
    pub fn insert(&mut self, at: usize, item: T) {
        self.len += 1;
        if let Some((count, node)) = insert(&mut self.root, at, item) {
            let old = core::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let left = Child { count: self.len - count, node: Box::new(old) };
            self.root = Node::Inner(vec![left, Child { count, node }]);
        }
    }

    /// Takes out the item at a position.
    #[inline(never)]
    pub fn remove(&mut self, at: usize) -> Option<T> {
        if at >= self.len {
            return None;
        }
        let item = remove(&mut self.root, at)?;
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root
            && children.len() <= 1
        {
            self.root = children.pop().map_or(Node::Leaf(Vec::new()), |child| *child.node);
        }
        Some(item)
    }

    /// Adds at the end.
    pub fn push(&mut self, item: T) {
        self.insert(self.len, item);
    }
}

/// The items of a rope from some position on.
pub struct Items<'a, T> {
    rope: &'a Rope<T>,
    run: &'a [T],
    /// The position behind the run.
    next: usize,
}

impl<'a, T> Iterator for Items<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        if self.run.is_empty() {
            let (run, at) = self.rope.run(self.next);
            self.run = run.get(at..)?;
            self.next += self.run.len();
        }
        let (item, rest) = self.run.split_first()?;
        self.run = rest;
        Some(item)
    }
}

/// The child in which a position is, which becomes one in it. The last child has what is behind the end.
fn child_at<T>(children: &[Child<T>], at: &mut usize) -> usize {
    let last = children.len().saturating_sub(1);
    for (which, child) in children.iter().enumerate() {
        if *at < child.count || which == last {
            return which;
        }
        *at -= child.count;
    }
    last
}

fn first<T>(mut node: &Node<T>) -> Option<&T> {
    loop {
        match node {
            Node::Leaf(items) => return items.first(),
            Node::Inner(children) => node = &children.first()?.node,
        }
    }
}

/// Where a full node is cut: what grows at one end has full nodes behind it.
fn cut(at: usize, len: usize) -> usize {
    match at {
        0 => 1,
        _ if at >= len - 1 => len - 1,
        _ => len / 2,
    }
}

fn split<T>(items: &mut Vec<T>, at: usize, room: usize) -> Vec<T> {
    let mut right = items.split_off(at);
    right.reserve_exact(room.saturating_sub(right.len()));
    right
}

/// Adds an item; where the node becomes too large, its right part, and how many items it has.
fn insert<T>(node: &mut Node<T>, mut at: usize, item: T) -> Option<(usize, Box<Node<T>>)> {
    match node {
        Node::Leaf(items) => {
            items.insert(at.min(items.len()), item);
            if items.len() <= LEAF {
                return None;
            }
            let cut = cut(at, items.len());
            let right = split(items, cut, LEAF + 1);
            Some((right.len(), Box::new(Node::Leaf(right))))
        }
        Node::Inner(children) => {
            let which = child_at(children, &mut at);
            let child = children.get_mut(which)?;
            child.count += 1;
            let (count, right) = insert(&mut child.node, at, item)?;
            child.count -= count;
            children.insert(which + 1, Child { count, node: right });
            if children.len() <= INNER {
                return None;
            }
            let cut = cut(which, children.len());
            let right = split(children, cut, INNER + 1);
            Some((right.iter().map(|child| child.count).sum(), Box::new(Node::Inner(right))))
        }
    }
}

fn remove<T>(node: &mut Node<T>, mut at: usize) -> Option<T> {
    match node {
        Node::Leaf(items) => (at < items.len()).then(|| items.remove(at)),
        Node::Inner(children) => {
            let which = child_at(children, &mut at);
            let child = children.get_mut(which)?;
            let item = remove(&mut child.node, at)?;
            child.count -= 1;
            tidy(children, which);
            Some(item)
        }
    }
}

/// Joins a child that has become small with its neighbour.
fn tidy<T>(children: &mut Vec<Child<T>>, which: usize) {
    if children[which].count == 0 {
        children.remove(which);
        return;
    }
    let left = which.saturating_sub(1);
    for left in left..=which {
        if left + 1 < children.len() && join(children, left) {
            return;
        }
    }
}

fn join<T>(children: &mut Vec<Child<T>>, left: usize) -> bool {
    let (head, tail) = children.split_at_mut(left + 1);
    let (Some(into), Some(from)) = (head.last_mut(), tail.first_mut()) else { return false };
    match (&mut *into.node, &mut *from.node) {
        (Node::Leaf(a), Node::Leaf(b)) if a.len() + b.len() <= LEAF / 2 => a.append(b),
        (Node::Inner(a), Node::Inner(b)) if a.len() + b.len() <= INNER / 2 => a.append(b),
        _ => return false,
    }
    into.count += from.count;
    children.remove(left + 1);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_as_a_vector() {
        let (mut rope, mut model) = (Rope::default(), Vec::new());
        let mut random = 88_172_645_463_325_252_u64;
        for step in 0..20_000_usize {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let grows = if step < 10_000 { random % 10 < 7 } else { random % 10 < 3 };
            let at = match random >> 8 & 3 {
                0 => 0,
                1 => model.len(),
                _ => (random >> 20) as usize % (model.len() + 1),
            };
            if grows {
                rope.insert(at, step);
                model.insert(at, step);
            } else {
                let taken = (at < model.len()).then(|| model.remove(at));
                assert_eq!(rope.remove(at), taken);
            }
            assert_eq!(rope.len(), model.len());
            assert_eq!(rope.at(at), model.get(at));
        }
        assert!(rope.from(7).eq(&model[7.min(model.len())..]));
        while rope.remove(rope.len() / 2).is_some() {}
        assert!(rope.is_empty() && rope.at(0).is_none());
    }

    #[test]
    fn what_is_in_order_is_found() {
        let mut rope = Rope::default();
        for n in 0..5000 {
            rope.push(n * 2);
        }
        for n in 0..10_000 {
            assert_eq!(rope.partition(&|item| *item < n), (n as usize).div_ceil(2));
        }
        assert_eq!(rope.partition(&|_| true), 5000);
    }
}
