"""What a virtual host takes over from outside, and what its directives do not pass without a word."""

from datetime import timedelta
from pathlib import Path

import pytest
from apache.hosts import BASIC, TLS, config, imported, routes, vhost, whys

from mutualgate.config import Mode, parse

SHUT = "RewriteRule ^/x(/|$) - [F]"


def test_a_file_without_a_virtual_host_is_one() -> None:
    (site,) = parse(imported("\n".join(BASIC)).toml).sites
    assert (site.hosts, site.client_certificate) == (("shop.example.com",), Mode.REQUIRED)
    found = {route.path: route.roles for route in parse(imported("\n".join((*BASIC, SHUT))).toml).sites[0].routes}
    assert found == {"/": (), "/x": ("import-8",)}
    assert imported("\n".join(BASIC)).carried[0].startswith("site.conf:1: ")
    plain = imported("ServerName x.example\nProxyPass / http://h/")
    assert "plain HTTP" in whys(plain, "<VirtualHost")[0]
    assert "none of its paths" in whys(imported("\n".join(TLS)), "<VirtualHost")[0]
    both = imported("SSLEngine on\n" + vhost(*BASIC))
    assert [site.hosts for site in parse(both.toml).sites] == [("shop.example.com",)]


def test_what_stands_outside_holds_after_what_stands_within() -> None:
    outside = "ServerName base.example\nProxyPass /o http://o/o\nProxyPass /x http://o/x\nRedirect /r https://r\n"
    found = parse(imported(outside + vhost(*TLS, "ProxyPass /x http://h/x")).toml).sites[0]
    assert {route.path: str(route.upstream or route.redirect) for route in found.routes} == {
        "/o": "http://o:80",
        "/r": "https://r",
        "/x": "http://h:80",
    }
    assert found.hosts == ("shop.example.com",)
    assert parse(imported(outside + vhost(*TLS[1:])).toml).sites[0].hosts == ("base.example",)
    assert "no name that the gate can serve" in whys(imported(vhost(*BASIC[1:])), "<VirtualHost")[0]


def test_a_redirect_is_one_wherever_the_line_stands_that_makes_it_tls() -> None:
    for lines in ((*TLS, "Redirect /r https://r"), ("Redirect /r https://r", *TLS)):
        assert routes(*lines, "ProxyPass /a http://h/a")["/r"].redirect == "https://r"


def test_rules_are_taken_over_only_where_they_are_inherited() -> None:
    outside = "RewriteEngine on\nRewriteRule ^/x(/|$) - [F]\n"
    lines = (*BASIC, "RewriteOptions AllowAnyURI")
    assert {route.path for route in parse(imported(outside + vhost(*lines)).toml).sites[0].routes} == {"/"}


def test_names_of_files_begin_at_the_root_of_the_server() -> None:
    relative = tuple(line.replace("/etc/ssl/", "") for line in BASIC)
    for root, expected in (("ServerRoot /srv/httpd", "/srv/httpd"), ("ServerRoot conf", "/etc/apache2"),
                           ("DocumentRoot /srv/www", "/etc/apache2")):  # fmt: skip
        (site,) = parse(imported(f"{root}\n{vhost(*relative)}").toml).sites
        assert site.certificate == Path(expected) / "shop.crt"


@pytest.mark.parametrize(
    "line", ["RewriteRule ^ https://shop.example.com/ [R]", "Redirect / https://shop.example.com/"]
)
def test_plain_http_is_redirected_in_whatever_words(line: str) -> None:
    plain = vhost("ServerName shop.example.com", "RewriteEngine on", line, address="*:80")
    result = imported(plain + vhost(*BASIC))
    assert [str(address) for address in parse(result.toml).gate.plain_listen] == ["0.0.0.0:80"]
    assert result.left == ()
    assert result.carried == (
        "site.conf:1: plain HTTP is redirected to HTTPS, by gate.plain_listen.",
        "site.conf:6: site shop for shop.example.com, which requires a certificate.",
        "/ of shop goes to http://127.0.0.1:8080.",
        "site.conf:11: what /etc/ssl/rootCA.pem signed is let in, once it is adopted.",
    )


@pytest.mark.parametrize("line", ["RewriteRule ^/x(.*) /y$1 [R]", "Redirect /x /y"])
def test_plain_http_that_stays_plain_is_left(line: str) -> None:
    plain = vhost("ServerName shop.example.com", "RewriteEngine on", line, address="*:80")
    result = imported(plain + vhost(*BASIC))
    assert "plain HTTP" in whys(result, "<VirtualHost *:80")[0]
    assert "plain_listen" not in result.toml


