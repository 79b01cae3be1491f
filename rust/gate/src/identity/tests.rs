use super::*;

const FINGERPRINT: [u8; 32] = [0xab; 32];

fn facts<'a>() -> Facts<'a> {
    Facts {
        client_id: 7,
        client: "alice",
        roles: vec!["admin", "ops"],
        fingerprint: &FINGERPRINT,
        subject: "CN=alice,O=Example",
        issuer: "CN=Example Issuing",
        serial: "4d2",
        authority: "house",
        evidence: "credential",
        partner: None,
    }
}

fn applied(facts: &Facts<'_>, chain: &[&[u8]]) -> HeaderMap {
    let mut fields = Written::of(facts);
    push_chain(&mut fields, chain);
    let mut headers = HeaderMap::new();
    let written = Written {
        fields: fields.finish(),
    };
    written.apply(&mut headers);
    headers
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().expect("visible ASCII"))
}

/// All ways to write a name that some server reads as the same one.
fn spellings(name: &str) -> Vec<HeaderName> {
    let mut out = Vec::new();
    for separator in ["-", "_", ".", "~", "+", "|"] {
        for case in [str::to_ascii_lowercase, str::to_ascii_uppercase] {
            let spelled = case(name).replace('-', separator);
            out.push(HeaderName::from_bytes(spelled.as_bytes()).expect("a token"));
        }
    }
    let first = name.replacen('-', "_", 1);
    out.push(HeaderName::from_bytes(first.as_bytes()).expect("a token"));
    out
}

const OURS: [&str; 29] = [
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Client-Cert-Chain",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "SSL-Client-S-DN",
    "SSL-Client-Subject-DN",
    "SSL-Cipher",
    "SSL-Session-Id",
    "SSL-Cipher-Usekeysize",
    "SSL-Secure-Protocol",
    "Proxy-Auth-Cert",
    "Proxy-Ssl-Id",
    "Mutualgate-Jwt",
    "Mutualgate-Omitted",
    "Client-Cert",
    "Client-Cert-Chain",
    "Mutualgate-Verdict",
    "Mutualgate-Client-Id",
    "Mutualgate-Client",
    "Mutualgate-Roles",
    "Mutualgate-Credential",
    "Mutualgate-Subject",
    "Mutualgate-Issuer",
    "Mutualgate-Serial",
    "Mutualgate-Authority",
    "Mutualgate-Tls",
    "Mutualgate-Anything",
];

const HOP: [&str; 13] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Proxy",
    "Front-End-Https",
];

const OTHERS: [&str; 30] = [
    "SSL-Server-S-DN",
    "X-SSL-Client-Cert",
    "X-SSL-Client-CN",
    "X-SSL",
    "X-Client-DN",
    "X-Client-Cert",
    "X-Client-Subject",
    "X-Client-Fingerprint",
    "X-Client-Verify",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "Cf-Client-Cert-Der-Base64",
    "Cf-Cert-Verified",
    "X-ARR-ClientCert",
    "X-ARR-SSL",
    "Remote-User",
    "Remote-Groups",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-WebAuth-User",
    "Tls-Client-Cert",
    "X-Tls-Client-Cert",
    "WL-Proxy-Client-Cert",
    "X-Auth-User",
    "X-Pomerium-Jwt-Assertion",
    "iv-user",
];

#[test]
fn no_spelling_of_an_identity_name_gets_through() {
    for name in OURS.into_iter().chain(HOP).chain(OTHERS) {
        for spelled in spellings(name) {
            let mut headers = HeaderMap::new();
            headers.append(&spelled, HeaderValue::from_static("forged"));
            headers.append(&spelled, HeaderValue::from_static("forged again"));
            headers.append("accept", HeaderValue::from_static("*/*"));
            strip(&mut headers, false);
            assert_eq!(headers.len(), 1, "{spelled}: {headers:?}");
            assert!(headers.contains_key("accept"));
        }
    }
}

