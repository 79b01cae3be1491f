//! Frames of HTTP/2 as the fuzz targets `streams` and `services` say them, good or bad (RFC 9113 4, 6).
#![allow(dead_code, clippy::unwrap_used)]

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// How many octets come before a frame's payload.
pub const HEAD_BYTES: usize = 9;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The length, kind and stream of a frame.
pub fn read_head(head: &[u8; HEAD_BYTES]) -> (usize, u8, u32) {
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    (length as usize, head[3], stream)
}

/// Header fields as literals (RFC 7541 6.2.2), one to a line, pseudo-fields among them.
pub fn fields(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if text.is_empty() {
        return out;
    }
    for line in text.split(|byte| *byte == b'\n') {
        let colon = line.iter().skip(1).position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.map_or(line.len(), |colon| colon + 1));
        let value = value.strip_prefix(b":").unwrap_or(value);
        add(&mut out, name, value.strip_prefix(b" ").unwrap_or(value));
    }
    out
}

/// None of them is longer than an input.
fn add(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0);
    for text in [name, value] {
        match text.len() {
            length @ 0..127 => out.push(length as u8),
            length => {
                let rest = length - 127;
                out.extend_from_slice(&[127, (rest % 128 + 128) as u8, (rest / 128) as u8]);
            }
        }
        out.extend_from_slice(text);
    }
}