def test_the_server_listens_where_a_host_has_no_port() -> None:
    result = imported("Listen 80\nListen 8443\n" + vhost(*BASIC, address="10.0.0.1"))
    assert [str(address) for address in parse(result.toml).gate.listen] == ["10.0.0.1:8443"]
    outside = imported("Listen 8443\n" + "\n".join(BASIC))
    assert [str(address) for address in parse(outside.toml).gate.listen] == ["0.0.0.0:8443"]


def test_a_site_has_one_certificate() -> None:
    result = imported(vhost(*BASIC, "SSLCertificateFile /etc/ssl/ec.pem"))
    assert "one certificate" in whys(result, "SSLCertificateFile")[0]
    (site,) = parse(result.toml).sites
    assert site.certificate == site.key == Path("/etc/ssl/ec.pem")
    assert imported(vhost(*BASIC) + vhost(*(line.replace("shop.", "other.") for line in BASIC))).left == ()


def test_lists_that_httpd_looks_at_need_no_word() -> None:
    lines = ("SSLCARevocationFile /etc/ssl/a.crl", "SSLCARevocationCheck leaf")
    assert imported(vhost(*BASIC, *lines)).left == ()
    assert whys(imported(vhost(*BASIC, *lines[:1], "SSLCARevocationCheck none")), "SSLCARevocationFile")


@pytest.mark.parametrize("verify", ["SSLProxyVerify none", "SSLProxyVerify optional", "ServerTokens Prod"])
def test_a_service_whose_certificate_httpd_did_not_look_at_is_named(verify: str) -> None:
    result = imported(vhost(*TLS, "SSLProxyCACertificateFile ca.pem", verify, "ProxyPass / https://h/"))
    assert "takes none unseen" in whys(result, "ProxyPass")[0]
    seen = ("SSLProxyCACertificateFile ca.pem", "SSLProxyVerify require", "ProxyPass / https://h/")
    assert imported(vhost(*TLS, *seen)).left == ()


def test_a_limit_of_the_whole_holds_and_none_is_none() -> None:
    assert routes(*BASIC, "LimitRequestBody 77")["/"].max_body_bytes == 77
    one, none = (routes(*BASIC, *more)["/"].max_body_bytes for more in (["LimitRequestBody 0"], []))
    assert one == none != 0


def test_a_balancer_that_is_carried_over_needs_no_word() -> None:
    pool = ("<Proxy balancer://a>", "BalancerMember http://10.0.0.1", "ProxySet lbmethod=byrequests", "</Proxy>")
    assert imported(vhost(*TLS, "ProxyPass / balancer://a/", *pool)).left == ()


def test_settings_of_a_balancer_are_no_settings_of_others() -> None:
    assert whys(imported(vhost(*BASIC, "ProxySet http://127.0.0.1:8080 timeout=5")), "ProxySet")
    found = config(*TLS, "ProxyPass / balancer://a/", "BalancerMember balancer://a http://10.0.0.1",
                   "ProxySet balancer://a timeout=5", "ProxySet balancer://b timeout=7")  # fmt: skip
    assert [one.timeouts.response for one in found.upstreams] == [timedelta(seconds=5)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RewriteCond %{X} y", "no variables and no conditions"),
        ("SSLCipherSuite ALL", "a fixed choice"),
        ("SSLUseStapling on", "staples nothing"),
        ("CustomLog x combined", "one access log"),
        ("MadeUp \x01" + "x" * 92, "nothing like it"),
    ],
)
def test_each_directive_is_left_for_its_own_reason(line: str, why: str) -> None:
    (left,) = imported(vhost(*BASIC, line)).left
    assert why in left.why
    assert left.directive == line.replace("\x01", "?")
    (longer,) = imported(vhost(*BASIC, f"MadeUp {'x' * 94}")).left
    assert longer.directive == f"MadeUp {'x' * 90}..."


@pytest.mark.parametrize("line", ["MaxRequestWorkers 5", "User www", "ServerTokens Prod", "SSLProtocol all"])
def test_what_is_about_the_process_needs_no_word(line: str) -> None:
    assert imported(vhost(*BASIC, line)).left == ()


def test_what_holds_for_every_route_is_said_once() -> None:
    lines = ("Header set X a", "Header add X b", "<Location /x>", "LimitRequestBody 5", "</Location>")
    assert len(whys(imported(vhost(*BASIC, *lines)), "Header add")) == 1


