//! Whether a client would rather have a page or a problem document (RFC 9110 12.5.1).

use http::header::ACCEPT;

use crate::fields::Fields;

/// Says whether the client prefers HTML: it names it, and with no lower weight than JSON. Programs that take anything,
/// or say nothing, get the document that they can read.
pub(super) fn prefers_html(fields: &Fields) -> bool {
    let mut html = Preference::default();
    let mut json = Preference::default();
    let values = fields
        .all(&ACCEPT)
        .filter_map(|value| str::from_utf8(value).ok());
    for (position, range) in values.flat_map(|value| value.split(',')).enumerate() {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(weight).unwrap_or(1000);
        match media.as_str() {
            "text/html" | "application/xhtml+xml" => html.offer(2, weight, position),
            "text/*" => html.offer(1, weight, position),
            "application/problem+json" | "application/json" => json.offer(2, weight, position),
            "application/*" => json.offer(1, weight, position),
            "*/*" => json.offer(0, weight, position),
            _ => {}
        }
    }
    match (html.weight(), json.weight()) {
        (0, _) => false,
        (html_weight, json_weight) if html_weight != json_weight => html_weight > json_weight,
        // Equally welcome: the one that is named more exactly, then the one named first.
        _ => (html.exactness, json.position) > (json.exactness, html.position),
    }
}

/// The most exact range that covers a type, and of those the one with the highest weight.
#[derive(Default)]
struct Preference {
    named: bool,
    exactness: u8,
    weight: u16,
    position: usize,
}

impl Preference {
    fn offer(&mut self, exactness: u8, weight: u16, position: usize) {
        if !self.named || (exactness, weight) > (self.exactness, self.weight) {
            *self = Preference {
                named: true,
                exactness,
                weight,
                position,
            };
        }
    }

    fn weight(&self) -> u16 {
        if self.named { self.weight } else { 0 }
    }
}

/// A `q` parameter in thousandths; one that is no number counts as 0, as if the range were not there.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    Some((value.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_a_page() {
        for (accept, html) in [
            // browsers
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
                true,
            ),
            ("text/html", true),
            ("TEXT/HTML", true),
            ("application/xhtml+xml", true),
            ("text/*", true),
            ("text/html;q=0.1", true),
            ("text/html;level=1", true),
            ("text/html, application/json", true),
            ("text/html, application/json;q=0.9", true),
            ("text/html, */*", true),
            // programs
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("application/problem+json", false),
            ("application/json, text/plain, */*", false),
            ("application/json, text/html", false),
            ("application/json, text/html;q=0.9", false),
            ("application/*, text/*", false),
            ("text/html;q=0", false),
            ("text/html;q=0, */*", false),
            ("text/html;q=0.5, application/json;q=0.6", false),
            ("text/html;q=nonsense", false),
            ("text/html;q=nan", false),
            ("image/png", false),
            (",;q=1,,/;;", false),
        ] {
            let mut fields = Fields::default();
            fields.append(ACCEPT, accept.parse().expect("a value"));
            assert_eq!(prefers_html(&fields), html, "{accept}");
        }
        assert!(!prefers_html(&Fields::default()));
    }

    #[test]
    fn several_fields_are_one_list() {
        let mut fields = Fields::default();
        fields.append(ACCEPT, "application/json;q=0.5".parse().expect("a value"));
        fields.append(ACCEPT, "text/html".parse().expect("a value"));
        assert!(prefers_html(&fields));
    }
}
