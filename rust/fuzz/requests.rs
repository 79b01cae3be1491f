//! What the fuzz target `requests` does with its input; `gate/tests/seeds.rs` does the same with the seeds.
//!
//! Run it: `cargo fuzz run --sanitizer none requests corpus/requests seeds/requests` in `rust/fuzz`.

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