# --- sections ---


@pytest.mark.parametrize(
    "section",
    [
        "<If true>\nSSLRequire %{SSL_CLIENT_S_DN_CN} eq 'alice'\n</If>",
        "<Proxy balancer://pool>\nRequire ip 10.0.0.1\n</Proxy>",
        "<If true>\nRequire all denied\n</If>",
        "<If 'true'>\nHeader set X y\n</If>\n<ElseIf true>\nRequire ip 10.0.0.1\n</ElseIf>",
        "<LimitExcept GET>\nRequire ip 10.0.0.1\n</LimitExcept>",
        "<LocationMatch>\nRequire ip 10.0.0.1\n</LocationMatch>",
        "<ProxyMatch .*>\nDeny from 10.0.0.1\n</ProxyMatch>",
        r"<LocationMatch \.do$>" + "\nRequire ip 10.0.0.1\n</LocationMatch>",
        r"<Location ~ \.do$>" + "\nSSLRequire %{TIME} > 5\n</Location>",
        r"<LocationMatch \.do$>" + "\nRewriteRule ^ - [F]\n</LocationMatch>",
        "RewriteCond %{SSL:SSL_CLIENT_VERIFY} !^NONE$\n" + r"RewriteRule \.do$ - [F]",
    ],
)
def test_a_rule_that_no_route_can_hold_shuts_the_whole(section: str) -> None:
    found = routes(*TLS, "ProxyPass /b http://h/b", "ProxyPass / http://h/", section)
    assert all(route.roles for route in found.values())
    assert {route.client_certificate for route in found.values()} == {Mode.REQUIRED}


@pytest.mark.parametrize("section", ["Limit POST", "If true", "IfDefine X"])
def test_a_rule_for_some_requests_of_a_path_shuts_that_path(section: str) -> None:
    inner = (f"<{section}>", "Require ip 10.0.0.1", f"</{section.split()[0]}>")
    found = routes(*TLS, "ProxyPass / http://h/", "<Location /x>", *inner, "</Location>")
    assert {path: route.roles for path, route in found.items()} == {"/": (), "/x": ("import-9",)}
    assert found["/x"].client_certificate is Mode.REQUIRED


@pytest.mark.parametrize("section", ["If true", "Limit POST", "Proxy *"])
def test_a_certificate_that_some_requests_need_is_required_of_all(section: str) -> None:
    found = routes(*TLS, "ProxyPass / http://h/", f"<{section}>", "SSLVerifyClient require", f"</{section.split()[0]}>")
    assert (found["/"].client_certificate, found["/"].roles) == (Mode.REQUIRED, ())


@pytest.mark.parametrize(
    ("section", "why"),
    [
        (r"<LocationMatch \.do$>" + "\nSSLVerifyClient none\n</LocationMatch>", "not a pattern"),
        (r"<LocationMatch \.do$>" + "\nRequire all granted\n</LocationMatch>", "not a pattern"),
        ("<Directory /srv>\nRequire all denied\n</Directory>", "about files"),
        ("<DirectoryMatch /srv>\nRequire all denied\n</DirectoryMatch>", "about files"),
        ("<Files a>\nRequire all denied\n</Files>", "about files"),
        ("<FilesMatch a>\nRequire all denied\n</FilesMatch>", "about files"),
        ("<VirtualHost *:80>\n</VirtualHost>", "inside another one"),
        ("<Made up>\n</Made>", "nothing like this section"),
        ("<If true>\nHeader set X y\n</If>", "nothing like this section"),
        ("<Proxy balancer://a>\nHeader set X y\n</Proxy>", "nothing like this section"),
        ("<Location /b>\nRewriteRule ^ https://h [R]\n</Location>", "no variables and no conditions"),
        ("<Location /b>\nMadeUp 1\n</Location>", "nothing like it"),
        ("ProxyPass x http://h/", "is missing"),
        ("ProxyPass /x", "is missing"),
        ("ProxyPassMatch ^/x(/|$) http://h/$1/y", "not a pattern"),
        ("RequestReadTimeout body=20-40", "a fixed time"),
        ("RequestReadTimeout soon", "a fixed time"),
    ],
)
def test_other_sections_are_left_and_shut_nothing(section: str, why: str) -> None:
    result = imported(vhost(*TLS, "ProxyPass /b http://h/b", "ProxyPass /c http://h/c", section))
    assert [why in left.why for left in result.left] == [True]
    assert {(route.client_certificate, route.roles) for route in parse(result.toml).sites[0].routes} == {(Mode.OFF, ())}


