//! Wall-clock times for people: the monotonic microseconds of the records, set on the time of the start.

use crate::config::duration_us;
use crate::config::mutes::unix_us;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall-clock moment of monotonic microsecond 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: SystemTime,
}

impl Clock {
    /// Sets it on the wall-clock time at which the monotonic clock was 0.
    pub(crate) fn new(origin: SystemTime) -> Self {
        Self { origin }
    }

    /// Microseconds since 1970.
    pub(crate) fn unix_us(self, at_us: u64) -> u64 {
        let since = self.origin.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_add(at_us)
    }

    /// RFC 3339 in UTC with milliseconds.
    pub(crate) fn rfc3339(self, at_us: u64) -> String {
        let since = self.origin.duration_since(UNIX_EPOCH).unwrap_or_default();
        spell(since.saturating_add(Duration::from_micros(at_us)))
    }
}

/// A stretch of time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) from_us: u64,
    /// Not in it any more.
    pub(crate) to_us: u64,
}

impl TimeRange {
    /// Whether a moment lies in it.
    pub(crate) fn holds(self, unix_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&unix_us)
    }

    /// Whether something that lasted from the first to the last moment reaches into it.
    pub(crate) fn meets(self, first_us: u64, last_us: u64) -> bool {
        first_us < self.to_us && last_us >= self.from_us
    }
}

/// RFC 3339 in UTC with milliseconds, of microseconds since 1970.
pub(crate) fn rfc3339_unix(unix_us: u64) -> String {
    spell(Duration::from_micros(unix_us))
}

/// RFC 3339 in UTC, `now`, or a duration before now (`-1h`), as microseconds since 1970.
pub(crate) fn moment(text: &str, now_us: u64) -> Option<u64> {
    match (text, text.strip_prefix('-')) {
        ("now", _) => Some(now_us),
        (_, Some(before)) => Some(now_us.saturating_sub(duration_us(before).ok()?)),
        _ => unix_us(text),
    }
}

/// Microseconds since 1970, now.
pub(crate) fn now_unix_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// `yyyymmddThhmmssZ` of microseconds since 1970.
pub(crate) fn compact(unix_us: u64) -> String {
    let text = rfc3339_unix(unix_us);
    let kept = text.chars().filter(|c| c.is_ascii_digit() || *c == 'T').take(15);
    kept.chain(['Z']).collect()
}

fn spell(since: Duration) -> String {
    let (secs, ms) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = civil(secs / 86_400);
    let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Days since 1970-01-01 as a Gregorian date. A year is taken to begin in March, so that the leap day is its
/// last; 400 such years always have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_utc_with_milliseconds() {
        let rows = [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799, 999_999, "2024-02-28T23:59:59.999Z"),
            (1_735_689_599, 1_000_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, 500, "2100-03-01T00:00:00.000Z"),
        ];
        for (secs, us, expected) in rows {
            let clock = Clock::new(UNIX_EPOCH + Duration::from_secs(secs));
            assert_eq!(clock.rfc3339(us), expected);
        }
    }
}
