//! When the peer is told that its data has come (RFC 9293, 3.8.6.3).

use fata_libos::time::{Duration, Instant};

use super::spread::{LONG_WAY, Pace, Part};
use super::{Machine, NEVER, Seq};

/// An acknowledgement waits this long for company (RFC 9293, 3.8.6.3, allows 500 ms).
const DELAY: Duration = Duration::from_millis(40);
/// Segments at the beginning that are acknowledged at once, so that the peer's window opens.
pub(super) const QUICK: u8 = 16;
/// Over a long way an acknowledgement goes out as soon as so much has come, though more of the same burst follows: who sends
/// without a pace of his own sends as much at once as one acknowledgement covers, and measures the path with each.
const PART: u32 = 60_000;
/// Over a short way, where at least so much comes in a round trip, an acknowledgement waits for half of it.
const BULK: u32 = 64 << 10;
/// No longer than until so much has come, as one acknowledgement is to cover no more than what the queues before the guest take
/// at once, and no longer than for so long.
const COMPANY: u32 = 192 << 10;
const SHORT_DELAY: Duration = Duration::from_millis(1);

impl Machine {
    /// Whether what has come is acknowledged before what follows in the same burst.
    pub(crate) fn is_to_acknowledge(&self) -> bool {
        let rcv = &self.rcv;
        self.is_long_way() && (rcv.ack_now || rcv.part == Part::Due) && rcv.next - rcv.acked >= PART
    }

    /// Decides when what came in order is acknowledged (RFC 9293, 3.8.6.3).
    pub(super) fn plan_acknowledgement(&mut self, now: Instant) {
        let company = self.company();
        let rcv = &mut self.rcv;
        let waiting = rcv.next - rcv.acked;
        if rcv.ack_now || waiting == 0 {
            return;
        }
        match rcv.part {
            Part::Nothing => {}
            Part::Later if company.is_some_and(|company| waiting >= company) => {
                rcv.part = Part::Due;
                return;
            }
            Part::Due | Part::Later => return,
        }
        // Two segments' worth, or so much of a small window that the peer may have to wait for it.
        let enough = waiting >= 2 * rcv.mss || waiting as usize * 2 >= rcv.limit;
        if enough && rcv.quick == 0 && company.is_some_and(|company| waiting < company) {
            (rcv.part, rcv.ack_at) = (Part::Later, now + SHORT_DELAY);
        } else if enough || rcv.quick > 0 {
            rcv.quick = rcv.quick.saturating_sub(1);
            self.acknowledge_part(now);
        } else if rcv.ack_at == NEVER {
            rcv.ack_at = now + DELAY;
        }
    }

    /// The number up to which the peer is told now that its data has come: to the end, but for the rest of a long burst, and when
    /// that is told.
    pub(super) fn told(&mut self, now: Instant) -> (Seq, Instant) {
        let pace = self.pace_of_acknowledgements();
        let rcv = &mut self.rcv;
        let Some(pace) = pace else { return (rcv.next, NEVER) };
        let waiting = rcv.next - rcv.acked;
        let all = rcv.ack_now || !rcv.assembler.is_empty();
        let saved = waiting.min(rcv.spread.allowance(now, pace));
        let allowed = if all { waiting } else { saved };
        // What had to be told at once is not charged to what follows.
        rcv.spread.spend(now, saved, pace);
        let rest = waiting - allowed;
        (rcv.next - rest, if rest > 0 { pace.next(now, rest) } else { NEVER })
    }

    /// Whether the way itself is long: queues on it, which the peer's data fills, make no short one long.
    fn is_long_way(&self) -> bool {
        self.way_here().min(self.rtt.least()) >= LONG_WAY
    }

    /// How much is acknowledged together over a short way. Each acknowledgement costs dom0, which is what bounds the rate there,
    /// as much as a packet of 64 KiB does; two a round trip keep the peer sending.
    fn company(&self) -> Option<u32> {
        let flow = u32::from(self.rcv.flow) << 10;
        (flow >= BULK && !self.is_long_way()).then_some((flow / 2).min(COMPANY))
    }

    fn pace_of_acknowledgements(&self) -> Option<Pace> {
        if !self.is_long_way() {
            return None;
        }
        let flight = self.rcv.copied_before.max(self.rcv.copied).saturating_mul(2);
        Pace::new(flight, self.way_here())
    }

    /// What has come in order is due: now, or where the pace has no room for it, in its time.
    fn acknowledge_part(&mut self, now: Instant) {
        let pace = self.pace_of_acknowledgements();
        let rcv = &mut self.rcv;
        let waiting = rcv.next - rcv.acked;
        match pace.filter(|&pace| rcv.spread.allowance(now, pace) < waiting.min(2 * rcv.mss)) {
            None => rcv.part = Part::Due,
            Some(pace) => (rcv.part, rcv.ack_at) = (Part::Later, pace.next(now, waiting)),
        }
    }
}