def test_a_section_that_opens_what_is_open_needs_no_word() -> None:
    lines = (
        "<Limit GET POST>",
        "Satisfy any",
        "Order allow,deny",
        "Allow from all",
        "</Limit>",
        "<Proxy *>",
        "Require all granted",
    )
    assert imported(vhost(*BASIC, *lines, "</Proxy>")).left == ()


def test_a_location_with_a_pattern_of_paths_is_each_of_them() -> None:
    lines = ("<Location ~ '^/(a|b)(/|$)'>", "SSLVerifyClient require", "ProxyPassReverse http://h/", "</Location>")
    found = routes(*TLS, "ProxyPass / http://h/", *lines)
    assert {path for path, route in found.items() if route.client_certificate is Mode.REQUIRED} == {"/a", "/b"}


def test_addresses_in_answers_are_told_in_a_location_as_well() -> None:
    lines = ("<Location /app>", "ProxyPass http://h/", "ProxyPassReverse http://h/", "</Location>")
    assert "as the service sends them" in whys(imported(vhost(*TLS, *lines)), "ProxyPassReverse")[0]


@pytest.mark.parametrize(
    "line",
    [
        "ProxyPass /x/ http://h",
        "ProxyPass / http://h",
        "ProxyPass /x http://h/x",
        "ProxyPass / http://h/x",
        "ProxyPass /x/ http://h/y/",
        "<Location /x>\nProxyPass http://h/x\n</Location>",
        "<Location /x>\n<RequireAll>\nRequire all granted\n</RequireAll>\nProxyPass http://h/x\n</Location>",
        "ProxyPass / balancer://a/\n<Proxy balancer://a/>\nBalancerMember http://h\n</Proxy>",
    ],
)
def test_slashes_that_change_nothing_need_no_word(line: str) -> None:
    assert imported(vhost(*TLS, line)).left == ()


def test_slashes_of_a_service_behind_a_socket_are_looked_at_as_well() -> None:
    assert "sends /x/x to /yx" in whys(imported(vhost(*TLS, "ProxyPass /x/ unix:/s|http://h/y")), "ProxyPass")[0]


@pytest.mark.parametrize(
    ("lines", "path", "change"),
    [
        (("ProxyPassMatch ^/app/ http://h",), "/app", (None, None)),
        (("ProxyPassMatch ^/app/ http://h/pre/",), "/app", (None, "/pre/app")),
        (("<Location /app/>", "ProxyPassMatch http://h", "</Location>"), "/app", (None, None)),
        (("<LocationMatch ^/app/(.*)$>", "ProxyPassMatch http://h/$1", "</LocationMatch>"), "/app", ("/app", None)),
    ],
)
def test_a_pattern_appends_the_whole_path_or_what_it_inserts(
    lines: tuple[str, ...], path: str, change: tuple[str | None, str | None]
) -> None:
    (route,) = routes(*TLS, *lines).values()
    assert (route.path, (route.strip_prefix, route.replace_prefix)) == (path, change)


def test_a_pattern_of_a_section_comes_before_those_of_the_host() -> None:
    section = ("<LocationMatch ^/app/>", "ProxyPassMatch http://section", "</LocationMatch>")
    assert str(routes(*TLS, "ProxyPass / http://h/", *section)["/app"].upstream) == "http://section:80"
    first = ("ProxyPass /app http://h/app", "ProxyPassMatch ^/app/ http://late")
    assert str(routes(*TLS, *first)["/app"].upstream) == "http://h:80"
    nowhere = imported(vhost(*TLS, "ProxyPassMatch ^/app/ !", "ProxyPass / http://h/"))
    found = {route.path: bool(route.roles) for route in parse(nowhere.toml).sites[0].routes}
    assert found == {"/": False, "/app": True}
    assert whys(nowhere, "ProxyPassMatch")[0].startswith("httpd answers this path itself")


def test_numbers_that_are_none_say_nothing() -> None:
    assert routes(*BASIC, "LimitRequestBody much")["/"].max_body_bytes == routes(*BASIC)["/"].max_body_bytes
    assert config(*BASIC, "RequestReadTimeout body=20").gate.limits.min_body_rate == 0


def test_what_plain_http_redirects_needs_no_path() -> None:
    line = "RedirectMatch ^/(?!known) https://shop.example.com/"
    assert imported(vhost("ServerName shop.example.com", line, address="*:80") + vhost(*BASIC)).left == ()
