//! How a request becomes a line.

use std::io::Write;

use http::Version;

use super::{Line, Outcome};
use crate::clip::beginning;

/// Longest text of a stranger's choice in a line, in bytes.
const MAX_TEXT_BYTES: usize = 2 * 1024;

/// A JSON object and a line feed. Fields that are not known are left out.
pub(super) fn json(out: &mut Vec<u8>, line: &Line<'_>) {
    out.extend_from_slice(b"{\"at\":\"");
    timestamp(out, line.at);
    out.push(b'"');
    json_text(out, "request", line.request);
    write(out, format_args!(",\"peer\":\"{}\"", line.peer));
    json_text(out, "site", line.site);
    json_text(out, "method", line.method);
    json_key(out, "path");
    json_string(out, clip(line.path), if line.has_query { "?…" } else { "" });
    json_text(out, "protocol", protocol(line.protocol));
    json_number(out, "status", u64::from(line.status));
    json_number(out, "bytes_in", line.bytes_in);
    json_number(out, "bytes_out", line.bytes_out);
    json_key(out, "ms");
    milliseconds(out, line);
    match line.outcome {
        Outcome::Admitted(id, name) => {
            out.extend_from_slice(b",\"verdict\":\"admitted\"");
            json_number(out, "client_id", id);
            json_text(out, "client", name);
        }
        Outcome::Anonymous => out.extend_from_slice(b",\"verdict\":\"anonymous\""),
        Outcome::Shown(reason) => {
            out.extend_from_slice(b",\"verdict\":\"shown\"");
            json_text(out, "reason", reason);
        }
        Outcome::Refused(reason, refusal) => {
            out.extend_from_slice(b",\"verdict\":\"refused\"");
            json_text(out, "reason", reason);
            if let Some(id) = &refusal {
                json_text(out, "refusal", id.as_str());
            }
        }
    }
    if let Some(fingerprint) = line.credential {
        json_key(out, "credential");
        out.push(b'"');
        hex(out, fingerprint);
        out.push(b'"');
    }
    json_text(out, "upstream", line.upstream);
    json_text(out, "tls", line.tls);
    if !line.tls.is_empty() {
        json_key(out, "resumed");
        out.extend_from_slice(if line.resumed { b"true" } else { b"false" });
    }
    out.extend_from_slice(b"}\n");
}

/// `peer - client [time] "method path protocol" status bytes verdict reason refusal ms site request`, with `-` for
/// what is not known.
pub(super) fn text(out: &mut Vec<u8>, line: &Line<'_>) {
    let (client, verdict, reason, refusal) = match line.outcome {
        Outcome::Admitted(_, name) => (name, "admitted", "", None),
        Outcome::Anonymous => ("", "anonymous", "", None),
        Outcome::Shown(reason) => ("", "shown", reason, None),
        Outcome::Refused(reason, refusal) => ("", "refused", reason, refusal),
    };
    write(out, format_args!("{} - ", line.peer));
    text_word(out, client);
    out.extend_from_slice(b" [");
    timestamp(out, line.at);
    out.extend_from_slice(b"] \"");
    text_escaped(out, clip(line.method));
    out.push(b' ');
    text_escaped(out, clip(line.path));
    if line.has_query {
        out.extend_from_slice("?…".as_bytes());
    }
    out.push(b' ');
    out.extend_from_slice(protocol(line.protocol).as_bytes());
    out.extend_from_slice(b"\" ");
    number(out, u64::from(line.status), 1);
    out.push(b' ');
    number(out, line.bytes_out, 1);
    for word in [
        verdict,
        reason,
        refusal.as_ref().map_or("", |id| id.as_str()),
    ] {
        out.push(b' ');
        text_word(out, word);
    }
    out.push(b' ');
    milliseconds(out, line);
    out.extend_from_slice(b"ms ");
    text_word(out, line.site);
    out.push(b' ');
    text_word(out, line.request);
    out.push(b'\n');
}

fn json_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn json_number(out: &mut Vec<u8>, key: &str, value: u64) {
    json_key(out, key);
    number(out, value, 1);
}

fn json_text(out: &mut Vec<u8>, key: &str, text: &str) {
    if !text.is_empty() {
        json_key(out, key);
        json_string(out, clip(text), "");
    }
}

fn json_string(out: &mut Vec<u8>, text: &str, tail: &str) {
    out.push(b'"');
    escaped(out, text, |out, character| match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        _ => {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write(out, format_args!("\\u{unit:04x}"));
            }
        }
    });
    out.extend_from_slice(tail.as_bytes());
    out.push(b'"');
}

/// One word of a text line, in quotes where it would not be one.
fn text_word(out: &mut Vec<u8>, text: &str) {
    let text = clip(text);
    if text.is_empty() {
        out.push(b'-');
    } else if text == "-" || text.contains([' ', '"', '[']) {
        out.push(b'"');
        text_escaped(out, text);
        out.push(b'"');
    } else {
        text_escaped(out, text);
    }
}

fn text_escaped(out: &mut Vec<u8>, text: &str) {
    escaped(out, text, |out, character| match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        _ => write(out, format_args!("\\u{{{:x}}}", u32::from(character))),
    });
}

/// Copies what is harmless and hands the rest to `escape`.
fn escaped(out: &mut Vec<u8>, text: &str, escape: impl Fn(&mut Vec<u8>, char)) {
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if harmful(character) {
            out.extend_from_slice(&text.as_bytes()[plain..at]);
            escape(out, character);
            plain = at + character.len_utf8();
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
}

/// What would end a string or a line, drive a terminal, or show text in another order than it has.
fn harmful(character: char) -> bool {
    match character {
        '"' | '\\' => true,
        ' '..='~' => false,
        '\u{2028}'
        | '\u{2029}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => true,
        _ => character.is_control(),
    }
}

fn clip(text: &str) -> &str {
    beginning(text, MAX_TEXT_BYTES)
}

fn milliseconds(out: &mut Vec<u8>, line: &Line<'_>) {
    let us = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX);
    number(out, us / 1000, 1);
    out.push(b'.');
    number(out, us % 1000, 3);
}

/// RFC 3339, in UTC, with milliseconds.
fn timestamp(out: &mut Vec<u8>, at: i64) {
    let (seconds, milliseconds) = (at.div_euclid(1000), at.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    for (value, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (milliseconds, 3, b'Z'),
    ] {
        number(out, value.unsigned_abs(), width);
        out.push(after);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar: years that begin in March have
/// their leap day last, so that the months before it have fixed lengths of 153 days in five.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days.div_euclid(146_097); // of 400 years
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + carry, month, day_of_month)
}

/// In decimal, with leading zeros up to `width` digits. `format_args!` takes several times as long.
fn number(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while value > 0 || digits.len() - first < width {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
}

fn protocol(version: Option<Version>) -> &'static str {
    let Some(version) = version else {
        return "TCP";
    };
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/?",
    }
}

fn write(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_560_068_123, "2026-11-24T22:41:08.123Z"),
        ] {
            let mut out = Vec::new();
            timestamp(&mut out, at);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), text);
        }
    }
}
