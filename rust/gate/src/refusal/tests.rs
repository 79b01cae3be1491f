use http::header::ACCEPT;

use super::*;

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const BROWSER_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn document(code: &'static str) -> Document {
    Document {
        status: StatusCode::FORBIDDEN,
        code,
        title: "Your certificate has expired".into(),
        detail: "It expired on 3 May 2026.".into(),
        fix: "Ask for a new one.".into(),
        refusal: Some(RefusalId::random()),
        terse: false,
        retry_after: None,
        portal: None,
    }
}

fn asked(wanted: &[(HeaderName, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in wanted {
        fields.append(name.clone(), value.parse().expect("a value"));
    }
    fields
}

fn page(document: &Document, user_agent: &str) -> String {
    let headers = asked(&[(ACCEPT, BROWSER_ACCEPT), (USER_AGENT, user_agent)]);
    let response = document.answer(&Method::GET, &headers);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    String::from_utf8(response.into_body().to_vec()).expect("UTF-8")
}

fn problem(document: &Document) -> serde_json::Value {
    let response = document.answer(&Method::GET, &Fields::default());
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    serde_json::from_slice(response.body()).expect("JSON")
}

#[test]
fn a_program_gets_a_problem_document() {
    let document = document("expired");
    let id = document.refusal.expect("an id").to_string();
    assert_eq!(
        problem(&document),
        serde_json::json!({
            "type": "urn:mutualgate:reason:expired",
            "title": "Your certificate has expired",
            "status": 403,
            "reason": "expired",
            "detail": "It expired on 3 May 2026.",
            "fix": "Ask for a new one.",
            "refusal": id,
        })
    );
}

#[test]
fn a_person_gets_a_page_that_says_it_all() {
    let document = document("expired");
    let page = page(&document, CHROME);
    for text in [
        "<html lang=\"en\">",
        "403",
        "expired",
        "Your certificate has expired",
        "It expired on 3 May 2026.",
        "Ask for a new one.",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for group in document.refusal.expect("an id").groups() {
        assert!(page.contains(&format!("<span>{group}</span>")));
    }
}

fn refusal(reason: Reason, issuer_known: bool) -> Refusal {
    let detail = "The certificate expired on 3 May 2026.".to_owned();
    Refusal {
        reason,
        certificate: Some(0),
        detail,
        issuer_known,
        client: None,
        partner: None,
    }
}

#[test]
fn a_stranger_is_told_no_detail() {
    let known = Document::refused(&refusal(Reason::Expired, true), RefusalId::random());
    assert!(page(&known, CHROME).contains("3 May"));
    assert_eq!(
        problem(&known)["detail"],
        "The certificate expired on 3 May 2026."
    );

    let stranger = Document::refused(&refusal(Reason::Expired, false), RefusalId::random());
    assert!(!page(&stranger, CHROME).contains("3 May"));
    assert_eq!(problem(&stranger)["detail"], Reason::Expired.meaning());
}

#[test]
fn leads_to_the_portal_where_there_is_one() {
    let id = RefusalId::random();
    let document = Document::refused(&refusal(Reason::NoCertificate, false), id);
    assert!(!page(&document, CHROME).contains("<a href"));
    let document = document.with_portal(Some("/join"));
    let told = page(&document, CHROME);
    assert!(
        told.contains(
            "<a href=\"/join/me\">See which certificate this browser used here before</a>"
        )
    );
    let expired = Document::refused(&refusal(Reason::Expired, true), id).with_portal(Some("/join"));
    assert!(page(&expired, CHROME).contains("See which certificate this browser sent</a>"));
    assert!(
        told.contains("a { color: var(--link);"),
        "a link has a colour of the page's own in both schemes"
    );
    let at_the_top = document.with_portal(Some("/"));
    assert!(page(&at_the_top, CHROME).contains("<a href=\"/me\""));
    // Who is suspended is not helped by another certificate.
    let suspended = Document::refused(&refusal(Reason::ClientSuspended, true), id);
    assert!(!page(&suspended.with_portal(Some("/join")), CHROME).contains("<a href"));
}

#[test]
fn every_reason_has_its_document() {
    for reason in Reason::ALL {
        let id = RefusalId::random();
        let document = Document::refused(&refusal(reason, true), id);
        let read = problem(&document);
        let status = if reason == Reason::WrongSite {
            421
        } else {
            403
        };
        assert_eq!(
            (&read["status"], &read["reason"]),
            (&status.into(), &reason.code().into())
        );
        assert_eq!(
            (&read["fix"], &read["refusal"]),
            (&reason.fix().into(), &id.as_str().into())
        );
        assert_eq!(
            read["type"],
            format!("urn:mutualgate:reason:{}", reason.code())
        );
        let title = read["title"].as_str().expect("a title");
        assert!((10..=50).contains(&title.len()), "{title}");
        assert!(page(&document, CHROME).contains(reason.code()));
    }
}

#[test]
fn nothing_is_kept_sniffed_framed_or_run() {
    for accept in [BROWSER_ACCEPT, "*/*"] {
        let response = document("expired").answer(&Method::GET, &asked(&[(ACCEPT, accept)]));
        let fields = response.headers();
        assert_eq!(fields[CACHE_CONTROL], "no-store");
        assert_eq!(fields[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(fields[VARY], "Accept");
        assert_eq!(fields["mutualgate-reason"], "expired");
        assert_eq!(fields["mutualgate-refusal"].len(), 16);
        let policy = fields[CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
}

#[test]
fn the_policy_allows_exactly_the_style_of_the_page() {
    let page = page(&document("no_certificate"), CHROME);
    let style = page
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"))
        .expect("a style")
        .0;
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes()));
    assert!(
        policy()
            .to_str()
            .expect("ASCII")
            .contains(&format!("'sha256-{hash}'"))
    );
    assert!(
        !page.contains("style=\"")
            && !page.contains("<script")
            && !page.contains("http://")
            && !page.contains("https://")
    );
}

#[test]
fn an_answer_to_head_has_the_length_and_no_body() {
    let document = document("expired");
    for accept in [BROWSER_ACCEPT, "*/*"] {
        let headers = asked(&[(ACCEPT, accept)]);
        let get = document.answer(&Method::GET, &headers);
        let head = document.answer(&Method::HEAD, &headers);
        assert!(head.body().is_empty());
        assert_eq!(head.headers(), get.headers());
        assert_eq!(get.headers()[CONTENT_LENGTH], get.body().len().to_string());
    }
}

#[test]
fn hostile_text_stays_text() {
    for text in [
        "</style><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "' onmouseover='alert(1)",
        "{{ 7*7 }} {% raw %} ${7*7}",
        "\u{0}\u{7}\u{1b}[31m\r\n\r\nHTTP/1.1 200 OK",
        "\u{202e}evil\u{2028}",
        "]]>--><!--",
        "&lt;script&gt;",
    ] {
        let document = Document {
            title: text.into(),
            detail: text.into(),
            fix: text.into(),
            ..document("revoked")
        };
        let page = page(
            &document,
            text.replace(|c: char| !c.is_ascii_graphic(), "").as_str(),
        );
        let tags = |page: &str| page.matches('<').count();
        assert_eq!(
            tags(&page),
            tags(&self::page(&self::document("revoked"), CHROME)),
            "{page}"
        );
        let heading = page
            .split_once("<h1 id=\"title\">")
            .and_then(|(_, rest)| rest.split_once("</h1>"))
            .expect("a heading")
            .0;
        assert!(!heading.contains(['<', '>', '"', '\'']), "{heading}");
        assert_eq!(problem(&document)["detail"], text);
        assert_eq!(
            document.answer(&Method::GET, &Fields::default()).headers()["mutualgate-reason"],
            "revoked"
        );
    }
}

#[test]
fn the_page_for_no_certificate_says_what_it_can_mean_and_where_to_look_first() {
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for (user_agent, first) in [(CHROME, "Windows"), (firefox, "Firefox")] {
        let page = page(&document("no_certificate"), user_agent);
        for text in [
            "expired",
            "not valid yet",
            "client authentication",
            "names purposes",
            "Cancel",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert_eq!(page.matches("<details open>").count(), 1);
        assert_eq!(page.matches("<summary>").count(), 6);
        let open = page
            .split_once("<details open>")
            .and_then(|(_, rest)| rest.split_once("</summary>"))
            .expect("one open")
            .0;
        assert!(open.contains(first), "{open}");
    }
    let unknown = page(&document("no_certificate"), "");
    assert_eq!(
        (
            unknown.matches("<details open>").count(),
            unknown.matches("<summary>").count()
        ),
        (0, 6)
    );
    assert!(!page(&document("client_suspended"), CHROME).contains("<summary>"));
}

#[test]
fn failures_that_are_no_refusals_have_no_reference() {
    let document = Document {
        status: StatusCode::BAD_GATEWAY,
        refusal: None,
        ..document("upstream_unreachable")
    };
    assert!(problem(&document).get("refusal").is_none());
    assert!(!page(&document, CHROME).contains("Reference"));
    assert!(
        !document
            .answer(&Method::GET, &Fields::default())
            .headers()
            .contains_key("mutualgate-refusal")
    );
}
