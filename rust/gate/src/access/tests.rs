use std::{fs, process};

use super::*;

fn line<'a>() -> Line<'a> {
    Line {
        at: 1_795_560_068_123,
        request: "R1",
        peer: "192.0.2.7".parse().expect("an address"),
        site: "shop",
        method: "GET",
        path: "/hello",
        has_query: true,
        protocol: Some(http::Version::HTTP_2),
        status: 200,
        bytes_in: 3,
        bytes_out: 512,
        took: Duration::from_micros(1_234),
        outcome: Outcome::Admitted(7, "alice"),
        credential: Some(&[0xab; 32]),
        upstream: "http://127.0.0.1:8080",
        tls: "TLSv1.3",
        resumed: false,
    }
}

fn json(line: &Line<'_>) -> String {
    let mut out = Vec::new();
    line::json(&mut out, line);
    String::from_utf8(out).expect("UTF-8")
}

fn text(line: &Line<'_>) -> String {
    let mut out = Vec::new();
    line::text(&mut out, line);
    String::from_utf8(out).expect("UTF-8")
}

fn parsed(line: &Line<'_>) -> serde_json::Value {
    serde_json::from_str(&json(line)).expect("JSON")
}

#[test]
fn a_line_in_json() {
    assert_eq!(
        parsed(&line()),
        serde_json::json!({
            "at": "2026-11-24T22:41:08.123Z", "request": "R1", "peer": "192.0.2.7", "site": "shop", "method": "GET", "path": "/hello?…",
            "protocol": "HTTP/2", "status": 200, "bytes_in": 3, "bytes_out": 512, "ms": 1.234, "verdict": "admitted", "client_id": 7,
            "client": "alice", "credential": "ab".repeat(32), "upstream": "http://127.0.0.1:8080", "tls": "TLSv1.3", "resumed": false,
        })
    );
}

#[test]
fn a_refusal_is_logged_with_reason_and_reference() {
    let id = RefusalId::random();
    let refused = Line {
        outcome: Outcome::Refused("expired", Some(id)),
        status: 403,
        upstream: "",
        has_query: false,
        ..line()
    };
    let read = parsed(&refused);
    assert_eq!(
        (&read["verdict"], &read["reason"], &read["refusal"]),
        (&"refused".into(), &"expired".into(), &id.as_str().into())
    );
    assert!(read.get("client").is_none() && read.get("upstream").is_none());
    assert_eq!(
        text(&refused),
        format!(
            "192.0.2.7 - - [2026-11-24T22:41:08.123Z] \"GET /hello HTTP/2\" 403 512 refused expired {id} 1.234ms shop R1\n"
        )
    );
}

#[test]
fn a_line_in_text() {
    assert_eq!(
        text(&line()),
        "192.0.2.7 - alice [2026-11-24T22:41:08.123Z] \"GET /hello?… HTTP/2\" 200 512 admitted - - 1.234ms shop R1\n"
    );
    let anonymous = Line {
        outcome: Outcome::Anonymous,
        credential: None,
        tls: "",
        ..line()
    };
    assert!(text(&anonymous).contains("- - ["));
    assert!(parsed(&anonymous).get("resumed").is_none());
}

#[test]
fn what_a_client_chose_stays_inside_its_field() {
    for hostile in [
        "/\r\n192.0.2.1 - admin [x] \"GET / HTTP/2\" 200",
        "/\"} {\"verdict\":\"admitted\"",
        "/\\\" \\",
        "/\u{1b}[2J\u{7}\u{0}",
        "/\u{202e}\u{2028}\u{85}\u{feff}",
        "/\u{7f}\u{9b}31m",
        "a b",
        "",
        "-",
    ] {
        let line = Line {
            path: hostile,
            method: hostile,
            site: hostile,
            outcome: Outcome::Admitted(7, hostile),
            has_query: false,
            ..line()
        };
        let json = json(&line);
        assert_eq!(json.matches('\n').count(), 1);
        assert!(
            !json.trim_end().contains(
                |c: char| c.is_control() || ('\u{2000}'..'\u{2070}').contains(&c) && c != '…'
            ),
            "{json:?}"
        );
        let read = parsed(&line);
        assert_eq!(read["path"], hostile);
        assert_eq!(
            (&read["client_id"], &read["verdict"]),
            (&7.into(), &"admitted".into())
        );

        let text = text(&line);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(
            !text.trim_end().contains(|c: char| c.is_control()),
            "{text:?}"
        );
        assert!(text.starts_with("192.0.2.7 - "));
    }
}

