"""Virtual hosts as people write them -> a configuration that the checker accepts, and a report of the rest."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from apache.hosts import BASIC, CN, TLS, config, imported, routes, vhost, whys
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mutualgate.apache.import_ import Imported, import_file
from mutualgate.config import Mode, Upstream, UpstreamConfig, parse
from mutualgate.config.shape import Balance, Check, Protocol
from mutualgate.errors import BadInput


def test_the_usual_virtual_host() -> None:
    result = imported(vhost(*BASIC))
    (site,) = parse(result.toml).sites
    assert site.name == "shop"
    assert site.hosts == ("shop.example.com",)
    assert site.client_certificate is Mode.REQUIRED
    assert (site.certificate, site.key) == (Path("/etc/ssl/shop.crt"), Path("/etc/ssl/shop.key"))
    assert [(r.path, str(r.upstream), r.roles) for r in site.routes] == [("/", "http://127.0.0.1:8080", ())]
    assert [str(address) for address in parse(result.toml).gate.listen] == ["0.0.0.0:443"]
    assert result.commands == ("mutualgate ca adopt --cert /etc/ssl/rootCA.pem --depth 0",)
    assert result.left == ()
    assert result.carried == (
        "site.conf:1: site shop for shop.example.com, which requires a certificate.",
        "/ of shop goes to http://127.0.0.1:8080.",
        "site.conf:6: what /etc/ssl/rootCA.pem signed is let in, once it is adopted.",
    )


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("none", "off"),
        ("optional", "optional"),
        ("require", "required"),
        ("REQUIRE", "required"),
        ("optional_no_ca", "optional"),
    ],
)
def test_who_is_asked_stays_asked(word: str, mode: str) -> None:
    (site,) = config(*TLS, f"SSLVerifyClient {word}", "ProxyPass / http://127.0.0.1:8080/").sites
    assert site.client_certificate == mode
    assert site.routes[0].client_certificate == mode


def test_without_a_word_nobody_is_asked() -> None:
    assert routes(*TLS, "ProxyPass / http://127.0.0.1:8080/")["/"].client_certificate is Mode.OFF


def test_a_word_of_the_whole_server_holds_for_its_hosts() -> None:
    result = imported("SSLVerifyClient require\n" + vhost(*TLS, "ProxyPass / http://127.0.0.1:8080/"))
    assert parse(result.toml).sites[0].client_certificate is Mode.REQUIRED


def test_a_part_can_ask_for_more() -> None:
    lines = (*TLS, "ProxyPass / http://127.0.0.1:8080/", "<Location /admin/>", "SSLVerifyClient require", "</Location>")
    found = routes(*lines)
    assert found["/"].client_certificate is Mode.OFF
    assert found["/admin"].client_certificate is Mode.REQUIRED


def test_a_pattern_that_is_a_list_of_paths_is_one() -> None:
    lines = (
        *TLS,
        "ProxyPass / http://127.0.0.1:8080/",
        '<LocationMatch "^/(admin|ops)(/|$)">',
        "SSLVerifyClient require",
    )
    found = routes(*lines, "</LocationMatch>")
    assert {path for path, route in found.items() if route.client_certificate is Mode.REQUIRED} == {"/admin", "/ops"}


@pytest.mark.parametrize("pattern", ["^/admin", "/admin/", "^/a.min/", r"\.do$", "^/(?!public)", "(?i)^/admin/"])
def test_one_that_is_not_makes_the_whole_site_strict(pattern: str) -> None:
    lines = (*TLS, "ProxyPass / http://127.0.0.1:8080/", f'<LocationMatch "{pattern}">', "SSLVerifyClient require")
    result = imported(vhost(*lines, "</LocationMatch>"))
    assert all(r.client_certificate is Mode.REQUIRED for r in parse(result.toml).sites[0].routes)
    assert "every path requires a certificate" in whys(result, "<LocationMatch")[0]


@pytest.mark.parametrize(
    ("rule", "clients", "roles"),
    [
        (f"Require expr \"{CN} == 'alice'\"", {"alice"}, set()),
        (f"Require expr {CN} eq 'alice'", {"alice"}, set()),
        (f'SSLRequire {CN} in {{"alice", "bob"}}', {"alice", "bob"}, set()),
        (f'SSLRequire ({CN} eq "alice")', {"alice"}, set()),
        (f'SSLRequire {CN} eq "alice" and %{{SSL_CIPHER}} !~ m/^(EXP|NULL)/', {"alice"}, set()),
        ("SSLRequire %{SSL_CIPHER_USEKEYSIZE} >= 128", set(), set()),
        ("Require expr \"%{SSL_CLIENT_S_DN_OU} == 'Night Shift'\"", set(), {"night-shift"}),
        ("Require expr \"%{SSL_CLIENT_VERIFY} == 'SUCCESS'\"", set(), set()),
        (f"SSLRequire {CN} eq 'alice' or ({CN} in {{'bob'}} and true)", {"alice", "bob"}, set()),
        (f"Require expr {CN} =~ m#^(alice|bob\\.b)$#", {"alice", "bob.b"}, set()),
        (f'Require expr "{CN} =~ /^alice$/ && %{{SSL_PROTOCOL}} != \\"TLSv1\\""', {"alice"}, set()),
        ("SSLRequire %{SSL_CLIENT_SAN_Email_0} eq 'a@example.com'", {"a@example.com"}, set()),
        (
            "SSLRequire %{SSL_CLIENT_S_DN_O} eq 'Acme' and %{SSL_CLIENT_S_DN_OU} in {'Ops', 'Dev'}",
            set(),
            {"acme-ops", "acme-dev"},
        ),
        (f"SSLRequire {CN} eq 'alice' && %{{SSL_CLIENT_S_DN_OU}} eq 'Ops'", set(), {"alice-ops"}),
        ("SSLRequire %{SSL_CLIENT_S_DN} eq '/C=DE/O=Acme/CN=alice'", set(), {"alice"}),
        ("SSLRequire %{SSL_CLIENT_S_DN} eq 'CN=alice,O=Acme\\, Inc'", set(), {"alice"}),
        ("SSLRequire %{SSL_CLIENT_I_DN_CN} eq 'Acme Root'", set(), {"acme-root"}),
        ("SSLRequire %{SSL_CLIENT_VERIFY} ne 'NONE'", set(), set()),
        ("Require ssl-verify-client", set(), set()),
        ("Require all granted", set(), set()),
    ],
)
def test_rules_that_a_route_can_say(rule: str, clients: set[str], roles: set[str]) -> None:
    route = routes(*BASIC, "<Location /x>", rule, "LimitRequestBody 1000", "</Location>")["/x"]
    assert (set(route.clients), set(route.roles)) == (clients, roles)
    assert route.client_certificate is Mode.REQUIRED
    assert route.max_body_bytes == 1000


@pytest.mark.parametrize(
    "rule",
    [
        "Require all denied",
        "Require ip 10.0.0.0/8",
        "Require valid-user",
        "Require not ip 10.0.0.1",
        "Require expr %{TIME_HOUR} -gt 8",
        f"SSLRequire {CN} eq 'alice' or %{{REMOTE_ADDR}} =~ m/^10\\./",
        f"SSLRequire {CN} eq 'alice' and",
        f"SSLRequire ({CN} eq 'alice'",
        f"SSLRequire {CN} eq 'alice') or (true",
        f"SSLRequire {'(' * 5000}{CN} eq 'alice'{')' * 5000}",
        f"SSLRequire {CN} eq 'alice' or true and %{{TIME}} > 5",
        f"SSLRequire {CN} =~ m/^(alice|b.*)$/",
        f"SSLRequire {CN} =~ m/^alice$/i",
        f"SSLRequire {CN} !~ m/^alice$/",
        "SSLRequire %{SSL_CLIENT_S_DN} eq '/O=Acme'",
        "SSLRequire %{SSL_CLIENT_S_DN_O} in {'Acme', 'ACME'}",
        "SSLRequire %{SSL_CIPHER_USEKEYSIZE} >= 256",
        f"SSLRequire !({CN} eq 'mallory')",
        f"SSLRequire {CN} =~ m/alice/",
        f"Require expr {CN} != 'mallory'",
        "Order deny,allow\nDeny from all\nAllow from 10.0.0.0/8",
        "<RequireNone>\nRequire ip 10.0.0.1\n</RequireNone>",
        "<RequireAll>\nRequire all granted\nRequire ip 10.0.0.1\n</RequireAll>",
        "Require nonsense",
        "SSLRequire",
        "Require",
    ],
)
def test_a_rule_that_it_cannot_say_keeps_the_door_shut(rule: str) -> None:
    result = imported(vhost(*BASIC, "<Location /x>", rule, "</Location>"))
    route = next(r for r in parse(result.toml).sites[0].routes if r.path == "/x")
    assert route.client_certificate is Mode.REQUIRED
    assert route.roles
    assert all(role.startswith("import-") for role in route.roles)
    assert any(f"no client has the role {route.roles[0]}" in left.do for left in result.left)


def test_one_of_several_rules_suffices_as_in_httpd() -> None:
    rules = (f"Require expr {CN} == 'alice'", f"Require expr {CN} == 'bob'")
    assert set(routes(*BASIC, "<Location /x>", *rules, "</Location>")["/x"].clients) == {"alice", "bob"}


def test_a_part_cannot_take_back_what_the_handshake_required() -> None:
    found = routes(*BASIC, "<Location /x>", "SSLVerifyClient none", "LimitRequestBody 5", "</Location>")
    assert found["/x"].client_certificate is Mode.REQUIRED


def test_rules_of_mod_ssl_add_up_and_others_replace() -> None:
    outer = (
        "<Location />",
        f"SSLRequire {CN} in {{'alice'}}",
        "Require expr %{SSL_CLIENT_VERIFY} == 'SUCCESS'",
        "</Location>",
    )
    found = routes(*BASIC, *outer, "<Location /x>", "Require all granted", "LimitRequestBody 5", "</Location>")
    assert found["/x"].clients == ("alice",)
    lines = (
        "<Location />",
        "Require ip 10.0.0.1",
        "</Location>",
        "<Location /x>",
        "Require all granted",
        "</Location>",
    )
    found = routes(*BASIC, *lines)
    assert found["/"].roles
    assert not found["/x"].roles


def test_what_goes_to_services_outside_of_a_host_goes_there_within_unless_it_says_no() -> None:
    outside = "ProxyPass /x http://h/x\n"
    for line, paths in (("ProxyPassInherit Off", {"/y"}), ("ProxyPassInherit On", {"/x", "/y"})):
        result = imported(outside + vhost(*TLS, "ProxyPass /y http://h/y", line))
        assert {route.path for route in parse(result.toml).sites[0].routes} == paths
        assert result.left == ()


def test_rules_that_are_merged_with_those_above_are_not_guessed() -> None:
    lines = ("<Location />", "Require ip 10.0.0.1", "</Location>")
    found = routes(*BASIC, *lines, "<Location /x>", "AuthMerging And", "Require all granted", "</Location>")
    assert all(route.roles for route in found.values())
    merged = imported(vhost(*BASIC, "<Location />", "AuthMerging Or", "Require ip 10.0.0.1", "</Location>"))
    assert "the gate has no such rule" in whys(merged, "Require ip")


@pytest.mark.parametrize(
    "line",
    ["RewriteRule ^/admin - [F]", "RewriteRule ^/admin - [NC,F,L]", "RewriteRule ^/admin(/|$) - [NC,F]",
     "RewriteRule ^/a - [forbidden]", "RewriteRule ^/a /login [R]", "RewriteRule ^/a - [S=1]"],
)  # fmt: skip
def test_a_rewrite_that_keeps_somebody_out_keeps_the_site_shut(line: str) -> None:
    result = imported(vhost(*BASIC, "RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !=alice", line))
    assert all(r.roles for r in parse(result.toml).sites[0].routes)
    assert any("nobody passes without the role" in left.why for left in result.left)


def test_one_that_keeps_somebody_out_of_a_path_shuts_that_alone() -> None:
    for line in ("RewriteRule ^/a(/.*)?$ - [F]", "RewriteRule ^/a$ /login [R]", "RewriteRule ^/a/(.*) http://b/$1 [P]"):
        found = routes(*BASIC, "RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !=alice", line)
        assert {path: route.roles for path, route in found.items()} == {"/": (), "/a": ("import-10",)}, line
    everywhere = routes(*BASIC, "RewriteCond %{REMOTE_ADDR} !^10\\.", "RewriteRule . /login [R]")
    assert everywhere["/"].roles == ("import-10",)


def test_the_usual_line_against_trace_shuts_nothing() -> None:
    found = routes(*BASIC, "RewriteEngine On", "RewriteCond %{REQUEST_METHOD} ^(TRACE|TRACK)", "RewriteRule .* - [F]")
    assert not found["/"].roles
    either = ("RewriteCond %{HTTPS} off [OR]", "RewriteCond %{HTTP_USER_AGENT} x", "RewriteRule .* - [F]")
    assert routes(*BASIC, *either)["/"].roles
    found = routes(*BASIC, "RewriteCond %{REQUEST_METHOD} !^(GET|HEAD)$", "RewriteRule .* - [F]")
    assert found["/"].roles


def test_what_is_asked_about_the_server_is_answered_in_the_report() -> None:
    lines = (
        "<IfVersion < 2.4>",
        "Old 1",
        "</IfVersion>",
        "<IfVersion >= 2.4>",
        "New 1",
        "</IfVersion>",
        "<IfDefine X>",
        "D 1",
    )
    result = imported(vhost(*BASIC, *lines, "</IfDefine>"))
    assert [left.directive for left in result.left] == ["<IfVersion < 2.4>", "New 1", "<IfDefine X>"]
    assert "left out" in result.left[0].why


def test_a_rule_for_requests_that_no_route_can_name_shuts_the_site() -> None:
    for section in ('<If "%{HTTP_USER_AGENT} =~ /x/">', "<Limit POST>", "<Proxy *>"):
        name = section[1:].split()[0].rstrip(">")
        result = imported(vhost(*BASIC, section, "Require ip 10.0.0.1", f"</{name}>"))
        assert all(r.roles for r in parse(result.toml).sites[0].routes), section


def test_a_rewrite_in_such_a_section_that_keeps_somebody_out_does_so_too() -> None:
    for rule in ("RewriteRule ^ - [F]", "Redirect 403 /"):
        result = imported(vhost(*BASIC, '<If "%{HTTP_USER_AGENT} =~ /x/">', rule, "</If>"))
        assert all(r.roles for r in parse(result.toml).sites[0].routes), rule


@pytest.mark.parametrize(
    "lines",
    [
        ("RewriteCond %{SSL:SSL_CLIENT_VERIFY} !^SUCCESS$", "RewriteRule ^(.*) https://www.example.com [R=301,L]"),
        ("RewriteEngine on", "RewriteCond %{SSL:SSL_CLIENT_VERIFY} !=SUCCESS", "RewriteRule secret - [F]"),
    ],
)
def test_a_part_that_sends_those_without_a_certificate_away_requires_one(lines: tuple[str, ...]) -> None:
    result = imported(
        vhost(*TLS, "ProxyPass / http://h/", "<Location /x>", "SSLVerifyClient optional", *lines, "</Location>")
    )
    found = {route.path: (route.client_certificate, route.roles) for route in parse(result.toml).sites[0].routes}
    assert found == {"/": (Mode.OFF, ()), "/x": (Mode.REQUIRED, ())}
    assert result.left == ()


def test_a_part_that_sends_others_away_is_shut() -> None:
    lines = ("<Location /x>", "RewriteCond %{REMOTE_ADDR} !=10.0.0.1", "RewriteRule ^ https://h [R]", "</Location>")
    result = imported(vhost(*TLS, "ProxyPass / http://h/", *lines))
    assert {route.path: route.roles for route in parse(result.toml).sites[0].routes} == {"/": (), "/x": ("import-10",)}
    assert [left.directive for left in result.left] == [lines[2]]
    assert "/x of shop goes to http://h:80, for role import-10." in result.carried


@pytest.mark.parametrize(
    "section",
    [
        "<If \"%{SSL_CLIENT_VERIFY} != 'SUCCESS'\">\nRedirect /x https://h/\n</If>",
        "<If \"-R '10.0.0.0/8'\">\nRewriteRule ^/x(.*) http://h$1 [P]\n</If>",
        "<If \"%{REMOTE_USER} == 'a'\">\nHeader set X y\n</If>\n<Else>\nRedirectMatch x https://h/\n</Else>",
        "<If \"%{REMOTE_USER} == 'a'\">\n<If \"%{HTTP_HOST} == 'b'\">\nRedirectPermanent /x https://h/\n</If>\n</If>",
        "<If \"%{HTTP_HOST} == 'b'\">\n<Limit POST>\nRequire ip 10.0.0.1\n</Limit>\n</If>",
        "<If \"%{HTTP_HOST} == 'b'\">\nRewriteCond %{REMOTE_ADDR} =1\nRewriteRule ^ /y\n</If>",
        r"<LocationMatch \.do$>" + "\nRedirect gone\n</LocationMatch>",
        r"<LocationMatch \.do$>" + "\n<Limit POST>\nRequire ip 10.0.0.1\n</Limit>\n</LocationMatch>",
    ],
)
def test_a_section_that_sends_some_people_elsewhere_shuts_the_site(section: str) -> None:
    result = imported(vhost(*TLS, "ProxyPass / http://h/", section))
    (route,) = parse(result.toml).sites[0].routes
    assert (route.client_certificate, len(route.roles)) == (Mode.REQUIRED, 1)
    assert any(f"without the role {route.roles[0]}" in left.why for left in result.left)


@pytest.mark.parametrize(
    "section",
    [
        "<If \"%{REMOTE_USER} == 'a'\">\nHeader set X y\n</If>",
        "<Limit POST>\n<RequireAny>\n<RequireAll>\nRequire ip 10.0.0.1\n</RequireAll>\n"
        "Require all granted\n</RequireAny>\n</Limit>",
    ],
)
def test_one_that_lets_everybody_pass_shuts_nothing(section: str) -> None:
    assert not routes(*BASIC, section)["/"].roles


def test_one_that_sends_everybody_elsewhere_shuts_nothing() -> None:
    section = ("<If \"%{HTTP_HOST} == 'old.example.com'\">", "Redirect / https://shop.example.com/", "</If>")
    result = imported(vhost(*BASIC, *section))
    assert not parse(result.toml).sites[0].routes[0].roles
    assert "nothing like this section" in whys(result, "<If")[0]


def test_a_pattern_of_all_that_names_a_certificate_alone_requires_one() -> None:
    lines = (r"<LocationMatch \.do$>", "Require ssl-verify-client", "</LocationMatch>")
    found = routes(*TLS, "ProxyPass / http://h/", *lines)
    assert (found["/"].client_certificate, found["/"].roles) == (Mode.REQUIRED, ())


def test_a_path_that_goes_nowhere_does_not_fall_to_the_service_above() -> None:
    for line in ("ProxyPass /x !", "ProxyPass /x ajp://127.0.0.1:8009/x", "ProxyPass /x http://127.0.0.1:9090/!"):
        result = imported(vhost(*TLS, line, "ProxyPass / http://127.0.0.1:8080/"))
        found = {r.path: r for r in parse(result.toml).sites[0].routes}
        assert found["/x"].roles, line
        assert found["/"].client_certificate is Mode.OFF
        assert whys(result, "ProxyPass /x")


@pytest.mark.parametrize("path", ["/x;y", "/x*", "/x y", "/x/../y", "/%78"])
@pytest.mark.parametrize("service", ["!", "ajp://127.0.0.1:8009/"])
def test_nor_one_that_no_route_can_have(path: str, service: str) -> None:
    line = f'ProxyPass "{path}" {service}'
    result = imported(vhost(*TLS, line, "ProxyPass / http://127.0.0.1:8080/"))
    (route,) = parse(result.toml).sites[0].routes
    assert (route.path, route.roles) == ("/", ("import-7",))
    assert any("no route can name" in why for why in whys(result, line))
    alone = imported(vhost(*TLS, line, "ProxyPass /z http://127.0.0.1:8080/z"))
    assert not parse(alone.toml).sites[0].routes[0].roles


@pytest.mark.parametrize(
    ("lines", "roles"),
    [
        (("JkMount /app/* tomcat", "ProxyPass /app !", "ProxyPass / http://h/"), {"/": (), "/app": ("import-7",)}),
        (("JkMount /app|/* tomcat", "ProxyPass /app !", "ProxyPass / http://h/"), {"/": (), "/app": ("import-7",)}),
        (("JkMount /app tomcat", "ProxyPass /app !", "ProxyPass / http://h/"), {"/": (), "/app": ("import-7",)}),
        (("JkMount /* tomcat", "ProxyPass /app http://h/app"), {"/app": ()}),
        (("JkMount /app/* tomcat", "JkWorkersFile workers.properties", "ProxyPass / http://h/"), {"/": ()}),
    ],
)
def test_what_tomcat_had_by_mod_jk_goes_nowhere_else(lines: tuple[str, ...], roles: dict[str, tuple[str, ...]]) -> None:
    result = imported(vhost(*TLS, *lines))
    assert {route.path: route.roles for route in parse(result.toml).sites[0].routes} == roles
    whole = " ".join(whys(result, "JkMount"))
    assert ("no effect in httpd either" if roles == {"/": ()} else "no AJP") in whole
    assert not whys(result, "JkWorkersFile")


@pytest.mark.parametrize(
    ("line", "path", "upstream"),
    [
        ("ProxyPass /app http://127.0.0.1:8080/app", "/app", "http://127.0.0.1:8080"),
        ("ProxyPass /app/ http://127.0.0.1:8080/app/ keepalive=On retry=0", "/app", "http://127.0.0.1:8080"),
        ("ProxyPass / http://tomcat/", "/", "http://tomcat:80"),
        ('ProxyPass "/" "unix:/run/app.sock|http://localhost/"', "/", "unix:/run/app.sock"),
        ('ProxyPassMatch "^/app(/.*)?$" "http://127.0.0.1:8080"', "/app", "http://127.0.0.1:8080"),
        ('ProxyPassMatch "^/app/(.*)$" "http://127.0.0.1:8080/app/$1"', "/app", "http://127.0.0.1:8080"),
        ("<Location /app>\nProxyPass http://127.0.0.1:8080/app\n</Location>", "/app", "http://127.0.0.1:8080"),
        ("<LocationMatch ^/app/>\nProxyPassMatch http://127.0.0.1:8080\n</LocationMatch>", "/app",
         "http://127.0.0.1:8080"),
        ("<Location /app>\nProxyPassMatch http://127.0.0.1:8080\n</Location>", "/app", "http://127.0.0.1:8080"),
        ("ProxyPassMatch ^ http://127.0.0.1:8080", "/", "http://127.0.0.1:8080"),
        ("ProxyPass / balancer://pool/\n<Proxy balancer://pool>\nBalancerMember http://10.0.0.1:80\n</Proxy>", "/",
         "http://10.0.0.1:80"),
    ],
)  # fmt: skip
def test_where_requests_go(line: str, path: str, upstream: str) -> None:
    found = routes(*TLS, line)
    assert [(p, str(r.upstream)) for p, r in found.items()] == [(path, upstream)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ProxyPass / ajp://127.0.0.1:8009/", "no AJP"),
        ("ProxyPass / fcgi://127.0.0.1:9000/", "no such protocol"),
        ("ProxyPass /app http://127.0.0.1:8080/%20", "sends /app to /%20 there"),
        ('ProxyPassMatch "^/(.*)\\.do$" "http://127.0.0.1:8080/$1"', "not a pattern"),
        ('ProxyPassMatch "^/(a|b)/(.*)$" "http://127.0.0.1:8080/$1"', "not a pattern"),
        ('ProxyPassMatch "^/a$" "http://127.0.0.1:8080"', "not a pattern"),
        ("<LocationMatch ^/app/>\nProxyPass http://127.0.0.1:8080\n</LocationMatch>", "reads no pattern there"),
        ("ProxyPassMatch ^/app/", "nothing like it"),
        ("ProxyPass / balancer://none/", "no members"),
        ("ProxyPass / http://user:secret@h/", "as an upstream"),
        ("ProxyPass / http://[::1", "cannot be read"),
    ],
)
def test_where_it_cannot_send_them_it_says_so(line: str, why: str) -> None:
    result = imported(vhost(*TLS, line))
    assert why in " ".join(whys(result, "ProxyPass"))
    assert "shop.example.com" not in result.toml
    parse(result.toml)


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("ProxyPass /app http://h/", ("/app", "/app", None)),
        ("ProxyPass /app/ http://h/", ("/app", "/app", None)),
        ("ProxyPass /app http://h", ("/app", "/app", None)),
        ("ProxyPass / http://h/app/", ("/", None, "/app")),
        ("ProxyPass /app http://h/other", ("/app", None, "/other")),
        ('ProxyPassMatch "^/app/(.*)$" "http://h/other/$1"', ("/app", None, "/other")),
        ('RewriteRule "^/app/(.*)$" "http://h/$1" [P,L]', ("/app", "/app", None)),
    ],
)
def test_paths_become_what_they_were_for_the_service(line: str, change: tuple[str, str | None, str | None]) -> None:
    (route,) = routes(*TLS, line).values()
    assert (route.path, route.strip_prefix, route.replace_prefix) == change
    assert str(route.upstream) == "http://h:80"


def test_a_part_of_a_path_that_becomes_another_becomes_its_part() -> None:
    area = ("<Location /app/admin>", "SSLVerifyClient require", "</Location>")
    found = routes(*TLS, "ProxyPass /app http://h/other", *area)
    assert found["/app/admin"].replace_prefix == "/other/admin"
    assert routes(*TLS, "ProxyPass /app http://h/", *area)["/app/admin"].strip_prefix == "/app"


def test_addresses_in_answers_are_left_where_the_path_changes() -> None:
    same = imported(vhost(*BASIC, "ProxyPassReverse / http://127.0.0.1:8080/"))
    assert same.left == ()
    other = imported(vhost(*TLS, "ProxyPass /app http://h/", "ProxyPassReverse /app http://h/"))
    assert "X-Forwarded-Prefix" in other.left[0].do


def test_a_slash_at_one_end_alone_is_told() -> None:
    assert "sends /app/x to /otherx" in whys(imported(vhost(*TLS, "ProxyPass /app/ http://h/other")), "ProxyPass")[0]


# --- redirects ---


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Redirect /old https://h/new", ("/old", "https://h", 302, True, "/new", None)),
        ("Redirect permanent /old https://h/", ("/old", "https://h", 301, True, None, "/old")),
        ("RedirectTemp /old https://h", ("/old", "https://h", 302, True, None, "/old")),
        ("RedirectPermanent /old https://h", ("/old", "https://h", 301, True, None, "/old")),
        ("Redirect seeother /old /new", ("/old", "/", 303, True, "/new", None)),
        ("RedirectMatch 308 ^/old(/.*)?$ https://h/a$1", ("/old", "https://h", 308, True, "/a", None)),
        ("RewriteRule ^/old/(.*)$ https://%{HTTP_HOST}/new/$1 [R=307,L]", ("/old", "/", 307, True, "/new", None)),
        ("RewriteRule ^/old(/|$) https://h/page [R=301]", ("/old", "https://h/page", 301, False, None, None)),
        ("RewriteRule ^/old$ https://h/page", ("/old", "https://h/page", 302, False, None, None)),
        ("<Location /old>\nRedirect 301 https://h/page\n</Location>",
         ("/old", "https://h/page", 301, False, None, None)),
        ("ProxyPass /old !\nRedirect /old https://h/new", ("/old", "https://h", 302, True, "/new", None)),
    ],
)  # fmt: skip
def test_redirects_are_carried(line: str, expected: tuple[object, ...]) -> None:
    rewriting = line.startswith(("RewriteRule", "<", "ProxyPass /old !"))
    found = routes(*TLS, line, f"ProxyPass {'/' if rewriting and '$ ' not in line else '/app'} http://h/")
    route = found["/old"]
    assert (
        route.path, route.redirect, route.redirect_status, route.redirect_keep_path, route.replace_prefix,
        route.strip_prefix,
    ) == expected  # fmt: skip
    assert route.upstream is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Redirect /old https://h/new", "no effect in httpd either"),
        ("Redirect 410 /old", "no effect in httpd either"),
        ("RewriteRule ^/$ /app/ [R]", "has the rest of /"),
        ("RewriteRule ^/old(.*)$ https://h$1 [R]", "not a pattern"),
        ("RewriteRule ^/old/(.*)$ http://h/$1 [R]", "as a redirect"),
        ("RewriteRule ^/(a|b)/(.*)$ https://h/$1 [R]", "not a pattern"),
        ("RewriteRule ^/old/(.*)$ https://h/$1?x=y [R]", "not a pattern"),
        ("RewriteRule ^/old/(.*)$ https://h/$1 [R,NC]", "not a pattern"),
        ("RewriteRule ^/old/(.*)$ /new/$1", "rewriting is not carried over"),
        ("RewriteCond %{HTTP_HOST} ^www\nRewriteRule ^/old/(.*)$ https://h/$1 [R]", "holds under conditions"),
        ("RewriteEngine off\nRewriteRule ^/old/(.*)$ https://h/$1 [R]", "RewriteEngine is off"),
        ("Redirect nonsense /old https://h", "is missing"),
    ],
)
def test_other_redirects_are_left(line: str, why: str) -> None:
    result = imported(vhost(*BASIC, line))
    assert why in " ".join(left.why for left in result.left)
    assert all(route.redirect is None for route in parse(result.toml).sites[0].routes)


def test_a_redirect_to_tls_that_tls_never_meets_is_nothing() -> None:
    lines = ("RewriteEngine on", "RewriteCond %{HTTPS} !=on", "RewriteRule ^ https://%{HTTP_HOST}%{REQUEST_URI} [R]")
    assert imported(vhost(*BASIC, *lines)).left == ()


def test_httpd_asks_mod_rewrite_first_then_sections_then_the_host() -> None:
    lines = ("ProxyPass / http://h/", "<Location /x>", "ProxyPass http://of-a-section/x", "Redirect https://second",
             "</Location>", "<Location /y>", "ProxyPass http://of-a-section/y", "</Location>")  # fmt: skip
    found = routes(*TLS, *lines)
    assert found["/x"].redirect == "https://second"
    assert str(found["/y"].upstream) == "http://of-a-section:80"
    found = routes(*TLS, *lines, "RewriteRule ^/x(/.*)?$ https://first$1 [R]")
    assert found["/x"].redirect == "https://first"


def test_rules_outside_of_a_host_hold_within_where_httpd_says_so() -> None:
    outside = "RewriteEngine on\nRewriteRule ^/x(/|$) - [F]\n<Location /z>\nRedirect https://h\n</Location>\n"
    paths = {route.path for route in parse(imported(outside + vhost(*BASIC)).toml).sites[0].routes}
    assert paths == {"/", "/z"}
    inherited = imported(outside + vhost(*BASIC, "RewriteOptions Inherit"))
    assert {route.path: bool(route.roles) for route in parse(inherited.toml).sites[0].routes}["/x"]


def test_a_rule_that_shuts_one_path_shuts_no_other() -> None:
    for line in ("RewriteRule ^/admin(/|$) - [F]", "<Location /admin>\nRewriteRule ^ - [F]\n</Location>",
                 "<Location /admin>\nRedirect 404\n</Location>"):  # fmt: skip
        found = routes(*BASIC, line)
        assert found["/admin"].roles, line
        assert not found["/"].roles, line


def test_a_rule_against_those_without_a_certificate_requires_one() -> None:
    lines = ("RewriteCond %{SSL:SSL_CLIENT_VERIFY} !^SUCCESS$", "RewriteRule ^/admin(/.*)?$ - [F]")
    found = routes(*TLS, "SSLVerifyClient optional", "ProxyPass / http://h/", *lines)
    assert found["/admin"].client_certificate is Mode.REQUIRED
    assert not found["/admin"].roles
    assert found["/"].client_certificate is Mode.OPTIONAL


# --- fields ---


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        (["Header set X a"], ((), (("X", "a"),), ())),
        (["Header always set X a", "Header set X a"], ((), (("X", "a"),), ())),
        (["Header append X a", "Header append X b"], ((("X", "a, b"),), (), ())),
        (["Header set X a", "Header append x b"], ((), (("X", "a, b"),), ())),
        (["Header unset X", "Header add X a"], ((), (("X", "a"),), ())),
        (["Header set X a", "Header unset X"], ((), (), ("X",))),
        (["Header set X 100%%"], ((), (("X", "100%"),), ())),
    ],
)
def test_fields_of_answers(lines: list[str], rules: tuple[object, ...]) -> None:
    found = routes(*BASIC, *lines)["/"].response_headers
    assert (found.add, found.set, found.remove) == rules
    asked = routes(*BASIC, *(f"Request{line.replace(' always', '')}" for line in lines))["/"].request_headers
    assert (asked.add, asked.set, asked.remove) == rules


def test_fields_of_a_part_come_after_those_of_the_whole() -> None:
    lines = ("Header set X whole", "RequestHeader set Y whole")
    found = routes(*lines, *BASIC, "<Location /x>", "Header set X part", "RequestHeader unset Y", "</Location>")
    assert found["/"].response_headers.set == (("X", "whole"),)
    assert found["/x"].response_headers.set == (("X", "part"),)
    assert found["/x"].request_headers.remove == ("Y",)


def test_a_second_field_of_a_name_that_is_set_is_left() -> None:
    assert "one rule for a name" in whys(imported(vhost(*BASIC, "Header set X a", "Header add X b")), "Header add")[0]


def test_what_the_gate_says_anyway_needs_no_word() -> None:
    lines = (
        'RequestHeader set X-Forwarded-Proto "https"',
        "RequestHeader unset X-Forwarded-For early",
        'RequestHeader set SSL_CLIENT_CERT ""',
    )
    assert imported(vhost(*BASIC, *lines)).left == ()


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        (["SSL_CLIENT_S_DN"], ["apache"]),
        (["SSL_CLIENT_CERT"], ["apache"]),
        (["SSL_CLIENT_CERT", "SSL_CIPHER"], ["tomcat"]),
        (["SSL_CLIENT_VERIFY", "SSL_SESSION_ID"], ["apache", "tomcat"]),
    ],
)
def test_who_came_is_told_in_the_dialect_that_httpd_spoke(names: list[str], identity: list[str]) -> None:
    lines = [f'RequestHeader set {name} "%{{{name}}}s"' for name in names]
    result = imported(vhost(*BASIC, *lines))
    assert result.left == ()
    assert list(parse(result.toml).sites[0].routes[0].identity) == identity


# --- upstreams ---

POOL = ("ProxyPass / balancer://Pool/", "<Proxy balancer://pool>", "BalancerMember http://10.0.0.1:80 {}",
        "BalancerMember http://10.0.0.2:80", "{}", "</Proxy>")  # fmt: skip


def upstream(member: str = "", setting: str = "ProxySet nonce=None", *more: str) -> UpstreamConfig:
    lines = [line.replace("{}", setting if line == "{}" else member) for line in POOL]
    found = config(*TLS, *lines, *more)
    (one,) = found.upstreams
    assert found.sites[0].routes[0].upstream == Upstream(one.name)
    return one


def test_a_pool_is_an_upstream() -> None:
    one = upstream()
    assert one.name == "pool"
    assert [str(server) for server in one.servers] == ["http://10.0.0.1:80", "http://10.0.0.2:80"]
    assert (one.balance, one.drain) == (Balance.ROUND_ROBIN, ())
    assert upstream("", "ProxySet lbmethod=bybusyness").balance is Balance.LEAST_REQUESTS
    assert upstream("", "ProxySet stickysession=ID").balance is Balance.CLIENT_HASH
    assert upstream("", "", "ProxySet balancer://pool lbmethod=bybusyness").balance is Balance.LEAST_REQUESTS
    assert len(upstream("", "", "BalancerMember balancer://pool http://10.0.0.3").servers) == 3


@pytest.mark.parametrize("status", ["status=D", "status=+S", "status=N", "status=+H", "lbset=1"])
def test_a_server_that_gets_nothing_gets_nothing(status: str) -> None:
    assert [str(server) for server in upstream(status).drain] == ["http://10.0.0.1:80"]
    assert not upstream("status=-D").drain


def test_how_long_to_wait_for_a_server() -> None:
    one = upstream("", "ProxySet timeout=300", "ProxyTimeout 30")
    assert one.timeouts.response == timedelta(seconds=300)
    lines = ("ProxyPass /slow http://h/slow timeout=90 connectiontimeout=500ms", "ProxyPass / http://h/")
    found = config(*TLS, *lines)
    assert [(u.timeouts.connect, u.timeouts.response) for u in found.upstreams] == [
        (timedelta(milliseconds=500), timedelta(seconds=90))
    ]


def test_what_a_sick_server_says_and_how_it_is_asked() -> None:
    one = upstream("", "ProxySet failonstatus=503,502 retry=5")
    assert (one.ejection.status, one.ejection.failures, one.ejection.time) == ((502, 503), 1, timedelta(seconds=5))
    one = upstream("hcmethod=GET hcuri=/health hcinterval=5 hcpasses=2 hcfails=4")
    assert (one.health.check, one.health.path, one.health.interval) == (Check.HTTP, "/health", timedelta(seconds=5))
    assert (one.health.rise, one.health.fall) == (2, 4)
    assert upstream("hcmethod=TCP").health.check is Check.TCP


@pytest.mark.parametrize(
    ("member", "setting", "why"),
    [
        ("loadfactor=5", "", "equal weights"),
        ("", "ProxySet lbmethod=bytraffic", "lbmethod=bytraffic"),
        ("", "ProxySet failonstatus=404", "failonstatus=404"),
        ("hcmethod=OPTIONS", "", "hcmethod=OPTIONS"),
        ("made=up", "", "made=up"),
        ("", "BalancerMember http://10.0.0.3/other", "one protocol, and get one path"),
        ("", "BalancerMember ajp://10.0.0.3", "no AJP"),
    ],
)
def test_what_an_upstream_cannot_be_is_left(member: str, setting: str, why: str) -> None:
    lines = [line.replace("{}", setting if line == "{}" else member) for line in POOL]
    result = imported(vhost(*TLS, *lines))
    assert why in " ".join(left.why for left in result.left)
    assert [str(server) for server in parse(result.toml).upstreams[0].servers] == [
        "http://10.0.0.1:80",
        "http://10.0.0.2:80",
    ]


def test_services_behind_tls_and_http_2() -> None:
    found = config(*TLS, "SSLProxyCACertificateFile app-ca.pem", "SSLProxyVerify require",
                   "SSLProxyMachineCertificateFile gate.pem", "ProxyPass / https://h/")  # fmt: skip
    (one,) = found.upstreams
    assert (one.tls.ca_file, one.tls.certificate) == (Path("/etc/apache2/app-ca.pem"), Path("/etc/apache2/gate.pem"))
    unseen = imported(vhost(*TLS, "ProxyPass / https://h/"))
    assert "takes none unseen" in whys(unseen, "ProxyPass")[0]
    assert parse(unseen.toml).upstreams[0].tls.ca_file == "system"
    (one,) = config(*TLS, "ProxyPass / h2c://h/").upstreams
    assert one.protocol is Protocol.HTTP_2


def test_websockets_go_where_the_rest_goes() -> None:
    rule = ("RewriteEngine on", "RewriteCond %{HTTP:Upgrade} websocket [NC]",
            "RewriteRule /(.*) ws://127.0.0.1:8080/$1 [P,L]")  # fmt: skip
    assert imported(vhost(*BASIC, *rule)).left == ()
    result = imported(vhost(*BASIC, *(line.replace("8080", "9090") for line in rule)))
    assert "WebSockets" in result.left[0].why
    assert len(parse(result.toml).sites[0].routes) == 1


# --- how long the gate waits ---


def test_times_of_the_gate_are_the_longest_of_its_sites() -> None:
    lines = ("RequestReadTimeout handshake=5 header=20-40,MinRate=500 body=15,MinRate=1000", "KeepAliveTimeout 7")
    other = (line for line in BASIC if not line.startswith("ServerName"))
    result = imported(
        vhost(*BASIC, *lines, "ProxyTimeout 90") + vhost(*other, "ServerName other.example.com", "Timeout 20")
    )
    found = parse(result.toml)
    times = found.gate.timeouts
    assert [t.total_seconds() for t in (times.handshake, times.header, times.idle, times.response)] == [5, 40, 7, 90]
    assert (found.gate.limits.min_body_rate, found.gate.limits.slow_grace) == (1000, timedelta(seconds=15))
    (one,) = found.upstreams
    assert one.timeouts.response == timedelta(seconds=20)
    assert found.sites[1].routes[0].upstream == Upstream(one.name)


def test_a_time_that_grows_without_end_is_left() -> None:
    assert whys(imported(vhost(*BASIC, "RequestReadTimeout header=20,MinRate=500")), "RequestReadTimeout")


def test_what_never_had_an_effect_is_named() -> None:
    result = imported(vhost(*BASIC, "ProxyPass /late http://127.0.0.1:9090/late"))
    assert "no effect in httpd either" in whys(result, "ProxyPass /late")[0]
    assert [r.path for r in parse(result.toml).sites[0].routes] == ["/"]


def test_websockets_need_no_route_of_their_own() -> None:
    assert list(routes(*TLS, "ProxyPass /w ws://127.0.0.1:8080/w", "ProxyPass /w http://127.0.0.1:8080/w")) == ["/w"]


def test_authorities_of_different_hosts_stay_apart() -> None:
    other = (*BASIC, "ServerName other.example.com", "SSLCACertificateFile /etc/ssl/other.pem")
    result = imported(vhost(*BASIC) + vhost(*(line for line in other if "shop.example" not in line)))
    first, second = parse(result.toml).sites
    assert first.routes[0].roles == ("import-shop",)
    assert second.routes[0].roles == ("import-other",)
    assert len(result.commands) == 2
    assert any("holds for all sites" in left.why for left in result.left)


def test_lists_are_adopted_with_their_authority() -> None:
    result = imported(vhost(*BASIC, "SSLCARevocationFile '/etc/ssl/a b.crl'", "SSLCARevocationCheck chain"))
    assert result.commands == ("mutualgate ca adopt --cert /etc/ssl/rootCA.pem --depth 0 --crl '/etc/ssl/a b.crl'",)
    for line in ("SSLCARevocationFile /etc/ssl/a.crl", "SSLCARevocationPath /etc/ssl/crl"):
        unchecked = imported(vhost(*BASIC, line))
        assert ["httpd did not look at it" in left.why for left in unchecked.left] == [True]
        assert "FILE" not in unchecked.commands[0]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("SSLOCSPEnable on",), "asks no OCSP responder"),
        (
            ("SSLOCSPEnable leaf", "SSLOCSPDefaultResponder http://h/", "SSLOCSPResponderTimeout 5"),
            "asks no OCSP responder",
        ),
        (("SSLCARevocationPath /etc/ssl/crl", "SSLCARevocationCheck leaf"), "the lists of one file"),
        (
            ("SSLCARevocationPath crl", "SSLCARevocationFile a.crl", "SSLCARevocationCheck chain"),
            "the lists of one file",
        ),
    ],
)
def test_an_authority_whose_list_is_elsewhere_is_not_adopted_without_one(lines: tuple[str, ...], why: str) -> None:
    result = imported(vhost(*BASIC, *lines))
    assert result.commands == ("mutualgate ca adopt --cert /etc/ssl/rootCA.pem --depth 0 --crl FILE",)
    assert [why in left.why for left in result.left] == [True]


def test_what_asks_no_responder_needs_no_list() -> None:
    result = imported(vhost(*BASIC, "SSLOCSPEnable off"))
    assert "--crl" not in result.commands[0]
    assert result.left == ()


@pytest.mark.parametrize(
    ("lines", "option"),
    [
        ([], "--depth 0"),
        (["SSLVerifyDepth 1"], "--depth 0"),
        (["SSLVerifyDepth 3"], "--depth 2"),
        (["SSLVerifyDepth 10"], ""),
        (["SSLVerifyDepth nonsense"], "--depth 0"),
        (["SSLVerifyDepth 0"], "--admits listed"),
    ],
)
def test_as_many_cas_stand_below_an_authority_as_before(lines: list[str], option: str) -> None:
    result = imported(vhost(*BASIC, *lines))
    assert result.commands == (f"mutualgate ca adopt --cert /etc/ssl/rootCA.pem {option}".rstrip(),)
    assert len(result.left) == (1 if "listed" in option else 0)


def test_the_least_depth_of_an_authority_holds() -> None:
    other = [line for line in BASIC if not line.startswith("ServerName")]
    result = imported(vhost(*BASIC, "SSLVerifyDepth 3") + vhost(*other, "ServerName other.example.com"))
    assert set(result.commands) == {"mutualgate ca adopt --cert /etc/ssl/rootCA.pem --depth 0"}
    assert "one number for all sites" in whys(result, "SSLVerifyDepth")[0]
    part = imported(vhost(*BASIC, "<Location /x>", "SSLVerifyDepth 3", "</Location>"))
    assert "one number for all paths" in whys(part, "SSLVerifyDepth")[0]


def other_host(*lines: str) -> str:
    return vhost("ServerName other.example.com", *BASIC[1:], *lines)


def test_a_depth_that_is_less_elsewhere_is_named_where_it_is_more() -> None:
    same = imported(vhost(*BASIC, "SSLVerifyDepth 3") + other_host("SSLVerifyDepth 3"))
    assert same.left == ()
    for deep, option in (("9", "3"), ("3", "2")):
        result = imported(vhost(*BASIC, f"SSLVerifyDepth {deep}") + other_host("SSLVerifyDepth 2"))
        assert [left.line for left in result.left] == [9]
        assert f"--depth {option}," in result.left[0].do
    none = imported(vhost(*BASIC) + other_host("SSLVerifyDepth 0"))
    assert [left.line for left in none.left] == [18]
    assert "Pin each of them" in none.left[0].do
    assert len({*none.commands}) == 1
    assert imported(vhost(*BASIC, "SSLVerifyDepth 4")).commands[0].endswith("--depth 3")


def test_a_depth_is_of_those_who_trust_an_authority() -> None:
    result = imported(vhost(*BASIC, "SSLVerifyDepth 3") + other_host("SSLCACertificateFile /etc/ssl/b.pem"))
    assert [line.split("/etc/ssl/")[1] for line in result.commands] == ["rootCA.pem --depth 2", "b.pem --depth 0"]


def test_who_asks_nobody_trusts_nobody() -> None:
    silent = ("ServerName s.example.com", *TLS[1:], "SSLCACertificateFile /etc/ssl/b.pem", "ProxyPass / http://h/")
    result = imported(vhost(*BASIC) + vhost(*silent))
    assert [route.roles for site in parse(result.toml).sites for route in site.routes] == [(), ()]


def test_a_role_stands_for_an_authority_where_nothing_else_says_who_may() -> None:
    parts = ("<Location /named>", f"Require expr {CN} == 'alice'", "</Location>",
             "<Location /open>", "Require all granted", "</Location>",
             "<Location /roles>", "Require expr %{SSL_CLIENT_S_DN_OU} == 'ops'", "</Location>")  # fmt: skip
    first = vhost(*TLS, "SSLVerifyClient optional", "ProxyPass / http://h/", *parts)
    result = imported(first + other_host("SSLCACertificateFile /etc/ssl/b.pem"))
    sites = parse(result.toml).sites
    assert {route.path: (route.roles, route.clients) for route in sites[0].routes} == {
        "/": ((), ()),
        "/named": ((), ("alice",)),
        "/roles": (("ops",), ()),
    }
    assert sites[1].routes[0].roles == ("import-other",)


def test_without_an_authority_there_is_a_first_client_to_add() -> None:
    bare = tuple(line for line in BASIC if "SSLCACertificateFile" not in line)
    assert imported(vhost(*bare)).commands == ("mutualgate client add NAME",)
    assert imported(vhost(*bare, "SSLVerifyClient none")).commands == ()


def test_plain_http_that_redirects_is_carried() -> None:
    plain = vhost("ServerName shop.example.com", "Redirect permanent / https://shop.example.com/", address="*:80")
    result = imported(plain + vhost(*BASIC))
    assert [str(address) for address in parse(result.toml).gate.plain_listen] == ["0.0.0.0:80"]
    waits = vhost("ServerName p.example.com", "ProxyTimeout 900", address="*:80")
    assert "900" not in imported(waits + vhost(*BASIC, "ProxyTimeout 9")).toml
    assert result.left == ()
    for line in ("Redirect / https://other.example.com/", "Redirect / https://shop.example.com/start",
                 "Redirect /a https://shop.example.com/a", "Redirect / https://shop.example.com:8443/",
                 "RewriteRule ^(.*) https://other.example.com$1"):  # fmt: skip
        elsewhere = imported(vhost("ServerName shop.example.com", line, address="*:80") + vhost(*BASIC))
        assert "to the same host and path" in whys(elsewhere, line)[0], line
    for line in ("RewriteRule ^/?(.*) https://%{HTTP_HOST}/$1", "RewriteRule ^ https://SHOP.example.com%{REQUEST_URI}",
                 "Redirect / https://shop.example.com:443"):  # fmt: skip
        assert imported(vhost("ServerName shop.example.com", line, address="*:80") + vhost(*BASIC)).left == (), line
    served = vhost("ServerName p.example.com", "ProxyPass / http://127.0.0.1:8080/", address="*:80")
    assert "plain HTTP" in whys(imported(served + vhost(*BASIC)), "<VirtualHost *:80")[0]


def test_fields_for_the_service_are_translated() -> None:
    line = 'RequestHeader set X-SSL-Client-DN "%{SSL_CLIENT_S_DN}s"'
    (left,) = imported(vhost(*BASIC, line)).left
    assert "Mutualgate-Subject" in left.do
    assert (left.file, left.line) == ("site.conf", 9)


@pytest.mark.parametrize(
    ("line", "do"),
    [
        ('set X-Cn "%{SSL_CLIENT_S_DN_CN}e"', 'or SSL_CLIENT_S_DN_CN with identity = ["apache"] on the route.'),
        (
            'set X-Left "%{SSL_CLIENT_V_REMAIN}s"',
            "Let the service read Client-Cert (RFC 9440: base64 between colons) instead of X-Left.",
        ),
        ('set X-Tls "%{SSL_PROTOCOL}s"', "read Mutualgate-Tls (with tls_facts = true on the route) instead of X-Tls."),
        ('set SSL_SERVER_S_DN "%{SSL_SERVER_S_DN}s"', "Let the service do without SSL_SERVER_S_DN."),
        (
            'set SSL_CLIENT_CERT "%{SSL_CLIENT_CERT}s" "expr=-n %{SSL_CLIENT_CERT}"',
            'with identity = ["apache"] on the route.',
        ),
    ],
)
def test_where_a_service_finds_what_it_was_told_is_true(line: str, do: str) -> None:
    result = imported(vhost(*BASIC, f"RequestHeader {line}"))
    (left,) = result.left
    assert left.do.endswith(do)
    assert "identity =" not in result.toml


def test_variables_of_programs_are_told_in_the_same_dialect() -> None:
    assert routes(*BASIC, "RequestHeader set SSL_CLIENT_S_DN %{SSL_CLIENT_S_DN}e")["/"].identity == ("apache",)


def test_a_part_with_what_is_below_it_needs_no_service_of_its_own() -> None:
    lines = (*TLS, "ProxyPass /api http://h/api", "<Location />", "SSLVerifyClient require", "</Location>")
    result = imported(vhost(*lines))
    assert result.left == ()
    assert parse(result.toml).sites[0].routes[0].client_certificate is Mode.REQUIRED


@pytest.mark.parametrize(
    "line", ["AuthLDAPBindPassword hunter2", "ProxyPass /a ajp://h/ secret=hunter2", "SessionCryptoPassphrase hunter2"]
)
def test_passwords_are_not_repeated(line: str) -> None:
    result = imported(vhost(*TLS, line, "ProxyPass / http://h/"))
    assert result.left
    assert "hunter2" not in f"{result}"


@pytest.mark.parametrize("name", ["*.example.com", "a_b..c", "http://", "münchen*"])
def test_a_name_that_it_cannot_serve_is_named(name: str) -> None:
    result = imported(vhost(*BASIC, f"ServerAlias {name}"))
    assert whys(result, "ServerAlias")
    assert parse(result.toml).sites[0].hosts == ("shop.example.com",)
    first = imported(vhost(f"ServerName {name}", "ServerAlias a.example", *BASIC[1:]))
    assert parse(first.toml).sites[0].hosts == ("a.example",)
    assert all(left.do for left in first.left)


def test_names_are_those_that_clients_say() -> None:
    result = imported(
        vhost("ServerName https://Shop.example.com.:8443", "ServerAlias ::1 a.example a.example", *BASIC[1:])
    )
    assert parse(result.toml).sites[0].hosts == ("shop.example.com", "::1", "a.example")
    assert result.left == ()


def test_only_the_first_site_has_an_address() -> None:
    other = tuple(line.replace("shop.", "www.other.") for line in BASIC)
    result = imported(vhost(*BASIC, "ServerAlias 10.0.0.1") + vhost(*other, "ServerAlias 10.0.0.2 [::1"))
    assert [(site.name, site.hosts) for site in parse(result.toml).sites] == [
        ("shop", ("shop.example.com", "10.0.0.1")),
        ("other", ("www.other.example.com",)),
    ]
    assert any("clients name no address" in why for why in whys(result, "ServerAlias 10.0.0.2"))


def test_sites_are_called_after_their_first_names() -> None:
    hosts = ("www.a.example", "a.other.example", "a.third.example", "::")
    text = "".join(vhost(f"ServerName {host}", *BASIC[1:]) for host in (hosts[3], *hosts[:3]))
    assert [site.name for site in parse(imported(text).toml).sites] == ["site", "a", "a-2", "a-3"]


def test_upstreams_are_called_after_their_hosts_and_equal_ones_are_one() -> None:
    lines = ("ProxyPass /a https://h/a", "ProxyPass /b https://h/b timeout=5", "ProxyPass /c https://h/c",
             "ProxyPass /d h2c://[::]/d", "ProxyPass /e h2c://demo/e")  # fmt: skip
    found = config(*TLS, *lines)
    assert [one.name for one in found.upstreams] == ["h", "h-2", "service", "demo-2"]
    assert [str(route.upstream) for route in found.sites[0].routes] == ["h", "h-2", "h", "service", "demo-2"]


@pytest.mark.parametrize(
    ("word", "mode", "why"),
    [
        ("optional_no_ca", Mode.OPTIONAL, "that it cannot verify"),
        ("sometimes", Mode.REQUIRED, "does not know this word"),
    ],
)
def test_a_word_that_it_cannot_follow_is_named(word: str, mode: Mode, why: str) -> None:
    result = imported(vhost(*BASIC, f"SSLVerifyClient {word}"))
    assert parse(result.toml).sites[0].client_certificate is mode
    assert [why in left.why for left in result.left] == [True]


def test_a_site_has_the_certificate_that_it_is_given() -> None:
    (site,) = config("ServerName shop.example.com", "SSLEngine on", "ProxyPass / http://h/").sites
    assert (site.certificate, site.key) == (None, None)
    (site,) = config(
        "ServerName shop.example.com", "SSLEngine on", "SSLCertificateKeyFile a.key", "ProxyPass / http://h/"
    ).sites
    assert (site.certificate, site.key) == (None, None)
    (site,) = config(
        "ServerName shop.example.com", "SSLEngine on", "SSLCertificateFile a.pem", "ProxyPass / http://h/"
    ).sites
    assert site.certificate == site.key == Path("/etc/apache2/a.pem")


def test_the_gate_listens_where_httpd_did() -> None:
    other = tuple(line.replace("shop.", "b.") for line in BASIC)
    third = tuple(line.replace("shop.", "c.") for line in BASIC)
    result = imported(vhost(*BASIC) + vhost(*other, address="10.0.0.1:443") + vhost(*third, address="10.0.0.1:8443"))
    assert [str(address) for address in parse(result.toml).gate.listen] == ["0.0.0.0:443", "10.0.0.1:8443"]
    assert result.left == ()


@pytest.mark.parametrize("address", ["::1:443", "10:443", "host.example.com:443"])
def test_where_the_gate_cannot_listen_is_named(address: str) -> None:
    result = imported(vhost(*BASIC, address=address))
    (left,) = result.left
    assert (left.why[:24], left.do) == ("as a place to listen: fo", "Set it by hand.")
    assert "listen" not in result.toml


def test_plain_http_has_a_place_of_its_own() -> None:
    both = vhost("ServerName shop.example.com", "Redirect / https://shop.example.com/") + vhost(*BASIC)
    assert "plain_listen" not in imported(both).toml
    outside = imported("Redirect / https://shop.example.com/\nListen 443\n" + vhost(*BASIC, address="*"))
    assert "plain_listen" not in outside.toml
    plain = vhost("ServerName shop.example.com", address="*:80")
    three = imported("Redirect / https://shop.example.com/\n" + plain + vhost(*BASIC))
    assert [str(address) for address in parse(three.toml).gate.plain_listen] == ["0.0.0.0:80"]


def test_nothing_that_was_not_there_is_written() -> None:
    toml = imported(vhost(*BASIC)).toml
    assert [line for line in toml.splitlines() if line.startswith("[")] == ["[gate]", "[[sites]]", "[[sites.routes]]"]
    assert "No virtual host" not in toml
    quick = imported(vhost(*BASIC, "RequestReadTimeout body=0,MinRate=500")).toml
    assert "[gate.timeouts]" not in quick
    assert "slow_grace" not in quick
    none = imported(vhost(*TLS))
    assert none.toml.endswith("# No virtual host could be carried over: this is a gate before its demo service.\n")
    assert none.commands == ()


def test_a_name_belongs_to_one_site() -> None:
    result = imported(vhost(*BASIC) + vhost(*BASIC, address="*:8443"))
    assert len(parse(result.toml).sites) == 1
    assert "already belongs to site shop" in whys(result, "ServerName")[0]


@pytest.mark.parametrize(
    "line",
    ["SSLOptions +FakeBasicAuth", "DocumentRoot /srv/www", "ScriptAlias /c /d",
     "AuthType Basic", "Header edit Set-Cookie (.*) $1", "Header set X y env=z", "RequestHeader set X %{REMOTE_ADDR}s",
     "RequestHeader set Host h", "Header merge X y", "Header set Content-Length 1",
     "RewriteRule ^/a /b [P]", "SSLOCSPEnable on", "SSLPassPhraseDialog exec:/bin/ask", "MadeUpDirective 1",
     "SSLCACertificatePath /etc/ssl"],
)  # fmt: skip
def test_nothing_is_dropped_without_a_word(line: str) -> None:
    (left,) = imported(vhost(*BASIC, line)).left
    assert left.directive == line
    assert left.line == 9
    assert left.why
    assert left.do.endswith(".")


@pytest.mark.parametrize(
    "rule",
    [
        "Require ip 10.0.0.1",
        "<Location /admin>\nRequire ip 10.0.0.1\n</Location>",
        "SSLRequire %{TIME} > 5",
        "RewriteRule ^/x - [F]",
        "Redirect 503 /",
        "SSLCARevocationFile x.crl",
        "SSLCARevocationPath crls",
        "SSLOCSPEnable on",
    ],
)
def test_what_closes_something_only_with_d_closes_it_here(rule: str) -> None:
    section = f"<IfDefine X>\n{rule}\n</IfDefine>"
    found, outside = imported(vhost(*BASIC, section)), imported(f"{section}\n{vhost(*BASIC)}")
    for result, role in ((found, "import-9"), (outside, "import-1")):
        assert [route.roles for route in parse(result.toml).sites[0].routes] == [(role,)]
        effect, why = whys(result, "<IfDefine X>")
        assert (why.startswith("it was taken not to hold"), role in effect) == (True, True)


def test_what_closes_nothing_else_with_d_is_left_out_alone() -> None:
    lines = ("<IfDefine X>", "ProxyPass /a http://h/a", "LogLevel warn", "SSLVerifyClient none", "</IfDefine>")
    other = vhost(*BASIC, "SSLRequire %{TIME} > 5").replace("shop.", "other.")
    for text in (vhost(*BASIC, *lines), f"<IfDefine X>\n{other}\n</IfDefine>\n{vhost(*BASIC)}"):
        result = imported(text)
        assert [route.roles for route in parse(result.toml).sites[0].routes] == [()]
        assert [left.directive for left in result.left] == ["<IfDefine X>"]


def test_a_certificate_that_is_required_only_with_d_is_required_here() -> None:
    found = routes(*TLS, "ProxyPass / http://h/", "<IfDefine X>", "SSLVerifyClient require", "</IfDefine>")
    assert (found["/"].client_certificate, found["/"].roles) == (Mode.REQUIRED, ())


def test_what_holds_only_without_d_is_told() -> None:
    result = imported(vhost(*BASIC, "<IfDefine !X>", "Header set A b", "</IfDefine>"))
    assert [(left.directive, left.why) for left in result.left] == [
        ("<IfDefine !X>", "it was taken to hold (no -D), so what is inside counts")
    ]


FORGED = "RequestHeader set X-Shop a"


@pytest.mark.parametrize("rule", [FORGED, "RequestHeader unset X-Shop", "RequestHeader always edit X-Shop a b"])
@pytest.mark.parametrize("inside", [("<IfDefine X>",), ("<IfDefine X>", "<IfDefine Y>")])
def test_a_field_that_httpd_writes_only_with_d_is_written_by_no_client(rule: str, inside: tuple[str, ...]) -> None:
    section = "\n".join((*inside, rule, *("</IfDefine>" for _ in inside)))
    place = f"<Location />\n{section}\n</Location>"
    for text in (vhost(*BASIC, section), vhost(*BASIC, place), f"{section}\n{vhost(*BASIC)}"):
        (route,) = parse(imported(text).toml).sites[0].routes
        assert (route.request_headers.remove, route.request_headers.set) == (("X-Shop",), ())
    # What it writes in any case stays.
    (route,) = parse(imported(vhost(*BASIC, "RequestHeader set X-Shop shop", section)).toml).sites[0].routes
    assert route.request_headers.set == (("X-Shop", "shop"),)


def test_a_module_that_was_taken_to_be_there_is_told_once() -> None:
    lines = ("<IfModule mod_shop.c>", "Require all granted", "</IfModule>")
    result = imported(vhost(*BASIC, *lines, *lines, "<IfModule mod_empty.c>", "</IfModule>"))
    assert [(left.directive, "taken to be there" in left.why) for left in result.left] == [
        ("<IfModule mod_shop.c>", True)
    ]


# --- files ---


def test_includes_variables_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites/a.conf").write_text(vhost(*(line.replace("/etc/ssl", "${certs}") for line in BASIC)))
    (tmp_path / "ca.inc").write_text("SSLVerifyClient require\n")
    main = tmp_path / "elsewhere" / "httpd.conf"
    main.parent.mkdir()
    main.write_text(
        f'ServerRoot "{tmp_path}"\nDefine certs /srv/certs\n<IfModule !ssl_module>\nDefine certs /wrong\n</IfModule>\n'
        "<IfDefine nothing>\nSSLVerifyClient none\n</IfDefine>\nInclude sites/*.conf\nIncludeOptional none/*.conf\n"
        "Include missing.conf\nInclude ca.inc\n"
    )
    result = import_file(main)
    (site,) = parse(result.toml).sites
    assert site.certificate == Path("/srv/certs/shop.crt")
    assert [(left.file, left.line) for left in result.left] == [(str(main), 6), (str(main), 11)]
    assert result.left[1].why == "there is no missing.conf"


def test_continued_lines_count_from_their_first() -> None:
    result = imported(vhost(*BASIC, "MadeUp one \\", "two", "# a comment", "Other"))
    assert [(left.line, left.directive) for left in result.left] == [(9, "MadeUp one two"), (12, "Other")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no virtual host"),
        ("<VirtualHost *:443>\n", "<VirtualHost> does not end"),
        ("</VirtualHost>\n", "ends nothing"),
        ("<VirtualHost *:443>\n</Location>\n", "ends <VirtualHost> of line 1"),
        ("<VirtualHost *:443\n</VirtualHost>\n", "no `>`"),
        ("<>\n</>\n", "without a name"),
        ("<Location /a>\n" * 100, "nested too deeply"),
        ("x" * 20_000, "too long for httpd"),
        ("x \\\n" * 20_000, "too long for httpd"),
        ("x\n" * 200_001, "more lines"),
    ],
)
def test_what_is_no_configuration_is_said_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as caught:
        imported(text)
    assert caught.value.where
    assert caught.value.where.startswith("site.conf")


def test_files_that_cannot_be_read_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        import_file(tmp_path / "none")
    with pytest.raises(BadInput, match="no such file"):
        import_file(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    with pytest.raises(BadInput, match="no text"):
        import_file(tmp_path / "binary")
    loop = tmp_path / "loop.conf"
    loop.write_text(f"Include {loop}\n")
    with pytest.raises(BadInput, match="without end"):
        import_file(loop)


# --- anything at all ---

LINES = st.sampled_from(
    [
        *BASIC, "SSLVerifyClient none", "SSLVerifyClient", "<Location /x>", "</Location>", "<Location ~ ^/x/>",
        "<If 'x'>",
        "</If>", "ProxyPass /x !", "ProxyPass", "ProxyPass /x ajp://h/x", "Require all denied", "Require ip 1.2.3.4",
        "Require", "SSLRequire", f"Require expr {CN} == 'a'", "<RequireAll>", "</RequireAll>", "ServerName",
        "ServerAlias *",
        "<VirtualHost *:443>", "</VirtualHost>", "Listen", "Listen 443", "Define", "Define a b", "LimitRequestBody 99",
        "ProxyPass /y balancer://b/", "<Proxy balancer://b>", "BalancerMember http://h:1", "</Proxy>",
        "RequestHeader set",
        "ProxyPassMatch ^/z(/.*)?$ http://h", "SSLCARevocationFile", "KeepAliveTimeout 5", "ProxyTimeout 0",
        "<LocationMatch x>",
        "</LocationMatch>", "Redirect 303 /r /s", "Redirect 410", "RedirectMatch ^/q$ /s", "Header set X-Y z",
        "RequestHeader append X-Y %", "RewriteEngine on", "RewriteRule ^/v/(.*) https://h/$1 [R]",
        "RewriteRule ^ - [F]", "RewriteCond %{HTTPS} off", "RewriteRule ^/$ / [R]",
        "ProxyPass /t http://h/u/ timeout=1 status=D",
        "ProxySet balancer://b stickysession=x lbmethod=y", "RequestReadTimeout header=0 body=1,MinRate=9",
        "ProxyPass / https://h/%", "ProxyPassReverse /t",
        "Order", "Satisfy any", "Deny from all", "SSLEngine", "Redirect / https://x/",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # fmt: skip


def imported_or_sentence(text: str) -> Imported | str:
    try:
        return imported(text)
    except BadInput as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=30), st.booleans())
@example(['"', "'", "\\"], True)
def test_whatever_it_is_there_is_a_configuration_or_a_sentence(lines: list[str], inside: bool) -> None:
    text = vhost(*TLS, *lines) if inside else "\n".join(lines)
    result = imported_or_sentence(text)
    if isinstance(result, str):
        assert "what it comes to" not in result, "it wrote something that the checker refuses"
        return
    tomllib.loads(result.toml)
    parse(result.toml)
    for left in result.left:
        assert left.line > 0
        assert left.why
        assert left.do


STRICT = [
    "Require all denied",
    "Require ip 10.0.0.1",
    "Require valid-user",
    f"Require expr {CN} == 'a'",
    "SSLVerifyClient require",
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(STRICT),
    st.sampled_from(["/x", "/x/", "/x/y", "/x;y", "/%78", "//x", "/x/../y", "/"]),
    st.permutations(["ProxyPass /x http://127.0.0.1:1/x", "ProxyPass / http://127.0.0.1:2/", "AREA"]),
)
def test_no_path_that_was_guarded_is_open(rule: str, path: str, order: list[str]) -> None:
    area = f"<Location {path}>\n{rule}\n</Location>"
    result = imported(vhost(*TLS, *(area if line == "AREA" else line for line in order)))
    (site,) = parse(result.toml).sites
    covering = [r for r in site.routes if r.path == "/" or f"{path.rstrip('/')}/".startswith(f"{r.path}/")]
    nearest = max(covering, key=lambda r: len(r.path))
    assert nearest.client_certificate is Mode.REQUIRED
    if rule != "SSLVerifyClient require":
        assert nearest.roles or nearest.clients
