//! Fields on their way to a service, each within its bounds; what does not fit is left out and named.

use http::{HeaderName, HeaderValue};

use super::{MAX_CERTIFICATE_BYTES, MAX_TEXT_BYTES, encode};

/// Names the fields that were left out, or are not whole, because they are too long; comma-separated.
pub const OMITTED: HeaderName = HeaderName::from_static("mutualgate-omitted");

/// Fields in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    list: Vec<(HeaderName, HeaderValue)>,
    omitted: Vec<HeaderName>,
}

impl Fields {
    /// Adds a value that cannot be too long.
    pub(crate) fn push(&mut self, name: HeaderName, value: HeaderValue) {
        // Two dialects may have a field in common; they say the same in it.
        if !self.list.iter().any(|(known, _)| *known == name) {
            self.list.push((name, value));
        }
    }

    /// Adds visible ASCII of at most [`MAX_TEXT_BYTES`].
    pub(crate) fn text(&mut self, name: HeaderName, text: String) {
        self.within(MAX_TEXT_BYTES, name, text);
    }

    /// Adds certificates, visible ASCII of at most [`MAX_CERTIFICATE_BYTES`].
    pub(crate) fn certificates(&mut self, name: HeaderName, text: String) {
        self.within(MAX_CERTIFICATE_BYTES, name, text);
    }

    /// Notes that a field is not there, or not whole.
    pub(crate) fn omit(&mut self, name: HeaderName) {
        if !self.omitted.contains(&name) {
            self.omitted.push(name);
        }
    }

    fn within(&mut self, limit: usize, name: HeaderName, text: String) {
        if text.len() <= limit {
            self.push(name, encode::value(text));
        } else {
            self.omit(name);
        }
    }

    /// All fields, with the one that names what is missing.
    pub(crate) fn finish(mut self) -> Box<[(HeaderName, HeaderValue)]> {
        if !self.omitted.is_empty() {
            let names: Vec<&str> = self.omitted.iter().map(HeaderName::as_str).collect();
            self.list.push((OMITTED, encode::value(names.join(", "))));
        }
        self.list.into()
    }
}