#[test]
fn the_names_of_websphere_begin_with_a_dollar() {
    let mut headers = HeaderMap::new();
    headers.insert("$wscc", HeaderValue::from_static("forged"));
    strip(&mut headers, false);
    assert!(headers.is_empty());
}

#[test]
fn a_route_can_pass_the_names_of_others_but_never_ours() {
    for name in OTHERS {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).expect("a token"),
            HeaderValue::from_static("own"),
        );
        strip(&mut headers, true);
        assert_eq!(headers.len(), 1, "{name}");
    }
    for spelled in OURS.into_iter().chain(HOP).flat_map(spellings) {
        let mut headers = HeaderMap::new();
        headers.insert(&spelled, HeaderValue::from_static("forged"));
        strip(&mut headers, true);
        assert!(headers.is_empty(), "{spelled}");
    }
}

#[test]
fn all_of_them_at_once_in_one_request() {
    let mut headers = HeaderMap::new();
    for name in OURS
        .into_iter()
        .chain(HOP)
        .chain(OTHERS)
        .flat_map(spellings)
    {
        headers.append(name, HeaderValue::from_static("forged"));
    }
    headers.insert("cookie", HeaderValue::from_static("a=b"));
    strip(&mut headers, false);
    assert_eq!(
        headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["cookie"]
    );
}

#[test]
fn trailers_cannot_be_announced_under_those_names() {
    let mut headers = HeaderMap::new();
    headers.append(
        TRAILER,
        HeaderValue::from_static("Checksum, Client_Cert, X-SSL-Client-CN"),
    );
    headers.append(TRAILER, HeaderValue::from_static("mutualgate-client-id"));
    strip(&mut headers, false);
    assert_eq!(text(&headers, "trailer"), Some("checksum"));

    headers.insert(TRAILER, HeaderValue::from_static("Client-Cert"));
    strip(&mut headers, false);
    assert!(headers.is_empty());
}

#[test]
fn an_admitted_client_is_told_in_full() {
    let headers = applied(&facts(), &[b"leaf", b"issuing", b"root"]);
    for (name, value) in [
        ("mutualgate-verdict", "admitted"),
        ("mutualgate-client-id", "7"),
        ("mutualgate-client", "alice"),
        ("mutualgate-roles", "admin,ops"),
        (
            "mutualgate-credential",
            "abababababababababababababababababababababababababababababababab",
        ),
        ("mutualgate-subject", "CN=alice,O=Example"),
        ("mutualgate-issuer", "CN=Example Issuing"),
        ("mutualgate-serial", "4d2"),
        ("mutualgate-authority", "house"),
        ("client-cert", ":bGVhZg==:"),
        ("client-cert-chain", ":aXNzdWluZw==:, :cm9vdA==:"),
    ] {
        assert_eq!(text(&headers, name), Some(value), "{name}");
    }
    assert_eq!(headers.len(), 12);
}

#[test]
fn a_leaf_alone_makes_no_chain() {
    let headers = applied(&facts(), &[b"leaf"]);
    assert!(headers.contains_key(CLIENT_CERT));
    assert!(!headers.contains_key(CLIENT_CERT_CHAIN));
}

#[test]
fn a_stranger_gets_the_verdict_and_nothing_else() {
    let mut headers = HeaderMap::new();
    Written::anonymous().apply(&mut headers);
    assert_eq!(text(&headers, "mutualgate-verdict"), Some("anonymous"));
    assert_eq!(headers.len(), 1);
}

#[test]
fn ours_replaces_what_is_there_even_without_stripping() {
    let mut headers = HeaderMap::new();
    headers.append(CLIENT_ID, HeaderValue::from_static("1"));
    headers.append(CLIENT_ID, HeaderValue::from_static("2"));
    Written {
        fields: Written::of(&facts()).finish(),
    }
    .apply(&mut headers);
    assert_eq!(headers.get_all(CLIENT_ID).iter().collect::<Vec<_>>(), ["7"]);
}

