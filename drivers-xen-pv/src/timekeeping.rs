//! The arithmetic of clocks: the time stamp counter's rate, its ticks in nanoseconds, the battery clock's fields in seconds.
//! Pure, so that the host tests it; `guest::clock` and `machine::clock` read the registers.

/// Nanoseconds in so many ticks, by the multiplier and the shift that Xen and kvmclock give (`tsc_to_system_mul`, of 32 bits
/// behind the point, and `tsc_shift`; `xen/include/public/xen.h`, Linux's `Documentation/virt/kvm/x86/msr.rst`).
pub(crate) fn nanoseconds(ticks: u64, mul: u32, shift: i8) -> u64 {
    let shifted = match shift {
        s @ 0..=63 => ticks << s,
        s => ticks >> s.unsigned_abs().min(63),
    };
    ((u128::from(shifted) * u128::from(mul)) >> 32) as u64
}

/// Ticks from the one reading to the other; none if it seems earlier. A guest's counter may have begun after the hypervisor
/// took its time: the time stamp then lies before 0, and wraps.
pub(crate) fn ticks_between(since: u64, now: u64) -> u64 {
    now.wrapping_sub(since).cast_signed().max(0).cast_unsigned()
}

/// Multiplier and shift for a counter of `hz` ticks a second (at least 1).
pub(crate) fn scale(hz: u64) -> (u32, i8) {
    let (mut mul, mut shift) = ((1_000_000_000 << 32) / hz.max(1), 0);
    while mul >> 32 != 0 {
        (mul, shift) = (mul >> 1, shift + 1);
    }
    (mul as u32, shift)
}

/// The counter's rate by the processor's leaf 0x15: crystal in Hz, and what its ticks are multiplied by (Intel SDM, volume
/// 3B, section 18.7.3). `None` where it does not tell all of it.
pub(crate) fn rate_by_crystal(denominator: u32, numerator: u32, crystal_hz: u32) -> Option<u64> {
    (u64::from(crystal_hz) * u64::from(numerator)).checked_div(denominator.into()).filter(|hz| *hz > 0)
}

/// Seconds since 1970 by the battery clock's registers: second, minute, hour, day, month, year of the century, in
/// binary-coded decimal and 24 hours, as every virtual machine has them. `None` where there is no clock, which reads as ones.
pub(crate) fn seconds_since_1970(fields: [u8; 6]) -> Option<u64> {
    let [second, minute, hour, day, month, year] = fields.map(|n| u32::from((n >> 4) * 10 + (n & 15)));
    if second > 60 || month == 0 || day == 0 {
        return None;
    }
    // The years run from March, and 2000 to 2099 have no exception to the rule of four.
    let (y, m) = if month > 2 { (year + 2000, month - 3) } else { (year + 1999, month + 9) };
    let days = 365 * (y - 1970) + (y / 4 - 492) + (153 * m + 2) / 5 + day + 58;
    Some(u64::from((days * 24 + hour) * 60 + minute) * 60 + u64::from(second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_specification_counts() {
        // msr.rst: time = (tsc - tsc_timestamp), shifted by tsc_shift, times tsc_to_system_mul, by 2^32; KVM's own values
        // for 2 GHz, 3 GHz and 1 GHz.
        assert_eq!(nanoseconds(2_000_000_000, 1 << 31, 0), 1_000_000_000);
        assert_eq!(nanoseconds(3_000_000_000, 2_863_311_530, -1), 999_999_999);
        assert_eq!(nanoseconds(1_000_000_000, 1 << 31, 1), 1_000_000_000);
        // Years of ticks do not overflow.
        assert_eq!(nanoseconds(1 << 62, 1 << 31, 0), 1 << 61);
        assert_eq!(nanoseconds(u64::MAX, u32::MAX, -128), 0);
    }

    #[test]
    fn the_counter_may_have_begun_after_the_time_stamp() {
        assert_eq!(ticks_between(1_000, 3_000), 2_000);
        assert_eq!(ticks_between(0_u64.wrapping_sub(5_000), 2_000), 7_000);
        assert_eq!(ticks_between(u64::MAX, u64::MAX - 1), 0);
        assert_eq!(ticks_between(3_000, 1_000), 0);
    }

    proptest! {
        #[test]
        fn a_second_is_a_second(hz in 100_000_u64..10_000_000_000) {
            let (mul, shift) = scale(hz);
            let second = nanoseconds(hz, mul, shift);
            prop_assert!((999_999_000..=1_000_000_000).contains(&second), "{second}");
        }

        #[test]
        fn nothing_overflows(fields: [u8; 6], hz: u64, ticks: u64, mul: u32, shift: i8) {
            let _ = (seconds_since_1970(fields), scale(hz), nanoseconds(ticks, mul, shift));
        }
    }

    #[test]
    fn rates_of_processors() {
        // An Intel of 3.6 GHz with a crystal of 24 MHz; one that leaves the crystal out; none.
        assert_eq!(rate_by_crystal(2, 300, 24_000_000), Some(3_600_000_000));
        assert_eq!(rate_by_crystal(2, 300, 0), None);
        assert_eq!(rate_by_crystal(0, 0, 0), None);
    }

    #[test]
    fn days_of_the_calendar() {
        for (fields, seconds) in [
            ([0x00, 0x00, 0x00, 0x01, 0x01, 0x00], 946_684_800),
            ([0x59, 0x59, 0x23, 0x29, 0x02, 0x24], 1_709_251_199),
            ([0x00, 0x00, 0x00, 0x01, 0x03, 0x24], 1_709_251_200),
            ([0x01, 0x02, 0x03, 0x31, 0x12, 0x99], 4_102_369_321),
        ] {
            assert_eq!(seconds_since_1970(fields), Some(seconds), "{fields:x?}");
        }
        assert_eq!(seconds_since_1970([0xff; 6]), None);
        assert_eq!(seconds_since_1970([0; 6]), None);
    }
}
