//! The header fields of a message, as they came: the bytes of an HTTP/1.1 head, or HTTP/2's map.
//!
//! One face for both, so that what is decided about a request or an answer is decided once. A head of HTTP/1.1 is not
//! copied into a map: a field is two places in its bytes, which were checked when it was parsed.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields in the order in which they came.
#[derive(Debug)]
pub(crate) enum Fields {
    /// Of HTTP/2, or made here.
    Map(HeaderMap),
    /// Of HTTP/1.1.
    Raw(Raw),
}

/// A head and where its fields are.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    head: Bytes,
    places: Vec<Place>,
    /// What was added since.
    added: Vec<(HeaderName, HeaderValue)>,
}

/// Where a field is in its head, in bytes from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
}

/// Lists of places that are used again.
const MAX_KEPT: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Vec<Place>>> = const { RefCell::new(Vec::new()) };
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::Map(HeaderMap::new())
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Fields {
        Fields::Map(map)
    }
}

/// Where fields are in bytes that still belong to somebody else.
#[derive(Debug)]
pub(crate) struct Places {
    base: usize,
    places: Vec<Place>,
}

impl Places {
    /// None yet, in `head`.
    pub(crate) fn of(head: &[u8]) -> Places {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        Places {
            base: head.as_ptr() as usize,
            places: kept.unwrap_or_else(|| Vec::with_capacity(32)),
        }
    }

    /// Notes a field, whose name and value are parts of the head.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        // A head is far shorter than 4 GiB; a place outside of it would be an empty field, never another's bytes.
        let at = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(self.base) as u32;
        self.places.push(Place {
            name: at(name),
            name_length: name.len() as u32,
            value: at(value),
            value_length: value.len() as u32,
        });
    }

    /// The fields, now that `head` is ours: the very bytes for which this was made.
    pub(crate) fn into_fields(self, head: Bytes) -> Fields {
        debug_assert_eq!(head.as_ptr() as usize, self.base);
        Fields::Raw(Raw {
            head,
            places: self.places,
            added: Vec::new(),
        })
    }
}

impl Raw {
    fn part(&self, start: u32, length: u32) -> &[u8] {
        let start = start as usize;
        self.head
            .get(start..start + length as usize)
            .unwrap_or_default()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        if places.capacity() == 0 || places.capacity() > 256 {
            return;
        }
        places.clear();
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < MAX_KEPT {
                kept.push(places);
            }
        });
    }
}

impl Fields {
    /// Names and values. Names are in lower case only where they came so: compare with `eq_ignore_ascii_case`.
    pub(crate) fn iter(&self) -> Iter<'_> {
        match self {
            Fields::Map(map) => Iter::Map(map.iter()),
            Fields::Raw(raw) => Iter::Raw {
                raw,
                places: raw.places.iter(),
                added: raw.added.iter(),
            },
        }
    }

    /// The values of all fields of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_str().as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the first field of a name.
    pub(crate) fn get<'a>(&'a self, name: &HeaderName) -> Option<&'a [u8]> {
        match self {
            Fields::Map(map) => map.get(name).map(HeaderValue::as_bytes),
            Fields::Raw(_) => self
                .iter()
                .find(|(field, _)| field.eq_ignore_ascii_case(name.as_str().as_bytes()))
                .map(|(_, value)| value),
        }
    }

    /// Keeps the fields whose names `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        match self {
            Fields::Map(map) => {
                let doomed: Vec<HeaderName> = map
                    .keys()
                    .filter(|name| !keep(name.as_str().as_bytes()))
                    .cloned()
                    .collect();
                for name in doomed {
                    map.remove(name);
                }
            }
            Fields::Raw(raw) => {
                let head = &raw.head;
                raw.places.retain(|place| {
                    let start = place.name as usize;
                    keep(&head[start..start + place.name_length as usize])
                });
                raw.added.retain(|(name, _)| keep(name.as_str().as_bytes()));
            }
        }
    }

    /// Removes all fields of a name; whether there was one.
    pub(crate) fn remove(&mut self, name: &HeaderName) -> bool {
        let is_there = self.get(name).is_some();
        if is_there {
            self.retain(|field| !field.eq_ignore_ascii_case(name.as_str().as_bytes()));
        }
        is_there
    }

    /// Adds a field, whatever is there.
    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        match self {
            Fields::Map(map) => {
                map.append(name, value);
            }
            Fields::Raw(raw) => raw.added.push((name, value)),
        }
    }

    /// As a map, for HTTP/2.
    pub(crate) fn into_map(self) -> HeaderMap {
        let raw = match self {
            Fields::Map(map) => return map,
            Fields::Raw(raw) => raw,
        };
        let mut map = HeaderMap::with_capacity(raw.places.len() + raw.added.len());
        for place in &raw.places {
            let start = place.value as usize;
            // Values share the memory of the head instead of being copied one by one.
            let value = raw.head.slice(start..start + place.value_length as usize);
            // The parser let nothing else through.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(raw.part(place.name, place.name_length)),
                HeaderValue::from_maybe_shared(value),
            ) {
                map.append(name, value);
            }
        }
        for (name, value) in &raw.added {
            map.append(name.clone(), value.clone());
        }
        map
    }
}

