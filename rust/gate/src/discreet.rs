//! Paths of the portal, without the secrets in them: an invitation's link opens it, so it is written down nowhere.

use std::borrow::Cow;

/// Longest part of a path that is repeated.
const MAX_WORD_BYTES: usize = 16;

/// `path` as it may be written down: below one of `portals` (paths of routes), parts that are no plain lower-case words
/// become `…`. No token, short code or name is such a word. A path that only begins like a portal's is cut as well: it
/// may be a link that somebody spoilt.
pub(crate) fn discreet<'a>(path: &'a str, portals: &[Box<str>]) -> Cow<'a, str> {
    let portal = portals
        .iter()
        .filter(|portal| path.starts_with(&***portal))
        .max_by_key(|portal| portal.len());
    let Some(portal) = portal else {
        return Cow::Borrowed(path);
    };
    let (head, tail) = path.split_at(portal.trim_end_matches('/').len());
    if tail.split('/').all(|part| part.is_empty() || is_word(part)) {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = tail
        .split('/')
        .map(|part| match part {
            "" => part,
            part if is_word(part) => part,
            _ => "\u{2026}",
        })
        .collect();
    Cow::Owned(format!("{head}{}", parts.join("/")))
}

fn is_word(part: &str) -> bool {
    part.len() <= MAX_WORD_BYTES && part.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Yk3v0Qz1S7mA9cXeT5uR2wLbN8pFhGdJ4iKoVqZsEyM";

    #[test]
    fn no_link_to_the_portal_is_written_down() {
        let portals: [Box<str>; 2] = ["/join".into(), "/join/more".into()];
        for (path, shown) in [
            (format!("/join/{TOKEN}"), "/join/\u{2026}"),
            (format!("/join/{TOKEN}/test"), "/join/\u{2026}/test"),
            (format!("/join/{TOKEN};x"), "/join/\u{2026}"),
            (format!("/join{TOKEN}"), "/join\u{2026}"),
            (format!("/join/more/{TOKEN}"), "/join/more/\u{2026}"),
            ("/join/ABCD-EFGH-JKLM".into(), "/join/\u{2026}"),
            ("/join/operator/clients".into(), "/join/operator/clients"),
            ("/join/".into(), "/join/"),
            ("/join".into(), "/join"),
            (format!("/other/{TOKEN}"), &format!("/other/{TOKEN}")),
        ] {
            assert_eq!(discreet(&path, &portals), shown);
        }
        let everything: [Box<str>; 1] = ["/".into()];
        assert_eq!(discreet(&format!("/{TOKEN}"), &everything), "/\u{2026}");
        assert_eq!(discreet("*", &everything), "*");
    }
}
