use std::{collections::HashSet, thread};

use judge::Refusal;

use super::*;

const NO_WAIT: Duration = Duration::ZERO;

fn refusal(reason: Reason) -> Refusal {
    Refusal {
        reason,
        certificate: Some(0),
        detail: "It expired.".to_owned(),
        issuer_known: true,
        client: Some(7),
        partner: None,
    }
}

fn shown(number: u32) -> Shown<'static> {
    let mut fingerprint = [0; 32];
    fingerprint[..4].copy_from_slice(&number.to_be_bytes());
    Shown {
        certificate: b"der",
        fingerprint,
        subject: "CN=alice",
        issuer: "CN=ca",
        serial: "4d2",
    }
}

fn scene(at: i64) -> Scene<'static> {
    Scene {
        at,
        site: "shop",
        sni: "shop.test",
        host: "shop.test:8443",
        path: "/admin",
        peer: "192.0.2.7".parse().ok(),
    }
}

#[test]
fn a_refusal_can_be_looked_up_by_what_the_client_was_shown() {
    let events = Events::new(8, 8);
    let id = events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(1_000));
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert_eq!(event.refusal, Some(id));
    assert_eq!(
        (event.kind, event.reason, event.count, event.at),
        (Kind::Refused, Some("expired"), 1, 1_000)
    );
    assert_eq!(
        (
            event.subject.as_str(),
            event.issuer.as_str(),
            event.serial.as_str()
        ),
        ("CN=alice", "CN=ca", "4d2")
    );
    assert_eq!(
        (
            event.site.as_str(),
            event.sni.as_str(),
            event.host.as_str(),
            event.path.as_str()
        ),
        ("shop", "shop.test", "shop.test:8443", "/admin")
    );
    assert_eq!(
        (event.client, event.detail.as_str()),
        (Some(7), "It expired.")
    );
    assert_eq!(event.certificate.as_deref(), Some(&b"der"[..]));
    assert_eq!(event.fingerprint.as_deref().map(str::len), Some(64));
    assert!(events.drain(10, NO_WAIT).is_empty());
}

#[test]
fn refusals_that_are_alike_share_a_reference_and_a_count() {
    let events = Events::new(8, 8);
    let refuse = |at| events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(at));
    let first = refuse(0);
    assert_eq!([refuse(10), refuse(59_999)], [first; 2]);
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert_eq!((event.count, event.at, event.until), (3, 0, 59_999));

    // Fetched in between: the rest of the minute is told under the same reference, without the certificate again.
    assert_eq!(refuse(59_999), first);
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.refusal, event.count, event.certificate.is_none()),
        (Some(first), 1, true)
    );

    let second = refuse(60_000);
    assert_ne!(second, first);
    assert_eq!(events.drain(10, NO_WAIT)[0].refusal, Some(second));
}

#[test]
fn what_differs_is_told_apart() {
    let events = Events::new(8, 8);
    let mut ids = HashSet::new();
    ids.insert(events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(0)));
    ids.insert(events.refused(&refusal(Reason::Expired), Some(&shown(2)), &scene(0)));
    ids.insert(events.refused(
        &judge::Refusal {
            detail: "In other words.".into(),
            ..refusal(Reason::Expired)
        },
        Some(&shown(1)),
        &scene(0),
    ));
    ids.insert(events.refused(&refusal(Reason::Revoked), Some(&shown(1)), &scene(0)));
    ids.insert(events.refused(
        &refusal(Reason::Expired),
        Some(&shown(1)),
        &Scene {
            site: "other",
            ..scene(0)
        },
    ));
    ids.insert(events.refused(&refusal(Reason::NoCertificate), None, &scene(0)));
    ids.insert(events.refused(
        &refusal(Reason::NoCertificate),
        None,
        &Scene {
            peer: "192.0.2.8".parse().ok(),
            ..scene(0)
        },
    ));
    assert_eq!(ids.len(), 7);
    assert_eq!(events.drain(10, NO_WAIT).len(), 7);
}

#[test]
fn a_flood_pushes_out_only_itself() {
    let events = Events::new(100, 8);
    let revoked = events.refused(&refusal(Reason::Revoked), Some(&shown(1)), &scene(0));
    for number in 0..10_000 {
        events.refused(
            &refusal(Reason::UnknownIssuer),
            Some(&shown(number)),
            &scene(1),
        );
    }
    assert_eq!(
        events.dropped(),
        Dropped {
            refusals: 10_000 - 99,
            notices: 0
        }
    );
    let all = events.drain(1_000, NO_WAIT);
    assert_eq!(all.len(), 100);
    assert!(all.iter().any(|event| event.refusal == Some(revoked)));
    assert!(
        all[..2].iter().any(|event| event.refusal == Some(revoked)),
        "the classes take turns"
    );
}

