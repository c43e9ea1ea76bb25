//! Going through an archive, from header to header.

use super::header::{self, BLOCK, Block, Header, Kind};
use super::index::{Builder, Entry, Index};
use super::source::{self, Octets, Source};
use super::{Error, Limits, name, pax};
use alloc::vec::Vec;

/// What is read at once: headers of small files are near each other.
const WINDOW: usize = 64 << 10;
/// The longest name of GNU, or the most records of pax for one entry, octets.
const MOST_EXTRA: usize = 64 << 10;
/// Headers for each entry that is allowed: its own, one or two with what is long of it, and those of directories.
const HEADERS_OF_ENTRY: usize = 4;

/// Makes the index of an archive.
pub async fn index(source: &Source, limits: &Limits) -> Result<Index, Error> {
    let mut scan = Scan::new(source, limits);
    if !header::is_header(&source.first().await?) {
        return Err(Error::NotAnArchive);
    }
    while scan.step().await? == Step::On {}
    Ok(scan.builder.finish())
}

#[derive(PartialEq, Eq)]
enum Step {
    On,
    End,
}

/// What stands before an entry and changes what its header says.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    len: Option<u64>,
    modified: Option<u64>,
}

struct Scan<'a> {
    source: &'a Source,
    limits: &'a Limits,
    builder: Builder,
    /// Where the next header is.
    at: u64,
    /// Headers that may still come, of whatever kind.
    headers: usize,
    extra: Extra,
    /// What was read, and where that begins.
    window: Option<Octets>,
    window_at: u64,
}

impl<'a> Scan<'a> {
    fn new(source: &'a Source, limits: &'a Limits) -> Self {
        let builder = Builder::new(limits);
        let headers = limits.entries.saturating_mul(HEADERS_OF_ENTRY);
        Self { source, limits, builder, at: 0, headers, extra: Extra::default(), window: None, window_at: 0 }
    }

    /// The header at a place; `None` behind the last one that can be there.
    async fn block(&mut self) -> Result<Option<Block>, Error> {
        loop {
            let skipped =
                self.at.checked_sub(self.window_at).and_then(|skipped| usize::try_from(skipped).ok());
            let window = self.window.as_deref().unwrap_or_default();
            let block = skipped.and_then(|skipped| window.get(skipped..)).and_then(<[u8]>::first_chunk);
            if let Some(block) = block {
                return Ok(Some(*block));
            }
            let left = self.source.len().saturating_sub(self.at);
            if left < BLOCK as u64 {
                return Ok(None);
            }
            self.window = Some(self.source.piece(self.at, left.min(WINDOW as u64) as usize).await?);
            self.window_at = self.at;
        }
    }

    async fn step(&mut self) -> Result<Step, Error> {
        let at = self.at;
        let Some(block) = self.block().await? else { return Ok(Step::End) };
        // Two blocks of zeros end an archive; nobody has one in its midst.
        if block == [0; BLOCK] {
            return Ok(Step::End);
        }
        let most = self.limits.entries;
        self.headers = self.headers.checked_sub(1).ok_or(Error::Entries { most })?;
        let mut header = header::parse(&block).map_err(|field| Error::Header { at, field })?;
        let content = at + BLOCK as u64;
        match header.kind {
            Kind::HardLink | Kind::SymbolicLink | Kind::Directory | Kind::Special => header.len = 0,
            Kind::LongName | Kind::LongLink | Kind::Pax | Kind::PaxForAll => {}
            _ => header.len = self.extra.len.unwrap_or(header.len),
        }
        self.at = self.behind(content, header.len)?;
        match header.kind {
            Kind::LongName => self.extra.name = Some(self.long(content, header.len).await?),
            Kind::LongLink => self.extra.link = Some(self.long(content, header.len).await?),
            Kind::Pax => self.records(content, header.len).await?,
            // Names and sizes for all make no sense; a comment does, such as git's.
            Kind::PaxForAll => {}
            Kind::Sparse => return Err(Error::Unsupported { at, what: "sparse files" }),
            Kind::Continued => return Err(Error::Unsupported { at, what: "archives of several volumes" }),
            _ => self.entry(at, &header)?,
        }
        Ok(Step::On)
    }

    /// Where the header behind some content is; an error where the archive ends before.
    fn behind(&self, content: u64, len: u64) -> Result<u64, Error> {
        let octets = self.source.len();
        let end = content.checked_add(len).filter(|end| *end <= octets);
        let end = end.and_then(|end| end.checked_next_multiple_of(BLOCK as u64));
        end.ok_or(Error::CutOff { at: self.at, octets })
    }

    fn entry(&mut self, at: u64, header: &Header<'_>) -> Result<(), Error> {
        let Extra { name, link, modified, .. } = core::mem::take(&mut self.extra);
        let wrong = Error::Name { at };
        let name = match &name {
            Some(name) => name::clean(b"", name),
            None => name::clean(header.prefix, header.name),
        };
        let name = name.ok_or(wrong)?;
        let link = link.as_deref().unwrap_or(header.link);
        match header.kind {
            Kind::Directory => Ok(()),
            // The archive's own root is no file.
            _ if name.is_empty() => {
                self.builder.leave_out();
                Ok(())
            }
            Kind::File => {
                let modified = modified.or(header.modified).unwrap_or_default();
                self.builder.file(name, Entry { offset: at + BLOCK as u64, len: header.len, modified })
            }
            Kind::HardLink => self.builder.hard_link(name, name::clean(b"", link).ok_or(wrong)?),
            Kind::SymbolicLink => {
                let link = core::str::from_utf8(link).map_err(|_| wrong)?;
                self.builder.symbolic_link(name, link)
            }
            _ => {
                self.builder.leave_out();
                Ok(())
            }
        }
    }

    /// A name of GNU: it ends with a zero.
    async fn long(&self, content: u64, len: u64) -> Result<Vec<u8>, Error> {
        let mut name = self.extra(content, len).await?;
        if let Some(end) = name.iter().position(|octet| *octet == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    async fn records(&mut self, content: u64, len: u64) -> Result<(), Error> {
        let at = content - BLOCK as u64;
        let octets = self.extra(content, len).await?;
        let records = pax::parse(&octets).ok_or(Error::Header { at, field: "record of pax" })?;
        if records.is_sparse {
            return Err(Error::Unsupported { at, what: "sparse files" });
        }
        let pax::Records { path, link, len, modified, .. } = records;
        self.extra.name = path.map(<[u8]>::to_vec).or_else(|| self.extra.name.take());
        self.extra.link = link.map(<[u8]>::to_vec).or_else(|| self.extra.link.take());
        self.extra.len = len.or(self.extra.len);
        self.extra.modified = modified.or(self.extra.modified);
        Ok(())
    }

    async fn extra(&self, content: u64, len: u64) -> Result<Vec<u8>, Error> {
        let fits = usize::try_from(len).ok().filter(|len| *len <= MOST_EXTRA);
        let at = content - BLOCK as u64;
        let fits = fits.ok_or(Error::LongHeader { at, octets: len, most: MOST_EXTRA })?;
        let mut octets = source::zeroed(fits)?;
        self.source.read(content, &mut octets).await?;
        Ok(octets)
    }
}
