//! Making a store on a disk, and opening one.

use super::cache::Cache;
use super::checksum::crc32c;
use super::frame::{Before, SegmentHeader};
use super::inner::{Inner, Mode, Root, View};
use super::layout::{Layout, Span};
use super::lock::until;
use super::log::{Log, Position, SEARCH};
use super::node::MAX_LEVEL;
use super::replay::{Replay, Replayed};
use super::space::{Space, decode_table};
use super::superblock::{self, Moved, Superblock};
use super::{Error, OnDamage, Options, Part, Stats};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::pin::Pin;
use fata_libos::block::{Access, BlockError, Disk};
use fata_libos::task::spawn_detached;

/// Makes an empty store. What the disk held is lost.
pub(crate) async fn format(disk: &Disk, options: &Options) -> Result<(), Error> {
    let layout = Layout::new(disk.geometry(), options.segment)?;
    let (generation, epoch) = superblock::after_all(disk).await?;
    let mut id = [0; 16];
    fata_libos::entropy::fill(&mut id);
    // An opening has to read there whether the log went on.
    let mut next = 1;
    while next + 1 < layout.segments && layout.read(disk, next, 0, layout.sector).await.is_err() {
        next += 1;
    }
    let before = Before { segment: 0, offset: 0, seq: 1, chain: 0 };
    let header = SegmentHeader { log: 1, before, epoch, next };
    layout.write_header(disk, 0, &header.encode(crc32c(&id))).await?;
    disk.flush().await?;
    let tail = Position { segment: 0, offset: layout.sector, log: 1, seq: 1, epoch, chain: 0 };
    let superblock = Superblock { id, layout, generation, epoch, top: None, table: None, tail, durable: 0 };
    let moved = Moved::default();
    superblock::write(disk, &superblock, &moved).await?;
    superblock::clear_spares(disk, None, &moved).await?;
    Ok(disk.flush().await?)
}

/// Opens the store that is on a disk, and starts its tasks if it takes writes.
pub(crate) async fn open(disk: &Disk, options: Options) -> Result<Rc<Inner>, Error> {
    open_after(disk, options, None).await
}

/// Opens a store that has failed anew, as its last flush left it.
///
/// Behind that nothing is believed: after a flush that failed a cache may show what is not on the medium, and the next flush
/// says nothing of it.
pub(crate) async fn reopen(before: &Inner) -> Result<Rc<Inner>, Error> {
    // Nothing of before may be on its way to the disk.
    until(&before.mode_changed, || (before.tasks.get() == 0).then_some(())).await;
    if before.disk.geometry().access == Access::ReadOnly {
        return Err(Error::ReadOnly);
    }
    open_after(&before.disk, before.options.clone(), Some(before)).await
}

/// Whether a superblock is of this store, and nobody but us has opened it since.
fn is_of(superblock: &Superblock, before: &Inner) -> bool {
    let epoch = before.log().epoch;
    superblock.id == before.id && (epoch..=epoch.max(before.tried.get())).contains(&superblock.epoch)
}

/// What opening is, for the first time and for others: one piece of code in an image, wherever it is waited for.
fn open_after<'a>(
    disk: &'a Disk,
    options: Options,
    before: Option<&'a Inner>,
) -> Pin<Box<dyn Future<Output = Result<Rc<Inner>, Error>> + 'a>> {
    Box::pin(try_open(disk, options, before))
}

