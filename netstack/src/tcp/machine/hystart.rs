//! HyStart++ (RFC 9406): slow start ends where the round trips get longer, before the queue on the path overflows.

use super::Seq;
use fata_libos::time::Duration;

const LEAST_THRESHOLD: Duration = Duration::from_millis(4);
const MOST_THRESHOLD: Duration = Duration::from_millis(16);
const DIVISOR: u32 = 8;
const SAMPLES: u32 = 8;
/// How much slower growth is while it is not sure.
pub(super) const CSS_DIVISOR: u32 = 4;
/// Rounds of that, with the part of one in which it began (RFC 9406, 4.2).
const CSS_ROUNDS: u32 = 5;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HyStart {
    /// A round ends when this is acknowledged.
    end: Option<Seq>,
    last: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
    /// Conservative slow start: the least time when it began, and rounds of it.
    css: Option<(Duration, u32)>,
}

impl HyStart {
    /// Whether growth is to be slower now.
    pub(super) fn is_careful(&self) -> bool {
        self.css.is_some()
    }

    /// Takes an acknowledgement in slow start: true when that is to end.
    pub(super) fn acknowledged(&mut self, una: Seq, next: Seq, rtt: Option<Duration>) -> bool {
        let end = *self.end.get_or_insert(next);
        if let Some(rtt) = rtt {
            self.samples += 1;
            self.current = Some(self.current.map_or(rtt, |least| least.min(rtt)));
        }
        self.look();
        if una.before(end) {
            return false;
        }
        (self.end, self.samples) = (Some(next), 0);
        (self.last, self.current) = (self.current, None);
        match &mut self.css {
            Some((_, rounds)) => {
                *rounds += 1;
                *rounds >= CSS_ROUNDS
            }
            None => false,
        }
    }

    fn look(&mut self) {
        if self.samples < SAMPLES {
            return;
        }
        match (self.css, self.current, self.last) {
            (Some((base, _)), Some(current), _) if current < base => self.css = None,
            (None, Some(current), Some(last)) => {
                let threshold = (last / DIVISOR).clamp(LEAST_THRESHOLD, MOST_THRESHOLD);
                if current >= last + threshold {
                    self.css = Some((current, 0));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten samples a round: in which round slow start ends, and in which it became careful.
    fn rounds(rtts: &[u64]) -> (Option<usize>, Option<usize>) {
        let mut hystart = HyStart::default();
        let (mut done, mut careful) = (None, None);
        for (round, rtt) in rtts.iter().enumerate() {
            for n in 0..10 {
                let una = Seq(10 * round as u32 + n + 1);
                if hystart.acknowledged(una, una + 10, Some(Duration::from_millis(*rtt))) && done.is_none() {
                    done = Some(round);
                }
                if hystart.is_careful() && careful.is_none() {
                    careful = Some(round);
                }
            }
        }
        (done, careful)
    }

    #[test]
    fn longer_round_trips_end_slow_start_after_five_rounds() {
        assert_eq!(rounds(&[50; 12]), (None, None));
        let (done, careful) = rounds(&[50, 50, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60]);
        assert_eq!(careful, Some(2));
        // The rest of the round in which it became careful, and four more (RFC 9406, 4.2); a round ends with the first of ten here.
        assert_eq!(done, Some(7));
    }

    #[test]
    fn a_small_or_passing_change_does_not() {
        assert_eq!(rounds(&[50, 50, 53, 53, 53, 53, 53, 53, 53, 53]), (None, None));
        let (done, careful) = rounds(&[50, 50, 60, 50, 50, 50, 50, 50, 50, 50]);
        assert_eq!((done, careful), (None, Some(2)));
    }
}