#[test]
fn hostile_names_stay_inside_their_field() {
    for name in [
        "CN=a\r\nMutualgate-Client-Id: 1",
        "CN=a\nMutualgate-Roles: admin",
        "CN=\0victim",
        "CN=a,OU=admin;O=\"x\"+y=z",
        "CN=\u{202e}ecila",
        "CN=Zoë Ünïcode 🔑",
        "CN=\u{85}\u{2028}",
        " CN=spaces ",
        "",
    ] {
        let headers = applied(
            &Facts {
                subject: name,
                issuer: name,
                client: name,
                authority: name,
                ..facts()
            },
            &[b"leaf"],
        );
        for field in [
            "mutualgate-subject",
            "mutualgate-issuer",
            "mutualgate-client",
            "mutualgate-authority",
        ] {
            let value = text(&headers, field).expect("present");
            assert!(
                value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)),
                "{value}"
            );
        }
        assert_eq!(text(&headers, "mutualgate-client-id"), Some("7"));
        assert_eq!(text(&headers, "mutualgate-roles"), Some("admin,ops"));
        assert_eq!(headers.len(), 11);
    }
}

#[test]
fn a_role_cannot_be_two() {
    let headers = applied(
        &Facts {
            roles: vec!["a,admin", "b%2Cadmin"],
            ..facts()
        },
        &[b"leaf"],
    );
    assert_eq!(
        text(&headers, "mutualgate-roles"),
        Some("a%2Cadmin,b%252Cadmin")
    );
    let headers = applied(
        &Facts {
            roles: vec![],
            ..facts()
        },
        &[b"leaf"],
    );
    assert_eq!(text(&headers, "mutualgate-roles"), Some(""));
}

#[test]
fn what_is_too_long_is_left_out_whole() {
    let long = format!("CN={}", "x".repeat(64 * 1024));
    let certificate = vec![0u8; 30 * 1024];
    let headers = applied(
        &Facts {
            subject: &long,
            ..facts()
        },
        &[&certificate, b"issuing"],
    );
    for name in [SUBJECT, CLIENT_CERT, CLIENT_CERT_CHAIN] {
        assert!(!headers.contains_key(&name), "{name}"); // RFC 9440 2.3: no chain without its leaf
    }
    assert_eq!(text(&headers, "mutualgate-client-id"), Some("7"));

    let headers = applied(&facts(), &[b"leaf", &certificate]);
    assert_eq!(text(&headers, "client-cert"), Some(":bGVhZg==:"));
    assert!(!headers.contains_key(CLIENT_CERT_CHAIN));
}

#[test]
fn what_the_judge_admitted_is_what_the_service_reads() {
    let (admission, chain) = crate::fixtures::admitted();
    let mut headers = HeaderMap::new();
    Written::new(&admission, &chain).apply(&mut headers);
    for (name, value) in [
        ("mutualgate-verdict", "admitted"),
        ("mutualgate-client-id", "7"),
        ("mutualgate-client", "alice"),
        ("mutualgate-roles", "admin,ops"),
        (
            "mutualgate-credential",
            "e1c25163cec56f500861d7894d188fce6f4b1a60e46f4254840218874f7bbaa8",
        ),
        ("mutualgate-subject", "CN=alice,O=Example"),
        ("mutualgate-issuer", "CN=Example Issuing"),
        ("mutualgate-serial", "4d2"),
        ("mutualgate-authority", "house"),
    ] {
        assert_eq!(text(&headers, name), Some(value), "{name}");
    }
}

#[test]
fn facts_of_the_connection() {
    let facts = TlsFacts {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        group: "X25519MLKEM768",
        resumed: false,
        sni: "shop.test",
        alpn: "h2",
    };
    assert_eq!(
        facts.value(),
        "version=TLSv1.3; cipher=TLS_AES_128_GCM_SHA256; group=X25519MLKEM768; resumed=no; sni=shop.test; alpn=h2"
    );
    assert_eq!(
        TlsFacts {
            resumed: true,
            sni: "a; resumed=no",
            ..TlsFacts::default()
        }
        .value(),
        "resumed=yes; sni=a%3B%20resumed%3Dno"
    );
}
