//! Reading: nodes through the cache, keys down the tree, values from where the log has them.

use super::checksum::crc32c;
use super::inner::{Inner, Root, View};
use super::layout::Span;
use super::memtable::Slot;
use super::node::{MAX_LEVEL, MAX_NODE, Node};
use super::{Error, MAX_VALUE, Part};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// A node on its way. Not an `async fn`: its code is in an image once, not once a caller.
pub(crate) enum NodeRead<'a> {
    /// It was in memory.
    Done(Result<Rc<Node>, Error>),
    Waits(Pin<Box<dyn Future<Output = Result<Rc<Node>, Error>> + 'a>>),
}

impl Future for NodeRead<'_> {
    type Output = Result<Rc<Node>, Error>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Done(node) => Poll::Ready(node.clone()),
            Self::Waits(read) => read.as_mut().poll(cx),
        }
    }
}

impl Inner {
    /// Octets of the log, which have to have their checksum.
    pub(crate) async fn read_span(&self, span: &Span, what: Part) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.read_span_into(span, what, &mut out).await?;
        Ok(out)
    }

    async fn read_span_into(&self, span: &Span, what: Part, out: &mut Vec<u8>) -> Result<(), Error> {
        if !self.layout.contains(span) {
            return Err(span.corrupt(what));
        }
        let len = span.len as usize;
        out.try_reserve(len).map_err(|_| Error::NoMemory { octets: len })?;
        let (buffer, start) = self.layout.read(&self.disk, span.segment, span.offset, span.len).await?;
        let octets = &buffer[start..start + len];
        if crc32c(octets) != span.crc {
            return Err(span.corrupt(what));
        }
        out.extend_from_slice(octets);
        Ok(())
    }

    /// A node of a level.
    pub(crate) fn node(&self, span: &Span, level: u8) -> NodeRead<'_> {
        let (cached, span) = (self.cache.borrow_mut().get(span), *span);
        match cached {
            Some(node) if node.level() == level => NodeRead::Done(Ok(node)),
            Some(_) => NodeRead::Done(Err(span.corrupt(Part::Node))),
            None => NodeRead::Waits(Box::pin(async move {
                let node = Rc::new(self.node_uncached(&span, level).await?);
                self.cache.borrow_mut().insert(&span, node.clone());
                Ok(node)
            })),
        }
    }

    /// A node as the disk has it.
    pub(crate) async fn node_uncached(&self, span: &Span, level: u8) -> Result<Node, Error> {
        if span.len > MAX_NODE || level > MAX_LEVEL {
            return Err(span.corrupt(Part::Node));
        }
        let octets = self.read_span(span, Part::Node).await?;
        Node::decode(octets, level).ok_or_else(|| span.corrupt(Part::Node))
    }

    /// What a tree has at a key.
    pub(crate) async fn find_in_tree(&self, root: &Root, key: &[u8]) -> Result<Option<Slot>, Error> {
        let Some(leaf) = self.node_for(root, key, 0).await? else { return Ok(None) };
        let node = self.node(&leaf, 0).await?;
        Ok(node.search(key).ok().map(|index| node.slot(index)))
    }

    /// Where the tree has its node of `level` that is responsible for a key.
    pub(crate) async fn node_for(&self, root: &Root, key: &[u8], level: u8) -> Result<Option<Span>, Error> {
        let Some(top) = root.top.filter(|top| top.level >= level) else { return Ok(None) };
        let (mut span, mut at) = (top.span, top.level);
        while at > level {
            let node = self.node(&span, at).await?;
            span = node.child(node.child_index(key));
            at -= 1;
        }
        Ok(Some(span))
    }

    /// What a view has at a key; `None` where there is nothing.
    pub(crate) async fn slot(&self, view: &View, key: &[u8]) -> Result<Option<Slot>, Error> {
        let recent = view
            .active
            .get(key, view.seq)
            .or_else(|| view.frozen.as_ref().and_then(|frozen| frozen.get(key, view.seq)));
        let slot = match recent {
            Some(slot) => Some(slot),
            None => self.find_in_tree(&view.root, key).await?,
        };
        Ok(slot.filter(|slot| *slot != Slot::Deleted))
    }

    /// The value of a slot.
    pub(crate) async fn value(&self, slot: &Slot) -> Result<Vec<u8>, Error> {
        match slot {
            Slot::Inline(value) => Ok(value.to_vec()),
            Slot::Stored(spans) => self.stored_value(spans).await,
            Slot::Deleted | Slot::Child(_) => Ok(Vec::new()),
        }
    }

    async fn stored_value(&self, spans: &[Span]) -> Result<Vec<u8>, Error> {
        let octets: usize = spans.iter().map(|s| s.len as usize).sum();
        match spans.first() {
            Some(first) if octets > MAX_VALUE => return Err(first.corrupt(Part::Value)),
            _ => {}
        }
        let mut out = Vec::new();
        out.try_reserve_exact(octets).map_err(|_| Error::NoMemory { octets })?;
        for span in spans {
            self.read_span_into(span, Part::Value, &mut out).await?;
        }
        Ok(out)
    }
}
