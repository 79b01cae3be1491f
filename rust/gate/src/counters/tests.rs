use std::{sync::Arc, thread};

use super::*;

fn number(numbers: &[Labelled], label: &str) -> u64 {
    numbers
        .iter()
        .find(|labelled| labelled.0 == label)
        .map(|labelled| labelled.1)
        .expect("a known label")
}

fn snapshot(counters: &Counters) -> Snapshot {
    counters.snapshot(Dropped::default(), 0)
}

#[test]
fn nothing_is_lost_between_threads() {
    let counters = Counters::new();
    let slot = counters.slot("shop", "/");
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    counters.handshake(Handshake::Full);
                    counters.refused(Reason::Expired);
                    counters.request(slot, 200, Duration::from_micros(300));
                    counters.add(Flow::BytesOut, 10);
                }
            });
        }
    });
    let snapshot = snapshot(&counters);
    assert_eq!(number(&snapshot.handshakes, "full"), 40_000);
    assert_eq!(number(&snapshot.verdicts, "expired"), 40_000);
    assert_eq!(snapshot.bytes_out, 400_000);
    assert_eq!(snapshot.requests[1].classes, [0, 0, 40_000, 0, 0, 0]);
    assert_eq!(snapshot.requests[1].latency[1], 40_000);
    assert_eq!(snapshot.requests[1].latency_sum_us, 12_000_000);
}

#[test]
fn every_reason_has_a_number_of_its_own() {
    let counters = Counters::new();
    for (times, reason) in Reason::ALL.into_iter().enumerate() {
        (0..times).for_each(|_| counters.refused(reason));
    }
    counters.admitted();
    counters.anonymous();
    let verdicts = snapshot(&counters).verdicts;
    for (times, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(number(&verdicts, reason.code()), times as u64);
    }
    assert_eq!(
        (
            number(&verdicts, "admitted"),
            number(&verdicts, "anonymous")
        ),
        (1, 1)
    );
}

#[test]
fn labels_are_distinct_and_in_the_order_of_their_numbers() {
    for (at, end) in Handshake::ALL.iter().enumerate() {
        assert_eq!(*end as usize, at);
    }
    for (at, error) in UpstreamError::ALL.iter().enumerate() {
        assert_eq!(*error as usize, at);
    }
    let counters = Counters::new();
    counters.upstream_error(UpstreamError::ResponseTimeout);
    assert_eq!(
        number(&snapshot(&counters).upstream_errors, "response_timeout"),
        1
    );
}

#[test]
fn a_time_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
    let counters = Counters::new();
    for (took_us, bucket) in [
        (0, 0),
        (250, 0),
        (251, 1),
        (1_000, 2),
        (30_000_000, 13),
        (30_000_001, 14),
        (u64::MAX, 14),
    ] {
        let before = snapshot(&counters).requests[0].latency[bucket];
        counters.request(Counters::NO_ROUTE, 404, Duration::from_micros(took_us));
        assert_eq!(
            snapshot(&counters).requests[0].latency[bucket],
            before + 1,
            "{took_us}"
        );
    }
    assert_eq!(snapshot(&counters).requests[0].classes[4], 7);
}

#[test]
fn any_status_counts_somewhere() {
    let counters = Counters::new();
    for status in [0, 99, 101, 200, 599, 600, 999, u16::MAX] {
        counters.request(Counters::NO_ROUTE, status, Duration::ZERO);
    }
    assert_eq!(snapshot(&counters).requests[0].classes, [2, 1, 1, 0, 0, 4]);
}

#[test]
fn a_route_keeps_its_numbers_over_a_reload() {
    let counters = Counters::new();
    let slot = counters.slot("shop", "/admin");
    counters.request(slot, 200, Duration::ZERO);
    assert_ne!(counters.slot("other", "/admin"), slot);
    assert_eq!(counters.slot("shop", "/admin"), slot);
    let route = &snapshot(&counters).requests[1];
    assert_eq!(
        (route.site.as_str(), route.route.as_str(), route.classes[2]),
        ("shop", "/admin", 1)
    );
}

#[test]
fn routes_beyond_the_bound_are_counted_together() {
    let counters = Counters::new();
    for number in 0..2 * MAX_SLOTS {
        counters.request(
            counters.slot("shop", &format!("/{number}")),
            200,
            Duration::ZERO,
        );
    }
    let requests = snapshot(&counters).requests;
    assert_eq!(requests.len(), MAX_SLOTS);
    assert_eq!(
        requests.iter().map(|route| route.classes[2]).sum::<u64>(),
        2 * MAX_SLOTS as u64
    );
    assert_eq!(requests[0].classes[2], MAX_SLOTS as u64 + 1);
}

#[test]
fn connections_opened_here_and_closed_there() {
    let counters = Arc::new(Counters::new());
    let open: Vec<Open> = (0..10).map(|_| counters.open()).collect();
    assert_eq!(counters.open_now(), 10);
    let mut open = open.into_iter();
    let half: Vec<Open> = open.by_ref().take(5).collect();
    thread::spawn(move || drop(half)).join().expect("no panic");
    assert_eq!(snapshot(&counters).open_connections, 5);
    drop(open);
    assert_eq!(
        (
            counters.open_now(),
            snapshot(&counters).accepted_connections
        ),
        (0, 10)
    );
}

#[test]
fn a_snapshot_is_a_map_for_the_control_plane() {
    let counters = Counters::new();
    let dropped = Dropped {
        refusals: 1,
        notices: 2,
    };
    let bytes = rmp_serde::to_vec_named(&counters.snapshot(dropped, 3)).expect("bytes");
    #[derive(serde::Deserialize)]
    struct Read {
        handshakes: Vec<(String, u64)>,
        dropped_refusals: u64,
        dropped_notices: u64,
        dropped_access_lines: u64,
    }
    let read: Read = rmp_serde::from_slice(&bytes).expect("a map");
    assert_eq!(read.handshakes[0], ("full".to_owned(), 0));
    assert_eq!(
        (
            read.dropped_refusals,
            read.dropped_notices,
            read.dropped_access_lines
        ),
        (1, 2, 3)
    );
}
