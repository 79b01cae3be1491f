//! Sites, routes and permits: what a configuration may not say, and who passes where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use judge::{
    Reason, Snapshot, authorize, decide,
    record::{Batch, Mode, OnRefusal, RouteRecord, SiteRecord},
};

use crate::common;

fn route(path: &str) -> RouteRecord {
    RouteRecord {
        path: path.into(),
        client_certificate: Mode::Required,
        roles: vec![],
        clients: vec![],
        upstream: Some(0),
    }
}

fn site(name: &str, hosts: &[&str], routes: Vec<RouteRecord>) -> SiteRecord {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    SiteRecord {
        name: name.into(),
        hosts,
        client_certificate: Mode::Required,
        on_refusal: OnRefusal::Page,
        environment: String::new(),
        routes,
    }
}

fn build(sites: Vec<SiteRecord>) -> Result<Snapshot, String> {
    Snapshot::build([Batch {
        sites: Some(sites),
        ..Batch::default()
    }])
    .map_err(|error| error.to_string())
}

#[test]
fn a_host_is_found_however_it_is_written() {
    let snapshot = build(vec![
        site("a", &["A.Example.", "127.0.0.1", "::1"], vec![]),
        site("b", &["b.example"], vec![]),
    ])
    .unwrap();
    for host in [
        "a.example",
        "A.EXAMPLE",
        "a.example.",
        "127.0.0.1",
        "::1",
        "[::1]",
        "0:0::1",
    ] {
        assert_eq!(snapshot.site_of(host).unwrap().name(), "a", "{host}");
    }
    for host in [
        "",
        ".",
        "c.example",
        "xa.example",
        "a.example..",
        "*.example",
        &"a".repeat(300),
    ] {
        assert!(snapshot.site_of(host).is_none(), "{host}");
    }
    assert_eq!(
        (
            snapshot.default_site().unwrap().name(),
            snapshot.site_of("b.example").unwrap().index()
        ),
        ("a", 1)
    );
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let snapshot = build(vec![site(
        "a",
        &["a"],
        ["/", "/admin", "/admin/deep/er"].map(route).into(),
    )])
    .unwrap();
    let found = |path: &str| {
        snapshot
            .default_site()
            .unwrap()
            .route(path)
            .unwrap()
            .unwrap()
            .path()
            .to_owned()
    };
    for (path, expected) in [
        ("/", "/"),
        ("/administrator", "/"),
        ("/Admin", "/"),
        ("/admin", "/admin"),
        ("/admin/", "/admin"),
        ("/admin/deep", "/admin"),
        ("/admin/deep/er", "/admin/deep/er"),
        ("/admin/deep/er/", "/admin/deep/er"),
        ("/admin/deep/ers", "/admin"),
        ("/admin/deep/er/x/y/z", "/admin/deep/er"),
    ] {
        assert_eq!(found(path), expected, "{path}");
    }
    let snapshot = build(vec![site("a", &["a"], vec![route("/only")])]).unwrap();
    assert!(
        snapshot
            .default_site()
            .unwrap()
            .route("/")
            .unwrap()
            .is_none()
    );
    assert!(snapshot.default_site().unwrap().route("/only;x").is_err());
}

#[test]
fn contradictions_are_errors_that_name_the_record() {
    let wrong = [
        (
            vec![site("a", &["x"], vec![]), site("b", &["X."], vec![])],
            "site b: its host X. is already that of site a",
        ),
        (
            vec![site("a", &["x", "x"], vec![])],
            "site a: its host x is already that of site a",
        ),
        (
            vec![site("a", &["x"], vec![]), site("a", &["y"], vec![])],
            "site a: is there twice",
        ),
        (
            vec![site("a", &["x y"], vec![])],
            "site a: its host \"x y\" is no name or address",
        ),
        (
            vec![site("a", &["x"], vec![route("/b"), route("/b")])],
            "site a, route /b: is there twice",
        ),
        (
            vec![site("a", &["x"], vec![route("/b/../c")])],
            "site a, route /b/../c: its path contains a . or .. segment",
        ),
        (
            vec![site("a", &["x"], vec![route("/b/")])],
            "site a, route /b/: its path ends with a slash; write /b",
        ),
        (
            vec![site("a", &["x"], vec![route("b")])],
            "site a, route b: its path does not begin with a slash",
        ),
        (
            vec![site(
                "a",
                &["x"],
                vec![RouteRecord {
                    client_certificate: Mode::Optional,
                    roles: vec!["r".into()],
                    ..route("/b")
                }],
            )],
            "site a, route /b: names roles or clients but does not require a certificate",
        ),
    ];
    for (sites, expected) in wrong {
        assert_eq!(build(sites).unwrap_err(), expected);
    }
}

#[test]
fn a_wrong_delta_changes_nothing() {
    let snapshot = Snapshot::build([Batch {
        epoch: Some(7),
        ..common::batch(&common::good())
    }])
    .unwrap();
    let before = snapshot.clone();
    let wrong = Batch {
        epoch: Some(6),
        ..Batch::default()
    };
    assert_eq!(
        snapshot.apply(wrong).unwrap_err().to_string(),
        "epoch: goes back from 7 to 6"
    );
    assert!(snapshot == before);
    let mut dangling = common::batch(&common::good());
    dangling.authorities.clear();
    dangling.clients.clear();
    dangling.credentials[0].client = 99;
    assert_eq!(
        snapshot.apply(dangling).unwrap_err().to_string(),
        "credential 10: stands for client 99, which does not exist"
    );
}

#[test]
fn asked_and_required_follow_the_routes() {
    let off = RouteRecord {
        client_certificate: Mode::Off,
        ..route("/open")
    };
    let modes = |routes| {
        let snapshot = build(vec![site("a", &["a"], routes)]).unwrap();
        let site = snapshot.default_site().unwrap();
        (site.asks(), site.requires())
    };
    assert_eq!(modes(vec![route("/")]), (true, true));
    assert_eq!(modes(vec![route("/"), off.clone()]), (true, false));
    assert_eq!(modes(vec![off]), (false, false));
}

#[test]
fn a_removed_client_is_not_enrolled() {
    let vector = common::good();
    let snapshot = Snapshot::build([common::batch(&vector)]).unwrap();
    let mut removal = Batch::default();
    removal.removed.clients.push(1);
    removal.sites = Some(vec![site("a", &["a"], vec![route("/")])]);
    let next = snapshot.apply(removal).unwrap();
    let verdict = decide(&[&common::der(&vector.chain[0])], vector.at, &next);
    let refusal = authorize(
        &verdict,
        next.default_site().unwrap().route("/").unwrap().unwrap(),
    )
    .unwrap_err();
    assert_eq!(refusal.reason, Reason::NotEnrolled);
}