/// Fields, one by one.
#[derive(Debug)]
pub(crate) enum Iter<'a> {
    Map(http::header::Iter<'a, HeaderValue>),
    Raw {
        raw: &'a Raw,
        places: std::slice::Iter<'a, Place>,
        added: std::slice::Iter<'a, (HeaderName, HeaderValue)>,
    },
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Map(fields) => fields
                .next()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
            Iter::Raw { raw, places, added } => match places.next() {
                Some(place) => Some((
                    raw.part(place.name, place.name_length),
                    raw.part(place.value, place.value_length),
                )),
                None => added
                    .next()
                    .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
            },
        }
    }
}

/// Whether a name that came over HTTP/2 is one in HTTP/1.1 (RFC 9110 5.6.2): the library takes a quotation mark for part of it.
pub(crate) fn is_token(name: &HeaderName) -> bool {
    !name.as_str().contains('"')
}

/// Items of a comma-separated list (RFC 9110 5.6.1), in one value.
pub(crate) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &'static str) -> Fields {
        let head = Bytes::from_static(text.as_bytes());
        let mut places = Places::of(&head);
        for line in head.split(|byte| *byte == b'\n') {
            if let Some(at) = line.iter().position(|byte| *byte == b':') {
                places.push(&line[..at], line[at + 1..].trim_ascii());
            }
        }
        places.into_fields(head)
    }

    fn text(fields: &Fields) -> Vec<String> {
        fields
            .iter()
            .map(|(name, value)| {
                format!(
                    "{}={}",
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value)
                )
            })
            .collect()
    }

    #[test]
    fn fields_are_found_changed_and_become_a_map() {
        let mut fields = raw("A: 1\r\nb: 2\r\na: 3\r\n");
        let a = HeaderName::from_static("a");
        assert_eq!(fields.get(&a), Some(&b"1"[..]));
        assert_eq!(fields.all(&a).collect::<Vec<_>>(), [b"1", b"3"]);
        let b = HeaderName::from_static("b");
        assert!(fields.remove(&b) && !fields.remove(&b));
        fields.append(b, HeaderValue::from_static("new"));
        assert_eq!(text(&fields), ["A=1", "a=3", "b=new"]);
        assert!(fields.remove(&a) && !fields.remove(&a));
        fields.append(a.clone(), HeaderValue::from_static("4"));
        assert_eq!(text(&fields), ["b=new", "a=4"]);
        let map = raw("A: 1\r\nb: 2\r\na: 3\r\n").into_map();
        assert_eq!(text(&Fields::Map(map)), ["a=1", "a=3", "b=2"]);
    }
}
