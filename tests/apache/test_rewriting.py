"""`Redirect` and `RewriteRule`: which paths they are about, and what is not guessed."""

import pytest
from apache.hosts import Nothing

from mutualgate.apache.grants import OPEN, Grant
from mutualgate.apache.report import Report
from mutualgate.apache.rewriting import (
    Target,
    barred,
    barrier,
    literal_paths,
    matched,
    redirect,
    refuses,
    rewrite,
    rules_in,
    same_for_everybody,
)
from mutualgate.apache.syntax import Directive, parse


def read(line: str) -> Directive:
    (directive,), _ = parse(line, "site.conf", Nothing())
    return directive


def told(targets: list[Target] | None) -> list[tuple[str, str, int | None, bool, bool]] | None:
    if targets is None:
        return None
    return [(one.path, one.url, one.status, one.keeps_rest, one.alone) for one in targets]


@pytest.mark.parametrize(
    ("line", "inside", "expected"),
    [
        ("Redirect /old/ https://h/new/", None, ("/old", "https://h/new/", 302, True, False)),
        ("Redirect / https://h", None, ("/", "https://h", 302, True, False)),
        ("Redirect TEMP /old https://h", None, ("/old", "https://h", 302, True, False)),
        ("Redirect gone /old", None, ("/old", "", 410, True, False)),
        ("Redirect 400 /old", None, ("/old", "", 400, True, False)),
        ("Redirect 308 https://h", "/in", ("/in", "https://h", 308, False, False)),
        ("Redirect gone", "/in", ("/in", "", 410, False, False)),
        ("Redirect /in/x https://h", "/in", ("/in/x", "https://h", 302, False, False)),
        ("RedirectMatch ^/old$ https://h", None, ("/old", "https://h", 302, False, True)),
    ],
)
def test_a_redirect_is_read(line: str, inside: str | None, expected: tuple[object, ...]) -> None:
    assert told(redirect(read(line), inside, Report())) == [expected]


@pytest.mark.parametrize(
    ("line", "inside", "why"),
    [
        ("Redirect", None, "is missing"),
        ("Redirect gone", None, "is missing"),
        ("Redirect /old", None, "is missing"),
        ("Redirect 301 /old", None, "is missing"),
        ("Redirect 410 /old https://h", None, "is missing"),
        ("Redirect 299 /old https://h", None, "is missing"),
        ("Redirect old https://h", None, "is missing"),
        ("Redirect ./old https://h", None, "not a pattern"),
        ("RedirectMatch ^/o.d$ https://h", None, "not a pattern"),
        ("RedirectMatch /old https://h", None, "not a pattern"),
    ],
)
def test_a_redirect_that_is_none_is_left(line: str, inside: str | None, why: str) -> None:
    report = Report()
    assert redirect(read(line), inside, report) == []
    assert [why in left.why for left in report.left] == [True]


REST = "RewriteRule ^/a/(.*)$"


@pytest.mark.parametrize(
    ("conditions", "line", "expected"),
    [
        ([], f"{REST} https://h/$1 [R=permanent]", ("/a", "https://h", 301, True, False)),
        ([], f"{REST} https://h/$1 [R=nonsense]", ("/a", "https://h", 302, True, False)),
        ([], f"{REST} https://h/$1 [REDIRECT=seeother,L]", ("/a", "https://h", 303, True, False)),
        (["%{HTTPS} on"], f"{REST} https://h/$1", ("/a", "https://h", 302, True, False)),
        ([], f"{REST} http://h/$1 [PROXY]", ("/a", "http://h", None, True, False)),
        ([], "RewriteRule ^/a(/|$) - [G]", ("/a", "", 410, True, False)),
        ([], "RewriteRule ^/a(/|$) - [GONE]", ("/a", "", 410, True, False)),
        ([], "RewriteRule ^/a(/|$) - [FORBIDDEN]", ("/a", "", 403, True, False)),
        ([], "RewriteRule ^/a(/|$) - [R=400]", ("/a", "", 400, True, False)),
    ],
)
def test_a_rewrite_is_read(conditions: list[str], line: str, expected: tuple[object, ...]) -> None:
    report = Report()
    found = rewrite(read(line), [read(f"RewriteCond {one}") for one in conditions], report)
    assert told(found) == [expected]
    assert report.left == []