#[test]
fn a_line_is_bounded() {
    let long = "x".repeat(1_000_000);
    let line = Line {
        path: &long,
        site: &long,
        outcome: Outcome::Admitted(7, &long),
        ..line()
    };
    assert!(json(&line).len() < 16 * 1024 && text(&line).len() < 16 * 1024);
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("access-{}-{name}", process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn closing_writes_all_lines_in_order() {
    let folder = Folder::new("order");
    let path = folder.0.join("access.log");
    let log = AccessLog::open(Target::File(path.clone()), Format::Json).expect("open");
    for status in 0..1_000 {
        log.log(&Line { status, ..line() });
    }
    log.close();
    let statuses: Vec<u64> = fs::read_to_string(&path)
        .expect("readable")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["status"].as_u64())
        .collect();
    assert_eq!(statuses, (0..1_000).collect::<Vec<u64>>());
    assert_eq!(log.lost(), 0);
    log.log(&line());
    assert_eq!(log.lost(), 1, "a line after the end is counted");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    let path = folder.0.join("access.log");
    drop(AccessLog::open(Target::File(path.clone()), Format::Json).expect("open"));
    assert_eq!(
        fs::metadata(&path).expect("there").permissions().mode() & 0o007,
        0
    );
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = Folder::new("rotate");
    let (path, old) = (folder.0.join("access.log"), folder.0.join("access.log.1"));
    let log = AccessLog::open(Target::File(path.clone()), Format::Text).expect("open");
    log.log(&line());
    fs::rename(&path, &old).expect("moved");
    log.reopen();
    while !path.exists() {
        thread::yield_now();
    }
    log.log(&line());
    log.close();
    let lines = |path: &Path| fs::read_to_string(path).expect("readable").lines().count();
    assert_eq!((lines(&old), lines(&path)), (1, 1));
}

#[test]
fn a_full_log_drops_and_counts_and_does_not_wait() {
    // A writer that nobody started: the disk that hangs.
    let shared = Shared {
        waiting: Mutex::default(),
        wake: Condvar::new(),
        lost: AtomicU64::new(0),
        max_bytes: 1_000,
    };
    for _ in 0..100 {
        shared.push(&[b'x'; 100]);
    }
    assert_eq!(shared.lost.load(Ordering::Relaxed), 90);
    assert_eq!(shared.lock().lines.len(), 1_000);
}

#[cfg(target_os = "linux")]
#[test]
fn lines_that_cannot_be_written_are_counted() {
    let log =
        AccessLog::open(Target::File(PathBuf::from("/dev/full")), Format::Json).expect("open");
    for _ in 0..5 {
        log.log(&line());
    }
    log.close();
    assert_eq!(log.lost(), 5);
}

#[test]
fn a_log_that_cannot_be_opened_says_which_and_why() {
    let error = AccessLog::open(
        Target::File(PathBuf::from("/nowhere/access.log")),
        Format::Json,
    )
    .expect_err("no such folder");
    assert!(
        error
            .to_string()
            .starts_with("access log /nowhere/access.log: "),
        "{error}"
    );
}

#[test]
fn off_costs_nothing_and_loses_nothing() {
    let log = AccessLog::open(Target::parse(""), Format::Json).expect("open");
    assert!(!log.is_on());
    log.log(&line());
    log.close();
    assert_eq!(log.lost(), 0);
    assert_eq!(
        (Target::parse("-"), Target::parse("a")),
        (Target::Stdout, Target::File(PathBuf::from("a")))
    );
}
