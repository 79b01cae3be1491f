//! Moments and spans as people read them.

/// Unix seconds as `3 May 2026 10:00 UTC`.
pub(crate) fn text(at: i64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (days, seconds) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    // Gregorian calendar in eras of 400 years that begin on 1 March, so that the leap day comes last.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    format!(
        "{day} {} {year} {:02}:{:02} UTC",
        MONTHS[month as usize],
        seconds / 3_600,
        seconds / 60 % 60
    )
}

/// Seconds in days, `rounded` to a tenth: down for a limit and up for what is beyond it, lest the two read the same.
pub(crate) fn days(seconds: i64, rounded: fn(f64) -> f64) -> f64 {
    rounded(seconds as f64 / 8_640.0) / 10.0
}

#[cfg(test)]
mod tests {
    use super::{days, text};

    #[test]
    fn what_is_beyond_a_limit_never_reads_like_it() {
        let said = |seconds, rounded| days(seconds, rounded).to_string();
        for (lifetime, limit, as_read) in [
            (8_640_000, 7_776_000, ("100", "90")),
            (7_776_001, 7_776_000, ("90.1", "90")),
            (1_000_000, 999_999, ("11.6", "11.5")),
        ] {
            let read = (said(lifetime, f64::ceil), said(limit, f64::floor));
            assert_eq!((read.0.as_str(), read.1.as_str()), as_read);
        }
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1 January 1970 00:00 UTC");
        assert_eq!(text(951_782_400), "29 February 2000 00:00 UTC");
        assert_eq!(text(1_777_802_400), "3 May 2026 10:00 UTC");
        assert_eq!(text(-1), "31 December 1969 23:59 UTC");
        assert_eq!(text(253_402_300_799), "31 December 9999 23:59 UTC");
        text(i64::MAX);
        text(i64::MIN);
    }
}