@pytest.mark.parametrize(
    ("conditions", "line"),
    [
        ([], r"RewriteRule \.do$ - [F]"),
        ([], "RewriteRule ^/a(/|$) - [F,NC]"),
        (["%{HTTP_USER_AGENT} x"], "RewriteRule ^/a(/|$) - [F]"),
        (["%{REQUEST_URI} ^TRACE$"], "RewriteRule .* - [F]"),
        (["%{REQUEST_METHOD} ^TRACE", "%{REMOTE_ADDR} !=10.0.0.1"], "RewriteRule .* - [R=400]"),
        (["%{HTTPS} on [OR]", "%{REQUEST_METHOD} ^TRACE"], "RewriteRule .* - [F]"),
        (["%{HTTPS} =off [ORnext]", "%{REMOTE_ADDR} x"], "RewriteRule .* - [F]"),
        (["%{HTTP_HOST} off"], "RewriteRule .* - [F]"),
        (["%{HTTP_HOST} on"], "RewriteRule ^/a(/|$) - [F]"),
        (["%{HTTPS} perhaps"], "RewriteRule .* - [F]"),
        (["%{HTTP:Upgrade} websocket", "%{REMOTE_ADDR} x"], f"{REST} ws://h/$1 [P]"),
        (["%{SSL:SSL_CLIENT_VERIFY} !=SUCCESS"], f"{REST} https://h/$1 [R]"),
        (["%{SSL:SSL_CLIENT_VERIFY} !=SUCCESS"], "RewriteRule . /no_certificate.php [L]"),
    ],
)
def test_a_rewrite_that_keeps_somebody_out_is_told_from_one_without_effect(conditions: list[str], line: str) -> None:
    assert rewrite(read(line), [read(f"RewriteCond {one}") for one in conditions], Report()) is None


def test_a_rewrite_that_no_request_over_tls_meets_is_nothing() -> None:
    report = Report()
    assert rewrite(read("RewriteRule .* - [F]"), [read("RewriteCond %{HTTPS} =off")], report) == []
    assert report.left == []


@pytest.mark.parametrize(
    ("conditions", "line", "why"),
    [
        (["%{REQUEST_METHOD} ^TRACE"], "RewriteRule .* - [F]", "about methods"),
        ([], f"{REST} /b/$1", "rewriting is not carried over"),
        (["%{HTTP:Upgrade} websocket"], f"{REST} https://h/$1 [R]", "holds under conditions"),
        (["%{HTTP:Upgrade} websocket", "%{HTTP_HOST} x"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTP:Accept} websocket"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTP:Upgrade} h2c"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTPS} perhaps"], f"{REST} https://h/$1 [R]", "holds under conditions"),
        (["%{HTTP_USER_AGENT} phone"], f"{REST} https://h/$1 [R]", "holds under conditions"),
        (["%{REMOTE_ADDR} (.*)"], "RewriteRule ^ - [E=from:%1]", "rewriting is not carried over"),
        ([], "RewriteRule ^/a$ http://h/a [P]", "this is about one path"),
        ([], "RewriteRule ^/a(/|$) http://h/b [P]", "this is about one path"),
        ([], f"{REST} http://h/$1 [P,NC]", "not a pattern"),
    ],
)
def test_other_rewrites_are_left(conditions: list[str], line: str, why: str) -> None:
    report = Report()
    assert rewrite(read(line), [read(f"RewriteCond {one}") for one in conditions], report) == []
    assert [why in left.why for left in report.left] == [True]


VERIFIED = "%{SSL:SSL_CLIENT_VERIFY}"
UNKNOWN, CERTIFICATE = Grant(unknown=True), Grant(certificate=True)


