//! ChaCha20's stream (RFC 8439, 2.3): what the generator gives out, and what the pool mixes with.
//!
//! Of its own, not of a crate: those make four blocks at once, by code of 2 kB, where nearly each request here wants one.

use zeroize::Zeroize;

/// Octets of a key.
pub(super) const KEY: usize = 32;
/// Octets of a block.
pub(super) const BLOCK: usize = 64;

type Row = [u32; 4];

/// The stream of a key and a nonce, block by block; wiped when dropped. Its counter has 64 bits, which the RFC has as 32 bits of
/// counter and the first 32 of the nonce.
pub(super) struct Stream {
    rows: [Row; 4],
    block: [u8; BLOCK],
}

impl Stream {
    #[inline(never)]
    pub(super) fn new(key: &[u8; KEY], nonce: u64) -> Self {
        let mut rows = [[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574], [0; 4], [0; 4], [0; 4]];
        for (word, octets) in rows[1..3].as_flattened_mut().iter_mut().zip(key.as_chunks().0) {
            *word = u32::from_le_bytes(*octets);
        }
        (rows[3][2], rows[3][3]) = (nonce as u32, (nonce >> 32) as u32);
        Self { rows, block: [0; BLOCK] }
    }

    /// The next block.
    #[inline(never)]
    pub(super) fn next(&mut self) -> &[u8; BLOCK] {
        let mut rows = self.rows;
        for _ in 0..10 {
            quarter_rounds(&mut rows);
            diagonals(&mut rows, 1);
            quarter_rounds(&mut rows);
            diagonals(&mut rows, 3);
        }
        let words = rows.as_flattened().iter().zip(self.rows.as_flattened());
        for (octets, (word, start)) in self.block.as_chunks_mut().0.iter_mut().zip(words) {
            *octets = word.wrapping_add(*start).to_le_bytes();
        }
        // With the block, it is the key.
        rows.zeroize();
        let [low, high, ..] = &mut self.rows[3];
        *low = low.wrapping_add(1);
        *high = high.wrapping_add(u32::from(*low == 0));
        &self.block
    }
}

impl Drop for Stream {
    #[inline(never)]
    fn drop(&mut self) {
        self.rows.zeroize();
        self.block.zeroize();
    }
}

/// Four quarter rounds side by side.
fn quarter_rounds([a, b, c, d]: &mut [Row; 4]) {
    step(a, b, d, 16);
    step(c, d, b, 12);
    step(a, b, d, 8);
    step(c, d, b, 7);
}

#[inline(always)]
fn step(sum: &mut Row, added: &Row, turned: &mut Row, by: u32) {
    for n in 0..4 {
        sum[n] = sum[n].wrapping_add(added[n]);
        turned[n] = (turned[n] ^ sum[n]).rotate_left(by);
    }
}

/// Turns rows 1 to 3 so that diagonals stand in columns, with `by` of 1, and back, with 3.
#[inline(always)]
fn diagonals(rows: &mut [Row; 4], by: usize) {
    for n in 1..4 {
        let row = rows[n];
        rows[n] = core::array::from_fn(|column| row[(column + n * by) % 4]);
    }
}
