//! The time of day, and its calendar form in UTC.

use super::Duration;

/// A moment of the wall clock: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime(Duration);

impl SystemTime {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(Duration::ZERO);

    /// Now, as the platform knows it.
    pub fn now() -> Self {
        Self::at(super::Instant::now())
    }

    /// The time of day of [`Instant::recent`](super::Instant::recent).
    pub fn recent() -> Self {
        Self::at(super::Instant::recent())
    }

    fn at(moment: super::Instant) -> Self {
        crate::task::platform().wall_clock(moment)
    }

    /// The moment `since` after the epoch.
    pub const fn from_unix(since: Duration) -> Self {
        Self(since)
    }

    /// The time since the epoch.
    pub const fn since_unix(self) -> Duration {
        self.0
    }

    /// The calendar date and time in UTC.
    pub fn utc(self) -> UtcDateTime {
        UtcDateTime::from_unix_seconds(self.0.as_secs())
    }
}

/// A date and time of the Gregorian calendar, UTC. Its `Display` is RFC 3339 (`2026-11-21T01:37:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcDateTime {
    /// The year, as people count.
    pub year: u64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

impl UtcDateTime {
    /// From seconds since 1970-01-01T00:00:00Z.
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let (year, month, day) = civil_from_days(days);
        let rest = (seconds % 86_400) as u32;
        Self {
            year,
            month,
            day,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: ((days + 4) % 7) as u8,
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z; `weekday` is not looked at. `None` before 1970 or for a field out of range.
    pub fn to_unix_seconds(&self) -> Option<u64> {
        let in_range = (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        in_range.then(|| {
            let clock = u64::from(self.hour) * 3600 + u64::from(self.minute) * 60;
            days_from_civil(self.year, self.month, self.day) * 86_400 + clock + u64::from(self.second)
        })
    }
}

impl core::fmt::Display for UtcDateTime {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Years are counted from March, so that the leap day is a year's last; 719,468 days lie between 0000-03-01 and 1970-01-01.
fn civil_from_days(days: u64) -> (u64, u8, u8) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * m + 2) / 5 + 1) as u8;
    let month = if m < 10 { m + 3 } else { m - 9 } as u8;
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days_from_civil(year: u64, month: u8, day: u8) -> u64 {
    let (m, y) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (era, of_era) = (y / 400, y % 400);
    let of_year = (153 * u64::from(m) + 2) / 5 + u64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text, weekday) in [
            (0, "1970-01-01T00:00:00Z", 4),
            (951_782_400, "2000-02-29T00:00:00Z", 2),
            (1_709_164_799, "2024-02-28T23:59:59Z", 3),
            (4_107_542_400, "2100-03-01T00:00:00Z", 1),
            (784_111_777, "1994-11-06T08:49:37Z", 0),
        ] {
            let utc = UtcDateTime::from_unix_seconds(seconds);
            assert_eq!(alloc::format!("{utc}"), text);
            assert_eq!(utc.weekday, weekday, "{text}");
            assert_eq!(utc.to_unix_seconds(), Some(seconds));
        }
    }

    #[test]
    fn every_day_of_four_centuries_goes_there_and_back() {
        for day in 0..146_097u64 {
            let utc = UtcDateTime::from_unix_seconds(day * 86_400);
            assert_eq!(utc.to_unix_seconds(), Some(day * 86_400));
        }
    }
}
