//! Reading everything, to say whether it is whole.

use super::build::is_damage;
use super::inner::Inner;
use super::item::{node_len, part_len};
use super::layout::Span;
use super::memtable::Slot;
use super::space::Deltas;
use super::store::Snapshot;
use super::{Error, superblock};
use alloc::vec;
use alloc::vec::Vec;

/// Errors that a report keeps.
const MOST_ERRORS: usize = 32;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Keys whose values could be read.
    pub keys: u64,
    /// Octets of these keys and values.
    pub octets: u64,
    /// Nodes of the index.
    pub nodes: u64,
    /// Levels of the index; 0 if it is empty.
    pub levels: u32,
    /// Copies of the superblock that are whole: two, if all is well.
    pub superblocks: usize,
    /// Segments whose octets in use are not what the table of segments says.
    pub miscounted_segments: u64,
    /// What could not be read.
    pub errors: u64,
    /// The first of these.
    pub first_errors: Vec<Error>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.errors == 0 && self.miscounted_segments == 0 && self.superblocks == 2
    }

    fn take(&mut self, error: Error) -> Result<(), Error> {
        if !is_damage(&error) {
            return Err(error);
        }
        self.errors += 1;
        if self.first_errors.len() < MOST_ERRORS {
            self.first_errors.push(error);
        }
        Ok(())
    }
}

pub(crate) async fn check(inner: &Inner, snapshot: &Snapshot) -> Result<Report, Error> {
    let mut report = Report { superblocks: superblock::read(&inner.disk).await?.whole, ..Report::default() };
    let table: Vec<u32> = inner.space().segments().map(|(_, s)| s.live).collect();
    let is_table_of_tree = inner.generation.get() == snapshot.held.view.root.generation;
    let live = walk(inner, snapshot, &mut report).await?;
    if is_table_of_tree && report.errors == 0 {
        let wrong = live.iter().zip(&table).filter(|(counted, live)| **counted != i64::from(**live));
        report.miscounted_segments = wrong.count() as u64;
    }
    read_all(snapshot, &mut report).await?;
    Ok(report)
}

/// Walks the tree, and counts what is live in each segment.
async fn walk(inner: &Inner, snapshot: &Snapshot, report: &mut Report) -> Result<Deltas, Error> {
    let mut live = Deltas::new(&inner.layout);
    if let Some(table) = inner.table.get() {
        live.change(table.segment, i64::from(table.len));
    }
    let Some(top) = snapshot.held.view.root.top else { return Ok(live) };
    report.levels = u32::from(top.level) + 1;
    let mut waiting: Vec<(Span, u8)> = vec![(top.span, top.level)];
    // No tree has more nodes than fit on the disk; one that a stranger made may refer to itself.
    let mut octets = inner.disk.geometry().octets();
    while let Some((span, level)) = waiting.pop() {
        octets = octets.checked_sub(u64::from(span.len)).ok_or(span.corrupt(super::Part::Node))?;
        live.change(span.segment, i64::from(node_len(span.len)));
        match inner.node_uncached(&span, level).await {
            Ok(node) => {
                report.nodes += 1;
                for index in 0..node.count() {
                    match node.slot(index) {
                        Slot::Child(child) => waiting.push((child, level - 1)),
                        Slot::Stored(spans) => spans.iter().for_each(|s| {
                            live.change(s.segment, i64::from(part_len(node.key(index).len(), s.len)));
                        }),
                        _ => {}
                    }
                }
            }
            // Reading in order meets it again, and counts it.
            Err(e) if is_damage(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(live)
}

async fn read_all(snapshot: &Snapshot, report: &mut Report) -> Result<(), Error> {
    let mut cursor = snapshot.range::<&[u8]>(..);
    loop {
        match cursor.next().await {
            Ok(Some((key, value))) => {
                report.keys += 1;
                report.octets += (key.len() + value.len()) as u64;
            }
            Ok(None) => return Ok(()),
            Err(e) => report.take(e)?,
        }
    }
}