async fn try_open(disk: &Disk, options: Options, before: Option<&Inner>) -> Result<Rc<Inner>, Error> {
    let copies = superblock::read(disk).await?;
    let mut newest = copies.newest;
    let mut most = u64::MAX;
    if let Some(before) = before {
        if !is_of(&newest, before) {
            return Err(Error::OtherStore);
        }
        most = before.log().durable;
        newest.durable = newest.durable.max(most);
        newest.epoch = newest.epoch.max(before.tried.get());
    }
    if let Some(top) = newest.top
        && top.level > MAX_LEVEL
    {
        return Err(top.span.corrupt(Part::Node));
    }
    let salt = crc32c(&newest.id);
    let mut replayed = Replay::run(disk, &newest, salt, options.damage, most).await?;
    let mut is_read_only =
        options.access == Access::ReadOnly || disk.geometry().access == Access::ReadOnly || replayed.lost > 0;
    let live = match live_octets(disk, &newest).await {
        // Without the table nobody knows what may be written over.
        Err(_) if is_read_only || options.damage == OnDamage::Salvage => {
            is_read_only = true;
            Vec::new()
        }
        live => live?,
    };
    let mut space = space_of(&newest, &live, &replayed)?;
    let mut superblock = newest;
    let moved = Moved::default();
    if !is_read_only {
        let mut is_ended = true;
        superblock.generation += 1;
        // Where a copy is damaged it may have been the newer one, of another opening.
        superblock.epoch = superblock.epoch.max(replayed.head.epoch) + if copies.is_sure { 1 } else { 2 };
        superblock.durable = replayed.head.seq - 1;
        match before {
            Some(before) => is_ended = end_log(before, &replayed).await?,
            // What could not be read now may be read one day, and must not say then that the log went on there.
            None if replayed.is_next_unread => {
                is_ended = is_cleared(disk, superblock.layout, replayed.next).await?;
            }
            None => {}
        }
        disk.flush().await?;
        if let Some(before) = before {
            before.tried.set(superblock.epoch);
        }
        superblock::write(disk, &superblock, &moved).await?;
        superblock::clear_spares(disk, Some(&copies), &moved).await?;
        if !is_ended {
            choose_next(disk, &superblock, before, &mut replayed, &mut space).await?;
        }
    }
    let mode = if is_read_only { Mode::ReadOnly } else { Mode::Open };
    let inner = Rc::new(Inner { moved, ..assemble(disk, options, salt, superblock, space, replayed, mode) });
    inner.set_root(superblock.top, superblock.generation);
    if mode == Mode::Open {
        inner.tasks.set(2);
        spawn_detached(inner.clone().commit_all());
        spawn_detached(inner.clone().checkpoint_all());
    }
    Ok(inner)
}

/// Has the log end where it was found to end, whatever the store that failed had written behind. False if that takes another
/// next segment.
///
/// That store may have gone on elsewhere from this very place, and a header that says so would be followed once there are other
/// frames here: the next segment is to have none. A write that failed may still show one day, so what can be read there does not
/// count.
async fn end_log(before: &Inner, replayed: &Replayed) -> Result<bool, Error> {
    if !is_cleared(&before.disk, before.layout, replayed.next).await? {
        return Ok(false);
    }
    // On the medium it may be as it was before it was last written, or as that would have made it, and name another as next.
    if before.redirecting.get() == Some(replayed.head.segment) {
        name_next(&before.disk, before.layout, before.salt, replayed).await?;
    }
    Ok(true)
}

