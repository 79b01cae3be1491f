"""Virtual hosts as people write them -> a configuration that the checker accepts, and a report of the rest."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mutualgate.apache.import_ import Imported, import_file, import_text
from mutualgate.config import Config, Mode, parse
from mutualgate.errors import BadInput


class Nothing:
    def read(self, pattern: str) -> Sequence[tuple[str, str]]:
        return []


def imported(text: str) -> Imported:
    return import_text(text, "site.conf", Nothing(), Path("/etc/apache2"))


def vhost(*lines: str, address: str = "*:443") -> str:
    inner = "\n".join(f"    {line}" for line in lines)
    return f"<VirtualHost {address}>\n{inner}\n</VirtualHost>\n"


TLS = (
    "ServerName shop.example.com",
    "SSLEngine on",
    "SSLCertificateFile /etc/ssl/shop.crt",
    "SSLCertificateKeyFile /etc/ssl/shop.key",
    "SSLCACertificateFile /etc/ssl/rootCA.pem",
)
BASIC = (*TLS, "SSLVerifyClient require", "ProxyPass / http://127.0.0.1:8080/")


def config(*lines: str) -> Config:
    return parse(imported(vhost(*lines)).toml)


def routes(*lines: str) -> dict[str, Any]:
    (site,) = config(*lines).sites
    return {route.path: route for route in site.routes}


def whys(result: Imported, directive: str) -> list[str]:
    return [left.why for left in result.left if left.directive.lower().startswith(directive.lower())]


def test_the_usual_virtual_host() -> None:
    result = imported(vhost(*BASIC))
    (site,) = parse(result.toml).sites
    assert site.name == "shop"
    assert site.hosts == ("shop.example.com",)
    assert site.client_certificate is Mode.REQUIRED
    assert (site.certificate, site.key) == (Path("/etc/ssl/shop.crt"), Path("/etc/ssl/shop.key"))
    assert [(r.path, str(r.upstream), r.roles) for r in site.routes] == [("/", "http://127.0.0.1:8080", ())]
    assert [str(address) for address in parse(result.toml).gate.listen] == ["0.0.0.0:443"]
    assert result.commands == ("mutualgate ca adopt --cert /etc/ssl/rootCA.pem",)
    assert result.left == ()


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


CN = "%{SSL_CLIENT_S_DN_CN}"


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
        f"SSLRequire {CN} eq 'alice' && %{{SSL_CLIENT_S_DN_OU}} eq 'Ops'",
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


def test_rules_that_are_merged_with_those_above_are_not_guessed() -> None:
    lines = ("<Location />", "Require ip 10.0.0.1", "</Location>")
    found = routes(*BASIC, *lines, "<Location /x>", "AuthMerging And", "Require all granted", "</Location>")
    assert all(route.roles for route in found.values())


@pytest.mark.parametrize(
    "line",
    ["RewriteRule ^/admin - [F]", "RewriteRule ^/admin - [NC,F,L]", "RewriteRule ^ - [R=403,L]", "Redirect 410 /old",
     "RewriteRule ^/a - [forbidden]", "RedirectMatch 403 ^/a"],
)  # fmt: skip
def test_a_rewrite_that_keeps_somebody_out_keeps_the_site_shut(line: str) -> None:
    result = imported(vhost(*BASIC, "RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !=alice", line))
    assert all(r.roles for r in parse(result.toml).sites[0].routes)
    assert any("nobody passes without the role" in left.why for left in result.left)


def test_the_usual_line_against_trace_shuts_nothing() -> None:
    found = routes(*BASIC, "RewriteEngine On", "RewriteCond %{REQUEST_METHOD} ^(TRACE|TRACK)", "RewriteRule .* - [F]")
    assert not found["/"].roles
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


def test_a_path_that_goes_nowhere_does_not_fall_to_the_service_above() -> None:
    for line in ("ProxyPass /x !", "ProxyPass /x ajp://127.0.0.1:8009/x", "ProxyPass /x http://127.0.0.1:9090/y"):
        result = imported(vhost(*TLS, line, "ProxyPass / http://127.0.0.1:8080/"))
        found = {r.path: r for r in parse(result.toml).sites[0].routes}
        assert found["/x"].roles, line
        assert found["/"].client_certificate is Mode.OFF
        assert whys(result, "ProxyPass /x")


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
        ("ProxyPass / https://127.0.0.1:8443/", "takes none unseen"),
        ("ProxyPass / fcgi://127.0.0.1:9000/", "no such protocol"),
        ("ProxyPass / h2://127.0.0.1:8443/", "HTTP/2 to services"),
        ("ProxyPass /app http://127.0.0.1:8080/", "sends /app to / there, which is not carried over"),
        ('ProxyPassMatch "^/app/(.*)$" "http://127.0.0.1:8080/$1"', "sends /app to / there, which is not carried over"),
        ('ProxyPassMatch "^/(.*)\\.do$" "http://127.0.0.1:8080/$1"', "not a pattern"),
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


def test_of_a_pool_the_others_are_named() -> None:
    pool = "<Proxy balancer://p>\nBalancerMember http://10.0.0.1:80\nBalancerMember http://10.0.0.2:80\n</Proxy>"
    result = imported(vhost(*TLS, "ProxyPass / balancer://p/", pool))
    assert whys(result, "BalancerMember http://10.0.0.2") == ["pools are not carried over"]


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
    assert result.commands == ("mutualgate ca adopt --cert /etc/ssl/rootCA.pem --crl '/etc/ssl/a b.crl'",)
    unchecked = imported(vhost(*BASIC, "SSLCARevocationFile /etc/ssl/a.crl"))
    assert "httpd did not look at it" in whys(unchecked, "SSLCARevocationFile")[0]


def test_plain_http_that_redirects_is_carried() -> None:
    plain = vhost("ServerName shop.example.com", "Redirect permanent / https://shop.example.com/", address="*:80")
    result = imported(plain + vhost(*BASIC))
    assert [str(address) for address in parse(result.toml).gate.plain_listen] == ["0.0.0.0:80"]
    served = vhost("ServerName p.example.com", "ProxyPass / http://127.0.0.1:8080/", address="*:80")
    assert "plain HTTP" in whys(imported(served + vhost(*BASIC)), "<VirtualHost *:80")[0]


def test_fields_for_the_service_are_translated() -> None:
    line = 'RequestHeader set X-SSL-Client-DN "%{SSL_CLIENT_S_DN}s"'
    (left,) = imported(vhost(*BASIC, line)).left
    assert "Mutualgate-Subject" in left.do
    assert (left.file, left.line) == ("site.conf", 9)


@pytest.mark.parametrize("name", ["*.example.com", "a_b..c", "http://", "münchen*"])
def test_a_name_that_it_cannot_serve_is_named(name: str) -> None:
    result = imported(vhost(*BASIC, f"ServerAlias {name}"))
    assert whys(result, "ServerAlias")
    assert parse(result.toml).sites[0].hosts == ("shop.example.com",)


def test_a_name_belongs_to_one_site() -> None:
    result = imported(vhost(*BASIC) + vhost(*BASIC, address="*:8443"))
    assert len(parse(result.toml).sites) == 1
    assert "already belongs to site shop" in whys(result, "ServerName")[0]


@pytest.mark.parametrize(
    "line",
    ["SSLVerifyDepth 3", "SSLOptions +FakeBasicAuth", "DocumentRoot /srv/www", "Header set X y", "ScriptAlias /c /d",
     "AuthType Basic", "RewriteRule ^/a /b [P]", "SSLOCSPEnable on", "MadeUpDirective 1",
     "SSLCACertificatePath /etc/ssl"],
)  # fmt: skip
def test_nothing_is_dropped_without_a_word(line: str) -> None:
    (left,) = imported(vhost(*BASIC, line)).left
    assert left.directive == line
    assert left.line == 9
    assert left.why
    assert left.do.endswith(".")


# --- files ---


def test_includes_variables_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites/a.conf").write_text(vhost(*(line.replace("/etc/ssl", "${certs}") for line in BASIC)))
    (tmp_path / "ca.inc").write_text("SSLVerifyClient require\n")
    main = tmp_path / "httpd.conf"
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
        "</LocationMatch>", "Order", "Satisfy any", "Deny from all", "SSLEngine", "Redirect / https://x/",
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
