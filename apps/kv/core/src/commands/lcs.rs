//! `LCS`: the longest common subsequence of two strings.
//!
//! By the table of the lengths of those of all their beginnings (Cormen et al., Introduction to Algorithms, section 15.4).

use super::{Cx, words};
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::server::hub::has_memory;
use alloc::vec;
use alloc::vec::Vec;

/// The string of a key, empty where there is none.
fn string(cx: &mut Cx<'_>, at: usize) -> Result<Text, Fault> {
    let Some(found) = cx.store.read(cx.args.at(at)) else { return Ok(Text::from(&b""[..])) };
    let mut scratch = Vec::new();
    let octets = cx.store.object(found).value.octets(&mut scratch);
    let octets = octets.ok_or(Fault(&"ERR The specified keys must contain string values"))?;
    if has_memory(octets.len()) { Ok(Text::from(octets)) } else { Err(Fault::OUT_OF_MEMORY) }
}

/// The lengths for all beginnings of two strings: row by row, of `b.len() + 1` each.
struct Lengths {
    cells: Vec<u32>,
    width: usize,
}

impl Lengths {
    /// `None` where that takes more than `most` octets, or than there is memory.
    fn new(a: &[u8], b: &[u8], most: usize) -> Result<Self, Fault> {
        const MOST: Fault =
            Fault(&"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        const NONE: Fault = Fault(&"ERR Insufficient memory, failed allocating transient memory for LCS");
        let width = b.len() + 1;
        let count = (a.len() + 1).checked_mul(width).filter(|count| *count <= most / 4).ok_or(MOST)?;
        let mut cells = Vec::new();
        if !has_memory(count * 4) || cells.try_reserve_exact(count).is_err() {
            return Err(NONE);
        }
        cells.resize(width, 0);
        for octet in a {
            let (mut diagonal, mut left) = (0, 0);
            let above = cells.len() - width;
            cells.push(0);
            for (other, at) in b.iter().zip(above + 1..) {
                let up = cells[at];
                left = if octet == other { diagonal + 1 } else { left.max(up) };
                diagonal = up;
                cells.push(left);
            }
        }
        Ok(Self { cells, width })
    }

    fn at(&self, a: usize, b: usize) -> u32 {
        self.cells[a * self.width + b]
    }
}

/// What is wanted.
#[derive(Default)]
struct Options {
    len: bool,
    ranges: bool,
    with_len: bool,
    least: usize,
}

impl Options {
    fn parse(cx: &Cx<'_>) -> Result<Self, Fault> {
        let (mut options, mut n) = (Self::default(), 3);
        while n < cx.args.len() {
            match () {
                () if cx.args.is(n, "idx") => options.ranges = true,
                () if cx.args.is(n, "len") => options.len = true,
                () if cx.args.is(n, "withmatchlen") => options.with_len = true,
                () if cx.args.is(n, "minmatchlen") && n + 1 < cx.args.len() => {
                    n += 1;
                    options.least = usize::try_from(words::int(cx.args.at(n))?).unwrap_or(0);
                }
                () => return Err(Fault::SYNTAX),
            }
            n += 1;
        }
        if options.ranges && options.len {
            return Err(Fault(&"ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

pub(super) fn lcs(cx: &mut Cx<'_>) -> Reply {
    let (a, b) = (string(cx, 1)?, string(cx, 2)?);
    let options = Options::parse(cx)?;
    let lengths = Lengths::new(&a, &b, cx.hub.config.limits.bulk)?;
    let total = lengths.at(a.len(), b.len());
    if options.len {
        cx.out.int(total.into());
        return Ok(());
    }
    // From the end: the octets, and where runs of them begin in both, and how long they are.
    let (mut common, mut runs, mut run) = (vec![0; total as usize], Vec::new(), 0);
    let mut left = common.iter_mut().rev();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        let is_same = a[i - 1] == b[j - 1];
        if is_same {
            (i, j, run) = (i - 1, j - 1, run + 1);
            if let Some(octet) = left.next() {
                *octet = a[i];
            }
        }
        if run > 0 && (!is_same || i == 0 || j == 0) {
            if run >= options.least {
                runs.push((i, j, run));
            }
            run = 0;
        }
        if !is_same {
            if lengths.at(i - 1, j) > lengths.at(i, j - 1) { i -= 1 } else { j -= 1 }
        }
    }
    if !options.ranges {
        cx.out.bulk(&common);
        return Ok(());
    }
    cx.out.map(2);
    cx.out.bulk(b"matches");
    cx.out.array(runs.len());
    for (i, j, run) in runs {
        cx.out.array(if options.with_len { 3 } else { 2 });
        for first in [i, j] {
            cx.out.array(2);
            cx.out.count(first);
            cx.out.count(first + run - 1);
        }
        if options.with_len {
            cx.out.count(run);
        }
    }
    cx.out.bulk(b"len");
    cx.out.int(total.into());
    Ok(())
}
