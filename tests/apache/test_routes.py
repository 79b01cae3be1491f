"""The routes of a site: what shuts them, what is said of those that are not as they were."""

from datetime import timedelta

import pytest
from apache.hosts import BASIC, CN, TLS, imported, routes, vhost, whys

from mutualgate.apache.import_ import Imported
from mutualgate.config import Mode, parse


def do(result: Imported, directive: str) -> list[str]:
    return [left.do for left in result.left if left.directive.startswith(directive)]


def area(path: str, *rules: str) -> tuple[str, ...]:
    return (f"<Location {path}>", *rules, "</Location>")


@pytest.mark.parametrize("path", ["/a%20b", "'/a b'", "/a;b"])
def test_a_rule_for_a_path_that_no_route_can_have_holds_for_the_site(path: str) -> None:
    lines = (*TLS, "ProxyPass / http://h/", *area("/c", "LimitRequestBody 5"))
    strict = routes(*lines, *area(path, "SSLVerifyClient require"))
    assert {route.client_certificate for route in strict.values()} == {Mode.REQUIRED}
    lax = imported(vhost(*lines, *area(path, "LimitRequestBody 5")))
    assert {route.client_certificate for route in parse(lax.toml).sites[0].routes} == {Mode.OFF}
    assert whys(lax, "<Location")[0].startswith("as a path of a route")
    assert [left.directive[:9] for left in imported(vhost(*lines, *area(path, "Require ip 10.0.0.1"))).left] == [
        "<Location"
    ]
    (service,) = imported(vhost(*TLS, "ProxyPass /c http://h/c", "ProxyPass /a;b http://h/a;b")).left
    assert service.why.startswith("as a path of a route")
    assert service.do


def test_a_path_that_no_route_can_have_is_as_strict_as_its_own_rule() -> None:
    lines = ("ProxyPass / http://h/", *area("/", "Require ip 10.0.0.1"), *area("/c", "Require all granted"))
    found = routes(*TLS, *lines, *area("/a;b", "LimitRequestBody 5"))
    assert {path: bool(route.roles) for path, route in found.items()} == {"/": True, "/c": False}


def test_a_path_that_httpd_answers_itself_is_named() -> None:
    parts = (*area("/app", "LimitRequestBody 5"), *area("/other", "SSLVerifyClient require"))
    result = imported(vhost(*TLS, "ProxyPass /app http://h/app", *parts))
    (left,) = result.left
    assert (left.directive, "httpd answers it itself" in left.why) == ("<Location /other>", True)
    (route,) = parse(result.toml).sites[0].routes
    assert (route.path, route.client_certificate) == ("/app", Mode.OFF)


def test_what_is_shut_says_why_and_for_whom() -> None:
    result = imported(vhost(*BASIC, *area("/x", "Require all denied"), *area("/y", "Require ip 10.0.0.1")))
    assert whys(result, "Require") == ["nobody may pass there", "the gate has no such rule"]
    assert "no client has the role import-10" in do(result, "Require all")[0]
    assert '# site.conf:10: Require all denied\n[[sites.routes]]\npath = "/x"' in result.toml
    whole = imported(vhost(*BASIC, "<If true>", "Require ip 10.0.0.1", "</If>"))
    assert '# site.conf:9: <If true>\n[[sites.routes]]\npath = "/"' in whole.toml


def test_names_and_roles_that_somebody_has_to_give_are_told() -> None:
    result = imported(
        vhost(
            *BASIC,
            *area("/a", f"SSLRequire {CN} in {{'bob', 'alice'}}"),
            *area("/b", "SSLRequire %{SSL_CLIENT_S_DN_OU} in {'Ops', 'Dev'}"),
            *area("/c", "SSLRequire %{SSL_CLIENT_I_DN_CN} eq 'Acme'"),
            *area("/d", "Require ssl-verify-client"),
        )
    )
    names, roles, issuer = [left.do for left in result.left]
    assert "Name the clients alice, bob," in names
    assert "Give the role dev or ops " in roles
    assert "ca adopt" not in roles
    assert issuer.endswith("For all of an authority: `mutualgate ca adopt --cert FILE --role ROLE`.")


