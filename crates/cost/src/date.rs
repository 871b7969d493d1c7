//! Days, as prices bear them.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::CostError;

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

const SECONDS_PER_DAY: u64 = 86_400;

impl Date {
    /// A day, where there is such a day.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Date> {
        let known = (1900..=9999).contains(&year) && (1..=12).contains(&month);
        (known && (1..=days_in(year, month)).contains(&day)).then_some(Date { year, month, day })
    }

    /// The day of a moment, in UTC.
    pub fn of(time: SystemTime) -> Date {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Date::from_days((seconds / SECONDS_PER_DAY).min(2_000_000) as i64)
    }

    /// Days from another to this one; negative where this one is earlier.
    pub fn days_since(self, other: Date) -> i64 {
        self.days() - other.days()
    }

    /// Days since 1970-01-01. After Howard Hinnant's `days_from_civil`: years begin in March, so that the day that comes and
    /// goes is the last of its year.
    fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The inverse of [`Date::days`].
    fn from_days(days: i64) -> Date {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        Date { year: year as i32, month: month as u8, day: day as u8 }
    }
}

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = CostError;

    fn from_str(text: &str) -> Result<Date, CostError> {
        let wrong = || CostError::Word(format!("`{text}` is no date; write one as 2026-07-20"));
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(wrong());
        }
        let number = |from: usize, to: usize| {
            text.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
        };
        let parts = number(0, 4).zip(number(5, 7)).zip(number(8, 10));
        let date = parts.and_then(|((year, month), day): ((u16, u16), u16)| {
            Date::new(i32::from(year), month as u8, day as u8)
        });
        date.ok_or_else(wrong)
    }
}

impl TryFrom<String> for Date {
    type Error = CostError;

    fn try_from(text: String) -> Result<Date, CostError> {
        text.parse()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().expect("a date")
    }

    #[test]
    fn days_are_counted_through_leap_years_and_back() {
        assert_eq!(date("1970-01-01").days(), 0);
        assert_eq!(date("2026-11-28").days_since(date("2026-07-20")), 131);
        assert_eq!(date("2024-03-01").days_since(date("2024-02-28")), 2);
        assert_eq!(date("2025-03-01").days_since(date("2025-02-28")), 1);
        for days in (-20_000..60_000).step_by(17) {
            assert_eq!(Date::from_days(days).days(), days);
        }
        let moment = UNIX_EPOCH + Duration::from_secs(1_795_824_000);
        assert_eq!(Date::of(moment).to_string(), "2026-11-28");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in
            ["2026-02-29", "2026-13-01", "2026-00-10", "26-07-20", "2026-7-20", "mid-2026", "", "20é6-1-11"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!(date("2024-02-29").to_string(), "2024-02-29");
    }
}