#[test]
fn what_was_taken_makes_room_without_loss() {
    let events = Events::new(10, 8);
    for number in 0..1_000 {
        events.refused(
            &refusal(Reason::UnknownIssuer),
            Some(&shown(number)),
            &scene(0),
        );
        assert_eq!(events.drain(10, NO_WAIT).len(), 1);
    }
    assert_eq!(events.dropped(), Dropped::default());
}

#[test]
fn an_event_that_nobody_fetched_goes_on_counting() {
    let events = Events::new(8, 8);
    let refuse = |at| events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(at));
    assert_eq!(refuse(0), refuse(3_600_000));
    assert_eq!(events.drain(10, NO_WAIT)[0].count, 2);
}

#[test]
fn notices_are_bounded_and_come_first() {
    let events = Events::new(8, 3);
    events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(0));
    for number in 0..5 {
        let event = Event::of(Kind::Seen, Some(&shown(number)), &scene(i64::from(number)));
        events.notice(event, false);
    }
    assert_eq!(
        events.dropped(),
        Dropped {
            refusals: 0,
            notices: 2
        }
    );
    let kinds: Vec<(Kind, i64)> = events
        .drain(10, NO_WAIT)
        .iter()
        .map(|event| (event.kind, event.at))
        .collect();
    assert_eq!(
        kinds,
        [
            (Kind::Seen, 2),
            (Kind::Seen, 3),
            (Kind::Seen, 4),
            (Kind::Refused, 0)
        ]
    );
}

#[test]
fn a_certificate_is_announced_when_it_is_seen_first() {
    let events = Events::new(8, 8);
    let (admission, chain) = crate::fixtures::admitted();
    let signer = admission.signer().copied();
    let verdict = Verdict::Admitted(admission);
    events.seen(&verdict, &chain, &scene(0));
    events.seen(&verdict, &chain, &scene(1_000));
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.kind, event.client, event.credential, event.evidence),
        (Kind::Seen, Some(7), None, Some("signed"))
    );
    assert_eq!(
        (event.subject.as_str(), event.serial.as_str()),
        ("CN=alice,O=Example", "4d2")
    );
    assert_eq!(event.chain, chain);
    assert_eq!(event.path, "/admin");
    assert!(signer.is_some() && event.signer == signer);

    // An hour later it is news again.
    events.seen(&verdict, &chain, &scene(3_600_000));
    assert_eq!(events.drain(10, NO_WAIT).len(), 1);
}

#[test]
fn who_was_refused_and_is_admitted_is_news() {
    let events = Events::new(8, 8);
    let (admission, chain) = crate::fixtures::admitted();
    let refused = Verdict::Refused(refusal(Reason::NotEnrolled));
    events.seen(&refused, &chain, &scene(0));
    events.seen(&refused, &chain, &scene(1));
    events.seen(&Verdict::Admitted(admission.clone()), &chain, &scene(2));
    let [first, second] = &events.drain(10, NO_WAIT)[..] else {
        panic!("two events")
    };
    // Those of clients come first.
    assert_eq!((first.reason, first.client), (None, Some(7)));
    assert_eq!(
        (second.reason, &second.chain[..]),
        (
            Some("not_enrolled"),
            &chain
                .iter()
                .map(|der| ByteBuf::from(&der[..]))
                .collect::<Vec<_>>()[..]
        )
    );
    assert_eq!(second.fingerprint, Some(hex(admission.fingerprint())));
}