def test_the_nearest_limit_of_a_body_holds_and_a_redirect_has_none() -> None:
    limits = ("LimitRequestBody 10", *area("/x", "LimitRequestBody 5"), *area("/x/y", f"SSLRequire {CN} eq 'alice'"))
    found = routes(*BASIC[:-1], *limits, "Redirect /r https://h/", *BASIC[-1:])
    assert {path: route.max_body_bytes for path, route in found.items()} == {"/": 10, "/x": 5, "/x/y": 5}
    found = routes(*BASIC[:-1], "LimitRequestBody 10", "ProxyPass /a http://h/a", "Redirect /r https://h/",
                   *area("/r", "LimitRequestBody 4"))  # fmt: skip
    assert {path: route.redirect for path, route in found.items()} == {"/a": None, "/r": "https://h"}
    assert routes(*BASIC, f"LimitRequestBody {10**14}")["/"].max_body_bytes == 1 << 40


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Redirect 305 /p https://h/", "no such redirect"),
        ("Redirect /p https://h/x?y=1", "no such redirect"),
        ("Redirect /p https://h/x#f", "no such redirect"),
        ("RewriteRule ^/p(/|$) https://h/z [R]", "the query of the request is not added to the address"),
        ("RewriteRule ^/p$ https://h/z [R]", "what is below /p is redirected as well, and the query of the request"),
        ("Redirect 404 /p", "no path with a status of your choice"),
        ("Redirect 400 /p", "no path with a status of your choice"),
    ],
)
def test_what_a_redirect_does_otherwise_is_said(line: str, why: str) -> None:
    result = imported(vhost(*TLS, "ProxyPass /a http://h/a", *area("/p/part", "LimitRequestBody 5"), line))
    assert [why in left for left in whys(result, line)] == [True]
    assert "status" not in why or do(result, line) == ["Nothing."]
    assert not any(left.why.startswith("what is below") for left in result.left) or "$ " in line


def test_a_path_alone_is_no_redirect_of_what_goes_elsewhere() -> None:
    rest = ("RewriteRule ^/p$ https://h/z [R]", "ProxyPass /p/q http://h/q", "ProxyPass /p http://h/p")
    result = imported(vhost(*TLS, *rest))
    assert "has the rest of /p" in whys(result, "RewriteRule")[0]
    assert {route.redirect for route in parse(result.toml).sites[0].routes} == {None}
    nowhere = routes(*TLS, "RewriteRule ^/p$ https://h/z?q=1 [R]", "ProxyPass /p !", "ProxyPass /a http://h/a")
    assert {path: route.redirect for path, route in nowhere.items()} == {"/a": None, "/p": "https://h/z?q=1"}
    twice = imported(vhost(*TLS, "RewriteRule ^/p$ https://h/z [R]", "RewriteRule ^/p$ https://h/y [R]", rest[1]))
    assert "no effect in httpd either" in whys(twice, "RewriteRule ^/p$ https://h/y")[0]
    free = routes(
        *TLS, "RewriteRule ^/p$ https://h/z [R]", "RewriteRule ^/p/q$ https://h/y [R]", "ProxyPass /a http://h"
    )
    there = {path: route.redirect for path, route in free.items()}
    assert there == {"/a": None, "/p": "https://h/z", "/p/q": "https://h/y"}


def test_a_path_that_goes_nowhere_and_then_somewhere_is_redirected() -> None:
    lines = ("ProxyPass /x !", "ProxyPass / http://h/")
    found = routes(*TLS, *lines, "Redirect /x/y https://there/")
    assert found["/x/y"].redirect == "https://there"
    assert found["/x"].roles
    same = imported(vhost(*TLS, *lines, "Redirect /x https://there/"))
    assert {route.path: route.redirect for route in parse(same.toml).sites[0].routes}["/x"] == "https://there"
    assert same.left == ()
    (own,) = imported(vhost(*TLS, *lines)).left
    assert own.why.startswith("httpd answers this path itself")
    hidden = imported(vhost(*TLS, *lines, "ProxyPass /x/y http://late/"))
    assert "no effect in httpd either" in whys(hidden, "ProxyPass /x/y")[0]


