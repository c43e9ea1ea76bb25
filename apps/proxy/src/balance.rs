//! Which server gets the next request: the one with the fewest under way for its weight, in turns where that is a tie.

/// What is to be known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests under way.
    pub under_way: usize,
    /// The most at once.
    pub limit: usize,
    /// How much more it takes than a server of weight 1; 0: nothing.
    pub weight: u32,
    /// Whether it is thought to answer.
    pub is_up: bool,
}

/// Servers that a request has been to, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

/// The most servers of a pool.
pub const MOST: usize = 64;

impl Tried {
    /// It has been to that one.
    pub fn add(&mut self, server: usize) {
        self.0 |= 1 << (server % MOST);
    }

    /// Whether it has.
    pub fn has(self, server: usize) -> bool {
        self.0 >> (server % MOST) & 1 == 1
    }

    /// How many it has been to.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether it has been to none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes to this one.
    Server(usize),
    /// All that could take it have as many as they may.
    Full,
    /// None is up that it has not been to.
    Down,
    /// There is one, but its client has as many as one client may.
    Held,
}

/// Chooses among `loads`; of those that are equal the first from `turn` on.
pub fn choose(loads: impl ExactSizeIterator<Item = Load> + Clone, turn: usize, tried: Tried) -> Choice {
    let count = loads.len();
    let able = |n: usize, load: &Load| load.is_up && load.weight > 0 && !tried.has(n);
    let mut best: Option<(usize, Load)> = None;
    let mut is_any_up = false;
    for (n, load) in loads.enumerate().filter(|(n, load)| able(*n, load)) {
        is_any_up = true;
        if load.under_way >= load.limit {
            continue;
        }
        let is_better = best.is_none_or(|(held, other)| {
            let (ours, theirs) = (cost(&load, &other), cost(&other, &load));
            ours < theirs || ours == theirs && distance(n, turn, count) < distance(held, turn, count)
        });
        if is_better {
            best = Some((n, load));
        }
    }
    match best {
        Some((n, _)) => Choice::Server(n),
        None if is_any_up => Choice::Full,
        None => Choice::Down,
    }
}

/// To be compared with that of the other: what it would have under way for its weight, both times the product of the weights.
fn cost(load: &Load, other: &Load) -> u64 {
    (load.under_way as u64 + 1).saturating_mul(other.weight.into())
}

fn distance(n: usize, turn: usize, count: usize) -> usize {
    (n + count - turn % count) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(under_way: usize) -> Load {
        Load { under_way, limit: 10, weight: 1, is_up: true }
    }

    fn choose_of(loads: &[Load], turn: usize, tried: &[usize]) -> Choice {
        let mut been = Tried::default();
        tried.iter().for_each(|&n| been.add(n));
        choose(loads.iter().copied(), turn, been)
    }

    #[test]
    fn the_one_with_the_fewest() {
        let (busy, idle) = (load(3), load(1));
        let down = Load { is_up: false, ..load(0) };
        let full = Load { limit: 1, ..load(1) };
        let heavy = Load { weight: 3, ..load(3) };
        let none = Load { weight: 0, ..load(0) };
        for (loads, turn, tried, choice) in [
            (&[busy, idle][..], 0, &[][..], Choice::Server(1)),
            (&[idle, idle, idle], 0, &[], Choice::Server(0)),
            (&[idle, idle, idle], 1, &[], Choice::Server(1)),
            (&[idle, idle, idle], 5, &[], Choice::Server(2)),
            (&[idle, busy, idle], 1, &[], Choice::Server(2)),
            (&[idle, busy], 0, &[0], Choice::Server(1)),
            (&[down, busy], 0, &[], Choice::Server(1)),
            (&[full, busy], 0, &[], Choice::Server(1)),
            (&[full, full], 0, &[], Choice::Full),
            (&[full, down], 0, &[], Choice::Full),
            (&[down, down], 0, &[], Choice::Down),
            (&[idle], 0, &[0], Choice::Down),
            (&[none], 0, &[], Choice::Down),
            (&[], 0, &[], Choice::Down),
            // 4 for 3 are fewer than 2 for 1.
            (&[idle, heavy], 0, &[], Choice::Server(1)),
            (&[load(0), heavy], 0, &[], Choice::Server(0)),
        ] {
            assert_eq!(choose_of(loads, turn, tried), choice, "{loads:?} {turn} {tried:?}");
        }
    }

    /// In the long run each gets what its weight is.
    #[test]
    fn weights() {
        let mut loads = [Load { weight: 3, limit: 1000, ..load(0) }, Load { limit: 1000, ..load(0) }];
        for turn in 0..400 {
            let Choice::Server(n) = choose_of(&loads, turn, &[]) else { panic!() };
            loads[n].under_way += 1;
        }
        assert_eq!(loads.map(|load| load.under_way), [300, 100]);
    }
}