#[test]
fn strangers_push_out_no_sighting_of_a_client_s() {
    let events = Events::new(8, 8);
    let (admission, chain) = crate::fixtures::admitted();
    events.seen(&Verdict::Admitted(admission.clone()), &chain, &scene(0));
    let refused = Verdict::Refused(refusal(Reason::UnknownIssuer));
    for number in 0..(2 * STRANGERS_REMEMBERED as u32) {
        events.seen(&refused, &[number.to_be_bytes()], &scene(0));
    }
    let all = events.drain(100, NO_WAIT);
    assert_eq!(all.len(), 9);
    assert_eq!(all[0].client, Some(7));
    events.seen(&Verdict::Admitted(admission), &chain, &scene(1));
    assert!(events.drain(10, NO_WAIT).is_empty(), "it is remembered");
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let events = Events::new(8, 100_000);
    let refused = Verdict::Refused(refusal(Reason::UnknownIssuer));
    for number in 0..1_000_u32 {
        let mut chain = vec![vec![0_u8; 16 * 1024]; 2];
        chain[0][..4].copy_from_slice(&number.to_be_bytes());
        events.seen(&refused, &chain, &scene(0));
    }
    let waiting = events.drain(10_000, NO_WAIT);
    let bytes: usize = waiting
        .iter()
        .flat_map(|event| &event.chain)
        .map(|der| der.len())
        .sum();
    assert!((4 << 20..=8 << 20).contains(&bytes), "{bytes}");
    assert_eq!(events.dropped().notices, 1_000 - waiting.len() as u64);
    events.seen(
        &refused,
        &[vec![1_u8; 16 * 1024], vec![1; 16 * 1024 + 1]],
        &scene(0),
    );
    assert!(
        events.drain(10, NO_WAIT)[0].chain.is_empty(),
        "no chain beyond what the judge reads"
    );
}

#[test]
fn a_connection_that_was_cut_is_told_with_the_reason() {
    let events = Events::new(8, 8);
    let (admission, _) = crate::fixtures::admitted();
    events.cut(&admission, Reason::Revoked, &scene(5));
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.kind, event.reason, event.client),
        (Kind::Cut, Some("revoked"), Some(7))
    );
    assert_eq!(event.subject, "CN=alice,O=Example");
}

#[test]
fn no_more_than_asked_for_is_drained() {
    let events = Events::new(8, 8);
    for number in 0..5 {
        events.refused(&refusal(Reason::Expired), Some(&shown(number)), &scene(0));
    }
    assert_eq!(
        [
            events.drain(2, NO_WAIT).len(),
            events.drain(2, NO_WAIT).len(),
            events.drain(2, NO_WAIT).len()
        ],
        [2, 2, 1]
    );
    assert!(events.drain(0, NO_WAIT).is_empty());
}

#[test]
fn draining_waits_for_the_first_and_for_the_end() {
    let events = Events::new(8, 8);
    let long = Duration::from_secs(600);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| events.drain(10, long));
        events.refused(&refusal(Reason::Expired), Some(&shown(1)), &scene(0));
        assert_eq!(waiting.join().expect("no panic").len(), 1);
        let waiting = scope.spawn(|| events.drain(10, long));
        events.close();
        assert!(waiting.join().expect("no panic").is_empty());
    });
    assert!(events.drain(10, long).is_empty());
}

#[test]
fn what_a_stranger_chose_is_bounded() {
    let events = Events::new(8, 8);
    let long = "ö".repeat(40_000);
    let certificate = vec![0; 40_000];
    let shown = Shown {
        certificate: &certificate,
        subject: &long,
        ..shown(1)
    };
    events.refused(
        &refusal(Reason::UnknownIssuer),
        Some(&shown),
        &Scene {
            path: &long,
            host: &long,
            ..scene(0)
        },
    );
    let [event] = &events.drain(10, NO_WAIT)[..] else {
        panic!("one event")
    };
    assert!(
        event.subject.len() <= MAX_TEXT_BYTES
            && event.path.len() <= MAX_TEXT_BYTES
            && event.host.ends_with('…')
    );
    assert!(event.certificate.is_none());
    assert!(encode(std::slice::from_ref(event)).len() < 8 * 1024);
}

#[test]
fn the_control_plane_reads_maps() {
    #[derive(serde::Deserialize)]
    struct Read {
        kind: String,
        at: i64,
        count: u64,
        refusal: String,
        reason: String,
        certificate: serde_bytes::ByteBuf,
        peer: String,
        client: u64,
        sni: Option<String>,
    }
    let events = Events::new(8, 8);
    let id = events.refused(
        &refusal(Reason::Expired),
        Some(&shown(1)),
        &Scene {
            sni: "",
            ..scene(5)
        },
    );
    let bytes = encode(&events.drain(10, NO_WAIT));
    let read: Vec<Read> = rmp_serde::from_slice(&bytes).expect("maps");
    let [event] = &read[..] else {
        panic!("one event")
    };
    assert_eq!(
        (
            event.kind.as_str(),
            event.at,
            event.count,
            event.reason.as_str()
        ),
        ("refused", 5, 1, "expired")
    );
    assert_eq!(
        (event.refusal.as_str(), event.client, event.peer.as_str()),
        (id.as_str(), 7, "192.0.2.7")
    );
    assert_eq!(event.certificate.as_ref(), b"der");
    assert!(event.sni.is_none());
}