/// Has a segment without a header; false if that cannot be written.
async fn is_cleared(disk: &Disk, layout: Layout, segment: u32) -> Result<bool, Error> {
    match layout.clear_header(disk, segment).await {
        Err(Error::Block(BlockError::Failed { .. })) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Has the log's last segment name another one as next, where the header of the one that it named cannot be written. What is free
/// is so for sure only when the superblocks are on the medium.
///
/// At a first opening nobody need remember that this was under way: until it is done the log ends here, whichever is named.
async fn choose_next(
    disk: &Disk,
    superblock: &Superblock,
    before: Option<&Inner>,
    replayed: &mut Replayed,
    space: &mut Space,
) -> Result<(), Error> {
    let layout = superblock.layout;
    let mut cleared = Ok(());
    for _ in 0..SEARCH {
        let free = space.free();
        replayed.next = space.allocate(replayed.head.log + 1).ok_or(Error::Full { free })?;
        cleared = layout.clear_header(disk, replayed.next).await;
        if !matches!(cleared, Err(Error::Block(BlockError::Failed { .. }))) {
            break;
        }
    }
    cleared?;
    disk.flush().await?;
    if let Some(before) = before {
        before.redirecting.set(Some(replayed.head.segment));
    }
    name_next(disk, layout, crc32c(&superblock.id), replayed).await?;
    Ok(disk.flush().await?)
}

/// Writes the header of the log's last segment again.
async fn name_next(disk: &Disk, layout: Layout, salt: u32, replayed: &Replayed) -> Result<(), Error> {
    let Position { segment, log, .. } = replayed.head;
    let (sector, _) = layout.read(disk, segment, 0, layout.sector).await?;
    let header = SegmentHeader::decode(&sector, salt).filter(|header| header.log == log);
    let header = header.ok_or_else(|| replayed.head.corrupt(Part::Segment))?;
    layout.write_header(disk, segment, &SegmentHeader { next: replayed.next, ..header }.encode(salt)).await
}

/// The table of live octets by segment.
async fn live_octets(disk: &Disk, superblock: &Superblock) -> Result<Vec<u32>, Error> {
    let layout = superblock.layout;
    let Some(span) = superblock.table else { return Ok(vec![0; layout.segments as usize]) };
    if !layout.contains(&span) {
        return Err(span.corrupt(Part::Table));
    }
    let Span { segment, offset, len, crc } = span;
    let (buffer, start) = layout.read(disk, segment, offset, len).await?;
    let octets = &buffer[start..start + len as usize];
    let table = if crc32c(octets) == crc { decode_table(octets, layout) } else { None };
    table.ok_or_else(|| span.corrupt(Part::Table))
}

fn space_of(superblock: &Superblock, live: &[u32], replayed: &Replayed) -> Result<Space, Error> {
    let mut space = Space::new(superblock.layout, live);
    for (segment, log) in &replayed.segments {
        space.take(*segment, *log);
    }
    let (next, head) = (replayed.next, replayed.head);
    let is_of_tail = replayed.segments.iter().any(|(segment, _)| *segment == next);
    let is_live = live.get(next as usize).is_some_and(|octets| *octets > 0);
    if (is_of_tail || is_live) && replayed.lost == 0 {
        return Err(Error::Corrupt { segment: head.segment, offset: 0, what: Part::Segment });
    }
    space.take(next, head.log + 1);
    Ok(space)
}

fn assemble(
    disk: &Disk,
    options: Options,
    salt: u32,
    superblock: Superblock,
    space: Space,
    replayed: Replayed,
    mode: Mode,
) -> Inner {
    let head = replayed.head;
    let log = Log {
        head,
        next: replayed.next,
        epoch: superblock.epoch,
        complete: head.seq - 1,
        durable: superblock.durable,
        tail: replayed.tail,
    };
    let root = Rc::new(Root { top: superblock.top, generation: superblock.generation });
    let view = View { root, frozen: None, active: Rc::new(replayed.memtable), seq: replayed.seq };
    let counters = Stats {
        replayed_frames: replayed.frames,
        replayed_octets: replayed.octets,
        lost_frames: replayed.lost,
        ..Stats::default()
    };
    Inner {
        disk: disk.clone(),
        layout: superblock.layout,
        id: superblock.id,
        salt,
        mode: Cell::new(mode),
        view: RefCell::new(view),
        seen: Cell::new(0),
        roots: RefCell::default(),
        log: RefCell::new(log),
        tree_head: Cell::new(None),
        table: Cell::new(superblock.table),
        lock: Default::default(),
        frozen_at: Cell::new(None),
        tail: Cell::new(superblock.tail),
        generation: Cell::new(superblock.generation),
        space: RefCell::new(space),
        cache: RefCell::new(Cache::new(options.cache)),
        queue: Default::default(),
        rounds: Default::default(),
        counters: RefCell::new(counters),
        snapshots: Cell::new(0),
        mode_changed: Default::default(),
        tasks: Cell::new(0),
        tried: Cell::new(0),
        redirecting: Cell::new(None),
        moved: Moved::default(),
        options,
    }
}