def test_a_path_that_the_gate_cannot_reach_has_the_service_above_but_shut() -> None:
    lines = ("ProxyPass /a/b ajp://h/", "ProxyPass /z http://z/", "ProxyPass /a http://a/a", "ProxyPass / !")
    result = imported(vhost(*TLS, *lines))
    found = {route.path: route for route in parse(result.toml).sites[0].routes}
    assert str(found["/a/b"].upstream) == "http://a:80"
    assert found["/a/b"].roles == ("import-7",)
    assert any("never saw these requests" in why for why in whys(result, "ProxyPass /a/b"))
    assert not imported(vhost(*TLS, "ProxyPass /a/b ajp://h/", "ProxyPass /z http://z/")).toml.count("import-")


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("ProxyPass /a/b http://h/x", "ProxyPass /a http://h/x"),
        ("ProxyPass /a/b http://h/a/b", "ProxyPass /a http://h/x"),
        ("Redirect /a/b https://h/x", "Redirect /a https://h/x"),
        ("Redirect /a/b https://h", "Redirect /a https://h"),
    ],
)
def test_a_path_that_becomes_another_than_the_one_above_has_its_route(inner: str, outer: str) -> None:
    assert {*routes(*TLS, inner, outer, "ProxyPass /z http://h/z")} == {"/a", "/a/b", "/z"}


@pytest.mark.parametrize("line", ["ProxyPass /a http://h/", "ProxyPass /a http://h/x", "Redirect /a https://h/x"])
def test_a_part_that_says_nothing_new_needs_no_route(line: str) -> None:
    assert {*routes(*TLS, line, *area("/a/b", "Require all granted"), "ProxyPass /z http://h/z")} == {"/a", "/z"}


def test_a_redirect_sends_no_fields_to_a_service() -> None:
    found = routes(*BASIC[:-1], "RequestHeader set X y", "Redirect /r https://h/", "ProxyPass /a http://h/a")
    assert [(path, bool(route.request_headers.set)) for path, route in found.items()] == [("/a", True), ("/r", False)]


def test_websockets_go_where_a_route_goes_or_are_named() -> None:
    rule = ("RewriteCond %{HTTP:Upgrade} websocket [NC]", "RewriteRule ^/(.*) unix:/s|ws://h/$1 [P]")
    assert imported(vhost(*TLS, *rule, "ProxyPass / unix:/s|http://h/")).left == ()
    assert "WebSockets" in imported(vhost(*TLS, *rule, "ProxyPass / unix:/t|http://h/")).left[0].why
    assert "WebSockets" in imported(vhost(*TLS, *rule, "ProxyPass /a unix:/s|http://h/a")).left[0].why
    before = ("ProxyPass /w ws://127.0.0.1:8080/w", "ProxyPass /w http://127.0.0.1:8080/w")
    assert imported(vhost(*TLS, *before)).left == ()


def test_only_addresses_in_answers_under_a_changed_path_are_left() -> None:
    reverse = (
        "ProxyPassReverse /app/ http://h/",
        "ProxyPassReverse /same http://h/same",
        "ProxyPassReverse /r http://h/",
    )
    paths = ("ProxyPass /app http://h/other", "ProxyPass /same http://h/same", "Redirect /r https://h/q")
    result = imported(vhost(*TLS, *paths, *reverse))
    (told,) = do(result, "ProxyPassReverse")
    assert "knows /app as its public path" in told
    assert "X-Forwarded-Prefix" not in told
    whole = imported(vhost(*TLS, "ProxyPass / http://h/app", "ProxyPassReverse / http://h/app"))
    assert "knows / as its public path" in do(whole, "ProxyPassReverse")[0]


def test_a_service_with_a_time_of_its_own_keeps_it() -> None:
    lines = ("ProxyTimeout 30", "ProxyPass /own http://h/own timeout=7", "ProxyPass / http://h/")
    found = parse(imported(vhost(*TLS, *lines)).toml)
    assert [one.timeouts.response for one in found.upstreams] == [timedelta(seconds=7)]
    assert found.gate.timeouts.response == timedelta(seconds=30)
    own = ("ProxyTimeout 20", "ProxyPass /own http://h/own timeout=8", "ProxyPass / http://h/")
    other = vhost("ServerName other.example.com", *TLS[1:], *own)
    upstreams = parse(imported(vhost(*TLS, *lines) + other).toml).upstreams
    assert {one.timeouts.response for one in upstreams} == {timedelta(seconds=time) for time in (7, 8, 20)}
