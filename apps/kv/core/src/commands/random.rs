//! Elements at random.

use crate::evict::Dice;
use crate::fault::Fault;
use alloc::vec::Vec;

/// The most that are told at once where one may be told several times.
const MOST: i64 = 1 << 20;

/// What is picked by drawing.
const FEW: usize = 1024;

/// Places below `len`: `count` different ones, as many as there are, in order where all of them; or where that is negative
/// as many as its magnitude, the same ones again or not.
pub fn pick(dice: &mut Dice, len: usize, count: i64, pairs: bool) -> Result<Vec<usize>, Fault> {
    let most = if pairs { i64::MAX / 2 } else { i64::MAX };
    if !(-most..=most).contains(&count) {
        return Err(Fault::OUT_OF_RANGE);
    }
    if len == 0 || count == 0 {
        return Ok(Vec::new());
    }
    if count < 0 {
        let times = count.unsigned_abs().min(MOST.unsigned_abs());
        return Ok((0..times).map(|_| dice.below(len)).collect());
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count >= len {
        return Ok((0..len).collect());
    }
    if count < FEW {
        // Floyd's: as many draws as there are to be, each different.
        let mut picked: Vec<usize> = Vec::with_capacity(count);
        for top in len - count..len {
            let one = dice.below(top + 1);
            let Err(at) = picked.binary_search(&one) else {
                // It is larger than all.
                picked.push(top);
                continue;
            };
            picked.insert(at, one);
        }
        return Ok(picked);
    }
    // One after the other, each with the chance that it is among those that are still to be picked.
    let mut left = count;
    let mut picked = Vec::with_capacity(count);
    for place in 0..len {
        if dice.below(len - place) < left {
            picked.push(place);
            left -= 1;
        }
    }
    Ok(picked)
}
