//! The beginning of PostHog events: uuid and time. `bridge_posthog.heads` says what they mean.

const HEAD: &[u8; 84] = br#"{"uuid":"00000000-0000-8000-8000-000000000000","timestamp":"0000-00-00T00:00:00.000Z"#;
const UUID: usize = 9;
const TIME: usize = 60;
/// Where a uuid's bytes stand, each as two digits.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const VERSION: usize = 14;
const VARIANT: usize = 19;
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// 9999-12-31T23:59:59.999Z
const LAST: i64 = 253_402_300_799_999;
const DAY: i64 = 86_400_000;

/// Writes one head behind the other; those of one day share the date.
pub struct Heads {
    today: (i64, [u8; 10]),
}

impl Heads {
    pub fn new() -> Self {
        Heads { today: (i64::MIN, [b'0'; 10]) }
    }

    /// The head of an event, from 16 bytes and a time in milliseconds since the epoch; None beyond the calendar.
    pub fn of(&mut self, digest: [u8; 16], time: i64) -> Option<[u8; HEAD.len()]> {
        if !(0..=LAST).contains(&time) {
            return None;
        }
        if self.today.0 != time / DAY {
            self.today = (time / DAY, date(time / DAY));
        }
        Some(head(digest, self.today.1, time % DAY))
    }
}

fn head(digest: [u8; 16], date: [u8; 10], millisecond: i64) -> [u8; HEAD.len()] {
    let mut head = *HEAD;
    let uuid = &mut head[UUID..];
    for (&byte, place) in digest.iter().zip(PLACES) {
        uuid[place] = DIGITS[usize::from(byte >> 4)];
        uuid[place + 1] = DIGITS[usize::from(byte & 15)];
    }
    uuid[VERSION] = b'8';
    uuid[VARIANT] = DIGITS[usize::from(8 | digest[8] >> 4 & 3)];
    let time = &mut head[TIME..];
    time[..10].copy_from_slice(&date);
    number(&mut time[11..13], millisecond / 3_600_000);
    number(&mut time[14..16], millisecond / 60_000 % 60);
    number(&mut time[17..19], millisecond / 1_000 % 60);
    number(&mut time[20..23], millisecond % 1_000);
    head
}

fn number(digits: &mut [u8], mut value: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
    }
}

/// `YYYY-MM-DD` of a day since the epoch: years that begin in March have their leap day at the end.
fn date(day: i64) -> [u8; 10] {
    const CYCLE: i64 = 146_097; // days of 400 years
    let day = day + 719_468; // since March of the year 0
    let (cycle, day) = (day / CYCLE, day % CYCLE);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let mut text = *b"0000-00-00";
    number(&mut text[..4], 400 * cycle + year + i64::from(month >= 10));
    number(&mut text[5..7], if month < 10 { month + 3 } else { month - 9 });
    number(&mut text[8..], day - (153 * month + 2) / 5 + 1);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        for (day, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_454, "2026-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(std::str::from_utf8(&date(day)), Ok(text));
        }
    }

    #[test]
    fn writes_version_and_variant() {
        let head = head([0xff; 16], date(0), 86_399_999);
        let text = std::str::from_utf8(&head).expect("ASCII");
        assert!(text.starts_with(r#"{"uuid":"ffffffff-ffff-8fff-bfff-ffffffffffff","timestamp":""#), "{text}");
        assert!(text.ends_with("1970-01-01T23:59:59.999Z"), "{text}");
    }
}
