//! The one rule by which a request's path is read, so that no server behind can read it otherwise.
//!
//! Tomcat and Jetty cut `;…` parameters out of segments, some servers turn `\` into `/`, fold `//`, or decode twice. A path that
//! two readers could read in two ways is refused before any rule on paths is applied; what remains is matched byte for byte.

/// A path that servers read in different ways: the rest of a sentence that begins with "The path".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(pub &'static str);

/// Says whether `path` (as sent, without query) has only one reading.
pub fn check_path(path: &str) -> Result<(), PathError> {
    let octets = path.as_bytes();
    if octets.first() != Some(&b'/') {
        return Err(PathError("does not begin with a slash"));
    }
    for octet in octets {
        match octet {
            b';' => return Err(PathError("contains a semicolon")),
            b'\\' => return Err(PathError("contains a backslash")),
            b'#' | b'?' => return Err(PathError("contains a # or ?")),
            0x21..=0x7e => {}
            // RFC 3986 2: everything else has to be percent-encoded.
            _ => {
                return Err(PathError(
                    "contains a character that has to be percent-encoded",
                ));
            }
        }
    }
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            // A slash at the end is one way to write a path; two in a row are two.
            "" if segments.peek().is_some() => {
                return Err(PathError("contains an empty segment (//)"));
            }
            "." | ".." => return Err(PathError("contains a . or .. segment")),
            _ => check_encoding(segment)?,
        }
    }
    Ok(())
}

fn check_encoding(segment: &str) -> Result<(), PathError> {
    if !segment.contains('%') {
        return Ok(());
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut octets = segment.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let digits = (octets.next().and_then(hex), octets.next().and_then(hex));
        let (Some(high), Some(low)) = digits else {
            return Err(PathError("contains an invalid percent-encoding"));
        };
        let value = high << 4 | low;
        match value {
            b'/' | b'\\' | b'.' | b';' | b'%' => {
                return Err(PathError("contains a percent-encoded / \\ . ; or %"));
            }
            // RFC 3986 2.3: encoded or not, these are the same; then a rule could be written about the one and met by the other.
            b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                return Err(PathError(
                    "contains a percent-encoded letter, digit, hyphen, underscore or tilde",
                ));
            }
            0..=0x1f | 0x7f => {
                return Err(PathError("contains a percent-encoded control character"));
            }
            _ => decoded.push(value),
        }
    }
    // Overlong forms of `/` and `.` are how lenient decoders were fooled.
    match std::str::from_utf8(&decoded) {
        Ok(text)
            if text
                .chars()
                .any(|character| matches!(character, '\u{80}'..='\u{9f}')) =>
        {
            Err(PathError("contains a percent-encoded control character"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(PathError("contains a percent-encoding that is not UTF-8")),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn one_reading() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/...",
            "/a..b",
            "/.well-known/x",
            "/%20",
            "/%C3%A9",
            "/%40",
            "/a=b&c,d+e:f@g!$'()*",
            "/%22",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn several_readings() {
        let all = [
            "", "a", "*", "//", "/a//b", "/a//", "/.", "/..", "/a/../b", "/a/.", "/a;b",
            "/a/..;/b", "/\\", "/a#b", "/a?b", "/%2f", "/%2F", "/%5c", "/%2e", "/%2e%2e/", "/%3b",
            "/%25", "/%252e", "/%00", "/%0a", "/%7f", "/%41", "/%7E", "/%", "/%4", "/%zz",
            "/%c0%af", "/%ff", "/%c2%85", "/é", "/a b", "/a\tb", "/a\0", "/\u{7f}",
        ];
        for path in all {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