@pytest.mark.parametrize(
    ("conditions", "line", "asked"),
    [
        ([f"{VERIFIED} !^SUCCESS$"], "RewriteRule ^(.*) https://h [R]", CERTIFICATE),
        ([f"{VERIFIED} !=SUCCESS"], "RewriteRule ^ /login", CERTIFICATE),
        ([f"{VERIFIED} !SUCCESS"], "RewriteRule ^ http://h/ [P]", CERTIFICATE),
        (["%{SSL_CLIENT_VERIFY} =NONE"], "RewriteRule ^ - [F]", CERTIFICATE),
        ([f"{VERIFIED} ^NONE$", "%{HTTPS} =on"], "RewriteRule ^ - [L]", CERTIFICATE),
        ([f"{VERIFIED} !^NONE$"], "RewriteRule ^ - [F]", UNKNOWN),
        ([f"{VERIFIED} =SUCCESS"], "RewriteRule ^ /in [R]", UNKNOWN),
        (["%{SSL:SSL_CLIENT_S_DN_CN} !^SUCCESS$"], "RewriteRule ^ /in [R]", UNKNOWN),
        ([f"{VERIFIED} !=SUCCESS", "%{REMOTE_ADDR} !^10"], "RewriteRule ^ /in [R]", UNKNOWN),
        (["%{REMOTE_ADDR} !^10", f"{VERIFIED} !=SUCCESS"], "RewriteRule ^ /in [R]", UNKNOWN),
        ([f"{VERIFIED} !=SUCCESS [OR]", "%{HTTPS} on"], "RewriteRule ^ /in [R]", UNKNOWN),
        (["%{HTTP_HOST} ^www", "%{REMOTE_USER} ="], "RewriteRule ^ /in [R]", UNKNOWN),
        (["%{REMOTE_ADDR} !^10"], "RewriteRule ^ - [S=1]", UNKNOWN),
        (["%{REMOTE_ADDR} !^10"], "RewriteRule ^ - [E=far:1,L]", UNKNOWN),
        (["%{HTTP_USER_AGENT} x"], "RewriteRule ^ - [F]", UNKNOWN),
        (["%{HTTP_USER_AGENT} x"], "RewriteRule ^ - [R=400]", UNKNOWN),
        ([], "RewriteRule ^ - [F]", UNKNOWN),
        (["%{REQUEST_METHOD} ^TRACE", "%{REMOTE_ADDR} x"], "RewriteRule ^ - [R=400]", UNKNOWN),
        (["%{REQUEST_METHOD} ^TRACE"], "RewriteRule ^ - [R=400]", OPEN),
        (["%{HTTPS} off"], "RewriteRule ^ - [F]", OPEN),
        (["%{SSL:SSL_CLIENT_S_DN_CN} (.+)"], "RewriteRule ^ - [E=USER:%1]", OPEN),
        (["%{SSL:SSL_CLIENT_S_DN_CN} (.+)"], "RewriteRule ^ -", OPEN),
        (["%{HTTP_HOST} ^www", "%{REQUEST_URI} ^/x"], "RewriteRule ^ /in [R]", OPEN),
        ([], "RewriteRule ^ /in [R=399]", OPEN),
    ],
)
def test_who_is_sent_elsewhere_is_kept_out(conditions: list[str], line: str, asked: Grant) -> None:
    rule = read(line)
    found = barrier(rule, [read(f"RewriteCond {one}") for one in conditions])
    assert found == asked
    assert found.because == (() if asked == OPEN else (rule,))


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("RewriteRule ^/(a|b)(/|$) - [F]", ["/a", "/b"]),
        ("RewriteRule ^/a$ - [F,L]", ["/a"]),
        ("RewriteRule .? - [F]", ["/"]),
        ("RewriteRule . /no.php [L]", ["/"]),
        ("RewriteRule ^(.+)$ https://h$1 [R]", ["/"]),
        ("RewriteRule ^/a - [F]", None),
        ("RewriteRule !^/a(/|$) - [F]", None),
        ("RewriteRule ^/a(/|$) - [F,NC]", None),
    ],
)
def test_a_rule_that_keeps_somebody_out_is_about_paths_that_a_route_can_name(
    line: str, paths: list[str] | None
) -> None:
    assert barred(read(line)) == paths


