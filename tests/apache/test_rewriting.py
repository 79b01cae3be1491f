"""`Redirect` and `RewriteRule`: which paths they are about, and what is not guessed."""

import pytest
from apache.hosts import Nothing

from mutualgate.apache.report import Report
from mutualgate.apache.rewriting import Target, literal_paths, matched, redirect, refuses, rewrite
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
        (["%{HTTP:Upgrade} websocket", "%{REMOTE_ADDR} x"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTP:Accept} websocket"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTP:Upgrade} h2c"], f"{REST} ws://h/$1 [P]", "holds under conditions"),
        (["%{HTTPS} perhaps"], f"{REST} https://h/$1 [R]", "holds under conditions"),
        ([], "RewriteRule ^/a$ http://h/a [P]", "this is about one path"),
        ([], "RewriteRule ^/a(/|$) http://h/b [P]", "this is about one path"),
        ([], f"{REST} http://h/$1 [P,NC]", "not a pattern"),
    ],
)
def test_other_rewrites_are_left(conditions: list[str], line: str, why: str) -> None:
    report = Report()
    assert rewrite(read(line), [read(f"RewriteCond {one}") for one in conditions], report) == []
    assert [why in left.why for left in report.left] == [True]


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("RewriteRule ^ - [R=400]", True),
        ("RewriteRule ^ - [R=399]", False),
        ("RewriteRule ^ /b", False),
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
        ("^/(old)/(.*)$", "https://h/$1", None),
        ("^/old/(.*)$", "https://h/$1/more", None),
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
