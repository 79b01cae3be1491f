//! The fields of W3C Trace Context: reading what a client says, writing what an upstream is told.

use http::HeaderName;

use crate::fields::Fields;

pub(crate) static PARENT: HeaderName = HeaderName::from_static("traceparent");
static STATE: HeaderName = HeaderName::from_static("tracestate");

/// The flags: somebody records the trace; the last seven bytes of its id are random (W3C Trace Context 2).
pub(super) const SAMPLED: u8 = 1;
pub(super) const RANDOM: u8 = 2;

/// The length of version 00.
const LENGTH: usize = 55;

/// A later version may be longer; nobody needs this much.
const MAX_LENGTH: usize = 256;

/// Longest `tracestate` that is passed on, in bytes: what everybody has to support.
const MAX_STATE_BYTES: usize = 512;

/// A span of somebody else, as `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
}

impl Parent {
    /// The one that the fields name; `None` for none, for several, and for what is not well-formed.
    pub(super) fn of(fields: &Fields) -> Option<Parent> {
        let mut all = fields.all(&PARENT);
        let one = all.next()?;
        if all.next().is_some() {
            return None;
        }
        Parent::read(one)
    }

    /// W3C Trace Context 3.2: `00-<trace>-<span>-<flags>`, in lower-case hex.
    fn read(value: &[u8]) -> Option<Parent> {
        if value.len() < LENGTH || value.len() > MAX_LENGTH {
            return None;
        }
        let version = hex(&value[..2])?;
        let ends_well = match version {
            0 => value.len() == LENGTH,
            0xff => false,
            _ => value.get(LENGTH).is_none_or(|next| *next == b'-'),
        };
        if !ends_well || [2, 35, 52].iter().any(|at| value[*at] != b'-') {
            return None;
        }
        let parent = Parent {
            trace: hex(&value[3..35])?,
            span: u64::try_from(hex(&value[36..52])?).ok()?,
            flags: u8::try_from(hex(&value[53..LENGTH])?).ok()?,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// The client's `tracestate` as one list (3.3); `None` for none, and for what is too long or no text.
pub(super) fn state_of(fields: &Fields) -> Option<String> {
    let mut all = String::new();
    for value in fields.all(&STATE) {
        if all.len() + value.len() >= MAX_STATE_BYTES {
            return None;
        }
        if !all.is_empty() {
            all.push(',');
        }
        let is_text = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\t';
        all.push_str(
            str::from_utf8(value)
                .ok()
                .filter(|_| value.iter().all(is_text))?,
        );
    }
    (!all.is_empty()).then_some(all)
}

/// What an upstream is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outward {
    parent: [u8; LENGTH],
    keeps_state: bool,
}

impl Outward {
    pub(crate) fn new(trace: u128, span: u64, flags: u8, keeps_state: bool) -> Outward {
        let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write(&mut parent[3..35], trace);
        write(&mut parent[36..52], u128::from(span));
        write(&mut parent[53..], u128::from(flags));
        Outward {
            parent,
            keeps_state,
        }
    }

    /// The value of `traceparent`.
    pub(crate) fn parent(&self) -> &[u8] {
        &self.parent
    }

    /// Whether a field of the client's, which is one of the two, gives way to ours.
    pub(crate) fn replaces(&self, name: &[u8]) -> bool {
        !(self.keeps_state && name.eq_ignore_ascii_case(STATE.as_str().as_bytes()))
    }
}

fn write(out: &mut [u8], mut number: u128) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_parent_is_read() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent {
            trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
            span: 0xb7ad_6b71_6920_3331,
            flags: 1,
        };
        assert_eq!(Parent::read(good.as_bytes()), Some(parent));
        // What a later version adds is not ours to read.
        let later = good.replacen("00", "cc", 1);
        assert_eq!(Parent::read(later.as_bytes()), Some(parent));
        assert_eq!(
            Parent::read(format!("{later}-what").as_bytes()),
            Some(parent)
        );
        for bad in [
            String::new(),
            good[..54].to_owned(),
            format!("{good}-"),
            format!("{good}0"),
            format!("{later}what"),
            format!("{later}-{}", "0".repeat(201)),
            good.replacen("00", "ff", 1),
            good.to_uppercase(),
            good.replacen("0af7", "0AF7", 1),
            good.replacen("0af7", "+af7", 1),
            good.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
            "0é-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1".to_owned(),
        ] {
            assert_eq!(Parent::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let outward = Outward::new(0xab, 0xcd, 3, false);
        let parent = Parent::read(outward.parent()).unwrap();
        assert_eq!((parent.trace, parent.span, parent.flags), (0xab, 0xcd, 3));
    }
}