def test_conditions_belong_to_the_next_rule() -> None:
    lines = "RewriteCond a b\nRewriteCond c d\nRewriteRule ^ -\nHeader set X y\nRewriteRule ^ /b\nRewriteCond e f"
    (first, second, rule, header, other, last), _ = parse(lines, "site.conf", Nothing())
    assert rules_in([first, second, rule, header, other, last]) == ([(rule, (first, second)), (other, ())], [last])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("%{HTTP_HOST} ^www", True),
        ("%{HTTP:accept-language} ^de", True),
        ("%{ENV:HTTPS} !on", True),
        ("%{HTTP:X-Forwarded-Ssl} !on", True),
        ("%{LA-U:REQUEST_FILENAME} -f", True),
        ("%{HTTP:X-Forwarded-For} ^10", False),
        ('<If "%{REQUEST_URI} =~ m#^/x(a|b)#">', True),
        ("$1 !^(index|x)", True),
        ("${map:%{SERVER_PORT}} x", True),
        ("%{TIME_HOUR} >8", False),
        ("%{HTTP_COOKIE} session", False),
        ("%{HTTP:Authorization} ^$", False),
        ("%{ENV:trusted} 1", False),
        ("%{HTTP_HOST_OF} x", False),
        ("${map:%{REMOTE_ADDR}|no} no", False),
        ("%{LA-U:REMOTE_USER} x", False),
        ("<If \"-R '10.0.0.0/8'\">", False),
        ("<If \"! -R '10.0.0.0/8'\">", False),
        ("<If \"reqenv('x') == 'y'\">", False),
        ("expr \"req( 'Cookie' ) == 1\"", False),
    ],
)
def test_a_condition_is_about_the_request_or_about_who_asks(text: str, same: bool) -> None:
    assert same_for_everybody(text) is same


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("Redirect gone /", True),
        ("RedirectMatch 403 ^/", True),
        ("Redirect 301 / https://h", False),
        ("ErrorDocument 404 /lost", False),
    ],
)
def test_what_refuses_is_told_from_what_does_not(line: str, answers: bool) -> None:
    assert refuses(read(line)) is answers


@pytest.mark.parametrize(
    ("pattern", "url", "expected"),
    [
        ("^", "https://h%{REQUEST_URI}", (["/"], "https://h", True, False)),
        ("^/old/(.*)$", "/$1", (["/old"], "/", True, False)),
        ("^/(.*)$", "https://h/$1", (["/"], "https://h", True, False)),
        ("^/old/?$", "/new", (["/old"], "/new", False, True)),
        ("^/old(/|$)", "https://h%{REQUEST_URI}", None),
        ("^/old(/|$)", "https://h/$1", None),
        ("^/old(/|$)", "https://%{HTTP_HOST}", None),
        ("^/old$", "https://h/$1", None),
        ("^/$", "https://h%{REQUEST_URI}", None),
        ("^/(old)/(.*)$", "https://h/$1", None),
        ("^/old/(.*)$", "https://h/$1/more", None),
        ("^(.+)$", "https://h$1", (["/"], "https://h", True, False)),
    ],
)
def test_what_is_put_in_is_all_that_comes_after_a_path(
    pattern: str, url: str, expected: tuple[list[str], str, bool, bool] | None
) -> None:
    assert matched(pattern, url) == expected


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("^/a/", ["/a"]),
        ("^/a/.*", ["/a"]),
        ("^/a/(.*)", ["/a"]),
        ("^/a(?:/|$)", ["/a"]),
        ("^/a($|/)", ["/a"]),
        ("^/a(/.*)?$", ["/a"]),
        ("^/(?:a|b)/(c|d)(/|$)", ["/a/c", "/a/d", "/b/c", "/b/d"]),
        ("^/(.*)", ["/"]),
        ("^/a", None),
        ("^/a.*", None),
        ("^/a(.*)$", None),
        ("^/a/(/|$)", None),
        ("^/a//", None),
        ("^/a/b$", None),
        ("/a(/|$)", None),
        ("^/(a|)(/|$)", None),
        ("^/a(/|$)x", None),
    ],
)
def test_only_patterns_of_whole_subtrees_are_paths(pattern: str, paths: list[str] | None) -> None:
    assert literal_paths(pattern) == paths


def test_a_pattern_is_a_list_of_fifty_paths_at_most() -> None:
    names = [f"n{number}" for number in range(51)]
    assert literal_paths(f"^/({'|'.join(names[1:])})(/|$)") == [f"/{name}" for name in names[1:]]
    assert literal_paths(f"^/({'|'.join(names)})(/|$)") is None
