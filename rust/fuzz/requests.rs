//! What the fuzz target `requests` does with its input; `gate/tests/seeds.rs` does the same with the seeds.
//!
//! Run it: `cargo fuzz run --sanitizer none requests work/requests seeds/requests` in `rust/fuzz`.

use gate::{
    identity,
    trial::{Reading, Told, read},
};

/// Bytes of a client: however they come, they are the same requests, and what a service is sent for each is one request
/// again, the same one, whoever reads it.
pub fn requests(data: &[u8]) {
    let whole = read(data, usize::MAX);
    for step in [1, 7] {
        let slow = read(data, step);
        // A byte that makes a head none is noticed with its end, or before.
        assert!(slow.refused.is_none() || whole.refused.is_some());
        assert_eq!(told(&whole), told(&slow));
    }
    for request in whole.requests.iter().filter(|request| request.is_whole) {
        let again = read(&request.forwarded, usize::MAX);
        if again.refused == Some(431) {
            continue; // a head just within the bounds, and with the gate's own fields beyond them
        }
        assert_eq!(again.refused, None, "{request:?}");
        assert_eq!(told(&again), [without_forwarded(request)], "{request:?}");
        check_fields(&request.forwarded);
        let trace = trace(&request.forwarded);
        assert_eq!(trace, self::trace(&again.requests[0].forwarded));
    }
}

/// One way to know the length, and nobody's word about who is who.
fn check_fields(forwarded: &[u8]) {
    let end = (forwarded.windows(4))
        .position(|four| four == b"\r\n\r\n")
        .expect("a head ends");
    let head = std::str::from_utf8(&forwarded[..end]);
    let lines = head.unwrap_or_default().split("\r\n").skip(1);
    let names: Vec<&str> = lines
        .map(|line| line.split_once(':').expect("a field has a colon").0)
        .collect();
    let framing = |name: &&&str| matches!(**name, "content-length" | "transfer-encoding");
    assert!(names.iter().filter(framing).count() <= 1);
    assert!(names.iter().all(|name| identity::kind(name).is_none()));
}

/// The id of the trace, and the list of the client's that goes with it (W3C Trace Context 3.2, 3.3).
fn trace(forwarded: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let values = |wanted: &[u8]| -> Vec<Vec<u8>> {
        let lines = forwarded.split(|byte| *byte == b'\n').skip(1);
        let head = lines.take_while(|line| *line != b"\r");
        head.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            (name.eq_ignore_ascii_case(wanted)).then(|| value[1..].trim_ascii().to_vec())
        })
        .collect()
    };
    let parents = values(b"traceparent");
    let [parent] = &parents[..] else {
        panic!("{parents:?}");
    };
    let (digits, dashes) = (b"0123456789abcdef", [2, 35, 52]);
    assert_eq!(parent.len(), 55);
    for (at, byte) in parent.iter().enumerate() {
        let expected: &[u8] = if dashes.contains(&at) { b"-" } else { digits };
        assert!(expected.contains(byte), "{parent:?}");
    }
    let states = values(b"tracestate");
    assert!(states.iter().map(Vec::len).sum::<usize>() <= 512);
    (parent[3..35].to_vec(), states.join(&b','))
}

fn told(reading: &Reading) -> Vec<(String, String, Vec<u8>, bool)> {
    reading.requests.iter().map(without_forwarded).collect()
}

fn without_forwarded(request: &Told) -> (String, String, Vec<u8>, bool) {
    (
        request.method.clone(),
        request.target.clone(),
        request.body.clone(),
        request.is_whole,
    )
}
