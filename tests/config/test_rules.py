"""Contradictions: each rule with the file that breaks it and the nearest one that does not."""

from pathlib import Path

import pytest

from mutualgate.config import Mode, parse, problems


def site(name: str = "main", hosts: str = '"localhost"', more: str = "") -> str:
    return f'[[sites]]\nname = "{name}"\nhosts = [{hosts}]\n{more}\n'


def pool(name: str = "app", servers: str = '"http://127.0.0.1:1"', more: str = "") -> str:
    return f'[[upstreams]]\nname = "{name}"\nservers = [{servers}]\n{more}\n'


def route(path: str = "/", more: str = "", upstream: str = "demo") -> str:
    return f'[[sites.routes]]\npath = "{path}"\nupstream = "{upstream}"\n{more}\n'


RULES = [
    pytest.param(
        '[gate]\nlisten = ["127.0.0.1:8443"]\nops_listen = ["127.0.0.1:8443"]\n',
        '[gate]\nlisten = ["127.0.0.1:8443"]\nops_listen = ["127.0.0.2:8443"]\n',
        ":3:15: gate.ops_listen[0]: 127.0.0.1:8443 overlaps 127.0.0.1:8443 of gate.listen[0]. "
        "Give each listener a port of its own",
        id="two listeners on one address",
    ),
    pytest.param(
        '[gate]\nlisten = ["127.0.0.1:8443", "0.0.0.0:8443"]\n',
        '[gate]\nlisten = ["127.0.0.1:0", "0.0.0.0:0"]\n',
        ":2:29: gate.listen[1]: 0.0.0.0:8443 overlaps 127.0.0.1:8443 of gate.listen[0]. "
        "Give each listener a port of its own",
        id="a listener within another",
    ),
    pytest.param(
        '[gate]\nlisten = ["127.0.0.1:8480"]\n',
        '[gate]\nlisten = ["127.0.0.1:8480"]\nplain_listen = []\n',
        ":1:2: gate.plain_listen[0]: 127.0.0.1:8480 overlaps 127.0.0.1:8480 of gate.listen[0]. "
        "Give each listener a port of its own",
        id="a listener on the default of another",
    ),
    pytest.param(
        site() + route() + site(hosts='"b"') + route(),
        site() + route() + site("b", '"b"') + route(),
        ':10:8: sites[1].name: "main" is already the name of sites[0]',
        id="two sites of one name",
    ),
    pytest.param(
        site(hosts='"a.example", "b.example"') + route() + site("b", '"c.example", "B.EXAMPLE"') + route(),
        site(hosts='"a.example", "b.example"') + route() + site("b", '"c.example", "d.example"') + route(),
        ':11:23: sites[1].hosts[1]: "b.example" already belongs to sites[0]. A host belongs to one site',
        id="a host in two sites",
    ),
    pytest.param(
        site(hosts='"a", "A"') + route(),
        site(hosts='"a", "b"') + route(),
        ":3:15: sites[0].hosts[1]: a is listed twice",
        id="a host twice in a site",
    ),
    pytest.param(
        site() + route() + site("b", '"b", "192.0.2.1"') + route(),
        site(hosts='"b", "192.0.2.1"') + route() + site("b", '"c"') + route(),
        ":11:15: sites[1].hosts[1]: the address 192.0.2.1 cannot be told from the first site. "
        "Clients name no address in a handshake: list it at the first site",
        id="an address that no handshake names",
    ),
    pytest.param(
        site(more='certificate = "a.pem"') + route(),
        site(more='certificate = "a.pem"\nkey = "a.key"') + route(),
        ":4:15: sites[0].certificate: is given without `key`. "
        "Add `key`, or leave both out to use a certificate of our authority",
        id="a certificate without key",
    ),
    pytest.param(
        site(more='key = "a.key"') + route(),
        site() + route(),
        ":4:7: sites[0].key: is given without `certificate`. "
        "Add `certificate`, or leave both out to use a certificate of our authority",
        id="a key without certificate",
    ),
    pytest.param(
        site() + route("/a") + route("/a"),
        site() + route("/a") + route("/A"),
        ':10:8: sites[0].routes[1].path: "/a" is already the path of routes[0] of this site',
        id="a path twice in a site",
    ),
    pytest.param(
        site() + route(more='client_certificate = "off"\nroles = ["admin"]'),
        site() + route(more='client_certificate = "required"\nroles = ["admin"]'),
        ':9:9: sites[0].routes[0].roles: keeps nobody out where client_certificate is "off". '
        'Set client_certificate = "required" for this route',
        id="roles without a certificate",
    ),
    pytest.param(
        site(more='client_certificate = "optional"') + route(more='clients = ["alice"]'),
        site() + route(more='clients = ["alice"]'),
        ':8:11: sites[0].routes[0].clients: keeps nobody out where client_certificate is "optional". '
        'Set client_certificate = "required" for this route',
        id="clients where anybody may come without",
    ),
    pytest.param(
        site(more='on_refusal = "alert"') + route(more='client_certificate = "optional"'),
        site(more='on_refusal = "close"') + route(more='client_certificate = "optional"'),
        ':4:14: sites[0].on_refusal: an alert ends the handshake before the path is known, but "/" has '
        'client_certificate = "optional". Use "page" or "close", or require a certificate for all routes',
        id="an alert before a route for everybody",
    ),
    pytest.param(
        site(more='on_refusal = "alert"') + route() + route("/join", upstream="portal"),
        site(more='on_refusal = "close"') + route() + route("/join", upstream="portal"),
        ':4:14: sites[0].on_refusal: an alert ends the handshake of those for whom the portal ("/join") is. '
        'Use "page" or "close", or a site of its own for the portal',
        id="an alert before the portal",
    ),
    pytest.param(
        site() + route(more='identity = ["apache", "nginx"]'),
        site() + route(more='identity = ["apache", "tomcat", "xfcc"]'),
        ':8:12: sites[0].routes[0].identity: "nginx" and "apache" write the same names, with "-" and with "_", in two '
        "forms. Choose the one that the service reads",
        id="two dialects that CGI takes for one",
    ),
    pytest.param(
        site() + route(more='jwt_audience = "orders"'),
        site() + route(more='identity = ["jwt"]\njwt_audience = "orders"'),
        ':8:16: sites[0].routes[0].jwt_audience: has no meaning without a token. Add "jwt" to `identity`',
        id="an audience of nothing",
    ),
    pytest.param(
        site() + route(upstream="portal", more="identity = []"),
        site() + route(upstream="portal", more='identity = ["rfc9440"]'),
        ":8:12: sites[0].routes[0].identity: has no meaning for the portal. Leave it out",
        id="a dialect for the portal",
    ),
    pytest.param(
        site() + route(upstream="portal", more='client_certificate = "required"'),
        site() + route(upstream="demo", more='client_certificate = "required"'),
        ":8:22: sites[0].routes[0].client_certificate: has no meaning for the portal. "
        "Leave it out: the portal hears what everybody showed and decides for itself",
        id="a certificate before the portal",
    ),
    pytest.param(
        site() + route(upstream="portal", more='roles = ["admin"]'),
        site() + route(upstream="demo", more='roles = ["admin"]'),
        ":8:9: sites[0].routes[0].roles: keeps nobody out of the portal. "
        "Leave it out: the portal hears what everybody showed and decides for itself",
        id="roles before the portal",
    ),
    pytest.param(
        site() + route(upstream="http://127.0.0.1:8443"),
        site() + route(upstream="http://127.0.0.1:8444"),
        ":7:12: sites[0].routes[0].upstream: http://127.0.0.1:8443 is the gate's own listen. "
        "Name the service behind the gate",
        id="an upstream that is the gate",
    ),
    pytest.param(
        '[mail]\nserver = "mail.example:587"\n',
        '[mail]\nserver = "mail.example:587"\nsender = "gate@example.com"\n',
        ":2:10: mail.server: is given without `sender`. Add the address that letters come from",
        id="a mail server without a sender",
    ),
    pytest.param(
        site(more='ca_hints = "auto"') + route() + route("/join", upstream="portal"),
        site(more='ca_hints = "off"') + route() + route("/join", upstream="portal"),
        ":4:12: sites[0].ca_hints: keeps browsers from showing the portal a certificate that nobody has accepted yet. "
        'Use "off", or a site of its own for the portal',
        id="hints at the portal",
    ),
    pytest.param(
        '[mail]\nusername = "gate"\n',
        '[mail]\nusername = "gate"\npassword_file = "secret"\n',
        ":2:12: mail.username: is given without `password_file`. Add `password_file`, or leave both out",
        id="a user without password",
    ),
    pytest.param(
        '[mail]\nserver = "mail.example:25"\nsender = "a@b.example"\nusername = "gate"\npassword_file = "secret"\n'
        'security = "none"\n',
        '[mail]\nserver = "127.0.0.1:25"\nsender = "a@b.example"\nusername = "gate"\npassword_file = "secret"\n'
        'security = "none"\n',
        ':6:12: mail.security: the password would go to mail.example:25 in the clear. Use "starttls" or "tls"',
        id="a password in the clear",
    ),
    pytest.param(
        '[notices]\nto = ["ops@example.com"]\n',
        '[mail]\nserver = "mail.example:25"\nsender = "a@b.example"\n[notices]\nto = ["ops@example.com"]\n',
        ":2:6: notices.to: cannot be reached without a mail server. Give `server` under [mail]",
        id="letters without a mail server",
    ),
    pytest.param(
        '[notices]\nwebhook = "https://hooks.example/x"\n',
        '[notices]\nwebhook = "https://hooks.example/x"\nsecret_file = "secret"\n',
        ":2:11: notices.webhook: is given without `secret_file`. Add `secret_file`, or leave both out",
        id="a webhook that nobody signs",
    ),
    pytest.param(
        '[tracing]\nheaders_file = "headers"\n',
        '[tracing]\nendpoint = "https://traces.example"\nheaders_file = "headers"\n',
        ":2:16: tracing.headers_file: is given without `endpoint`. Add the collector's address",
        id="header fields for nobody",
    ),
    pytest.param(
        '[tracing]\nendpoint = "http://traces.example:4318"\nheaders_file = "headers"\n',
        '[tracing]\nendpoint = "http://[::1]:4318"\nheaders_file = "headers"\n',
        ":3:16: tracing.headers_file: would go to http://traces.example:4318 in the clear. "
        "Use https:// for the collector",
        id="header fields in the clear",
    ),
    pytest.param(
        site() + '[[sites.routes]]\npath = "/"\n',
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x"\n',
        ":5:1: sites[0].routes[0]: `upstream` is missing; "
        'expected "http://host:port", "https://host:port", "unix:/path/of/a/socket", the name of an upstream, "demo" '
        'or "portal"',
        id="a route that leads nowhere",
    ),
    pytest.param(
        site() + route(more='redirect = "/x"'),
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x"\nredirect_status = 302\n',
        ":8:12: sites[0].routes[0].redirect: is there beside `upstream`. Leave one of the two out",
        id="an upstream and a redirect",
    ),
    pytest.param(
        site() + route(more="redirect_keep_path = false"),
        site() + route(more="redirect_keep_path = true"),
        ":8:22: sites[0].routes[0].redirect_keep_path: has no meaning without `redirect`. Leave it out",
        id="a part of a redirect that is none",
    ),
    pytest.param(
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x?y"\n',
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x?y"\nredirect_keep_path = false\n',
        ":7:12: sites[0].routes[0].redirect: ends with a query or fragment, after which no path can come. "
        "Set redirect_keep_path = false, or leave it out",
        id="a path after a query",
    ),
    pytest.param(
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x"\nrequest_headers = {remove = ["X"]}\n',
        site() + '[[sites.routes]]\npath = "/"\nredirect = "/x"\nresponse_headers = {remove = ["X"]}\n',
        ":8:19: sites[0].routes[0].request_headers: has no meaning for a redirect. Leave it out",
        id="header rules for requests that go nowhere",
    ),
    pytest.param(
        site() + route("/api/x", more='strip_prefix = "/ap"'),
        site() + route("/api/x", more='strip_prefix = "/api"'),
        ':8:16: sites[0].routes[0].strip_prefix: "/ap" is no beginning of "/api/x" that could be cut off. '
        "Name the path of the route, or a path above it",
        id="a prefix that the path has not",
    ),
    pytest.param(
        site() + route("/api", more='strip_prefix = "/api"\nreplace_prefix = "/v2"'),
        site() + route("/api", more='replace_prefix = "/v2"'),
        ":8:16: sites[0].routes[0].strip_prefix: is there beside `replace_prefix`. Leave one of the two out",
        id="two other beginnings of the path",
    ),
    pytest.param(
        site() + route("/join", upstream="portal", more='strip_prefix = "/join"'),
        site() + route("/join", upstream="portal", more='response_headers = {set = {"X-A" = "1"}}'),
        ":8:16: sites[0].routes[0].strip_prefix: has no meaning for the portal. Leave it out",
        id="another path for the portal",
    ),
    pytest.param(
        pool() + pool() + site() + route(upstream="app"),
        pool() + pool("other") + site() + route(upstream="app"),
        ':6:8: upstreams[1].name: "app" is already the name of upstreams[0]',
        id="two upstreams of one name",
    ),
    pytest.param(
        pool("demo") + site() + route(),
        pool("demos") + site() + route(),
        ':2:8: upstreams[0].name: "demo" is a service of the gate\'s own. Choose another name',
        id="an upstream with a name of ours",
    ),
    pytest.param(
        pool() + site() + route(upstream="ap"),
        pool() + site() + route(upstream="app"),
        ':11:12: sites[0].routes[0].upstream: there is no upstream "ap". There are: app; or write "http://ap:80"',
        id="a route to an upstream that is not there",
    ),
    pytest.param(
        pool(servers='"https://127.0.0.1:1"') + site() + route(),
        pool(servers='"https://127.0.0.1:1"', more='tls = { ca_file = "system" }') + site() + route(),
        ":3:11: upstreams[0].servers: has an address with TLS, and nothing says whom to trust there. "
        'Give `ca_file` under [upstreams.tls], a file or "system"',
        id="TLS to whomever",
    ),
    pytest.param(
        pool(more='tls = { ca_file = "a.pem", key = "a.key" }') + site() + route(),
        pool(more='tls = { ca_file = "a.pem", key = "a.key", certificate = "a.pem" }') + site() + route(),
        ":4:34: upstreams[0].tls.key: is given without `certificate`. Add `certificate`, or leave both out to show "
        "none",
        id="a key for upstreams without certificate",
    ),
    pytest.param(
        pool(more='drain = ["http://127.0.0.1:2"]') + site() + route(),
        pool(more='drain = ["http://127.0.0.1:1"]') + site() + route(),
        ":4:10: upstreams[0].drain[0]: http://127.0.0.1:2 is none of `servers`. Write it as it stands there",
        id="a server that drains and is not there",
    ),
    pytest.param(
        pool(servers='"http://127.0.0.1:1", "http://127.0.0.1:8443"') + site() + route(),
        pool(servers='"http://127.0.0.1:1", "http://127.0.0.1:8444"') + site() + route(),
        ":3:34: upstreams[0].servers[1]: http://127.0.0.1:8443 is the gate's own listen. Name the service behind the "
        "gate",
        id="a server that is the gate",
    ),
    pytest.param(
        pool(servers=", ".join(f'"http://127.0.0.1:{port}"' for port in range(1, 66))) + site() + route(),
        pool(servers=", ".join(f'"http://127.0.0.1:{port}"' for port in range(1, 65))) + site() + route(),
        ":3:11: upstreams[0].servers: has 65 servers, and 64 are the most",
        id="too many servers",
    ),
    pytest.param(
        pool(servers='"tcp://127.0.0.1:1", "http://127.0.0.1:2"'),
        pool(servers='"tcp://127.0.0.1:1", "tcp+unix:/run/app"'),
        ":3:33: upstreams[0].servers[1]: http://127.0.0.1:2 does not speak what tcp://127.0.0.1:1 does. "
        "Give it an upstream of its own",
        id="servers that cannot stand in for each other",
    ),
    pytest.param(
        pool(servers='"tcp://127.0.0.1:1"', more='protocol = "h2"'),
        pool(servers='"tcp://127.0.0.1:1"', more='balance = "client_hash"'),
        ":4:12: upstreams[0].protocol: has no meaning for what is no HTTP. Leave it out",
        id="HTTP/2 to what is no HTTP",
    ),
    pytest.param(
        pool(servers='"tcp://127.0.0.1:1"', more='health = {check = "http"}'),
        pool(servers='"tcp://127.0.0.1:1"', more='health = {check = "tcp"}'),
        ':4:19: upstreams[0].health.check: "http" asks what is no HTTP. Use "tcp"',
        id="a question in HTTP to what is none",
    ),
    pytest.param(
        pool(more='protocol = "h2"\nsend_proxy = "v2"'),
        pool(more='protocol = "http/1.1"\nsend_proxy = "v2"'),
        ':5:14: upstreams[0].send_proxy: names one client for a connection, and over "h2" others go on with it. '
        'Set protocol = "http/1.1", or leave send_proxy out',
        id="a PROXY header where clients share connections",
    ),
    pytest.param(
        pool("db", '"tcp://127.0.0.1:1"') + site() + route(upstream="db"),
        pool("db", '"tcp://127.0.0.1:1"') + site(more='on_refusal = "close"') + route(upstream="db"),
        ':5:1: sites[0].on_refusal: "page" has no meaning for db, which is no HTTP. '
        'Set on_refusal = "alert", or "close"',
        id="a page for a pool of what is no HTTP",
    ),
    pytest.param(
        site(more='on_refusal = "alert"') + route(upstream="tcp://127.0.0.1:6379") + route("/x"),
        site(more='on_refusal = "alert"') + route(upstream="tcp://127.0.0.1:6379"),
        ":7:12: sites[0].routes[0].upstream: tcp://127.0.0.1:6379 is no HTTP, and the site has other routes. "
        "Give it a site of its own, with a host of its own",
        id="what is no HTTP beside another route",
    ),
    pytest.param(
        site(more='on_refusal = "close"') + route("/db", upstream="postgresql://127.0.0.1:5432"),
        site(more='on_refusal = "close"') + route("/", upstream="postgresql://127.0.0.1:5432"),
        ':6:8: sites[0].routes[0].path: has no meaning for what is no HTTP. Use "/"',
        id="a path for what is no HTTP",
    ),
    pytest.param(
        site() + route(upstream="tcp://127.0.0.1:6379"),
        site(more='on_refusal = "close"') + route(upstream="tcp://127.0.0.1:6379"),
        ':1:1: sites[0].on_refusal: "page" has no meaning for tcp://127.0.0.1:6379, which is no HTTP. '
        'Set on_refusal = "alert", or "close"',
        id="a page for what is no HTTP",
    ),
    pytest.param(
        site(more='on_refusal = "close"') + route(more='client_certificate = "off"', upstream="tcp://127.0.0.1:1"),
        site(more='on_refusal = "close"') + route(more='client_certificate = "required"', upstream="tcp://127.0.0.1:1"),
        ":8:22: sites[0].routes[0].client_certificate: has to be required for tcp://127.0.0.1:1, which is no HTTP. "
        'Set client_certificate = "required"',
        id="what is no HTTP for everybody",
    ),
    pytest.param(
        site(more='on_refusal = "close"') + route(more="tls_facts = true", upstream="tcp://127.0.0.1:1"),
        site(more='on_refusal = "close"') + route(more='roles = ["dba"]', upstream="tcp://127.0.0.1:1"),
        ":8:13: sites[0].routes[0].tls_facts: has no meaning for what is no HTTP. Leave it out",
        id="header fields for what is no HTTP",
    ),
    pytest.param(
        site(more='on_refusal = "close"') + route(upstream="tcp://127.0.0.1:8443"),
        site(more='on_refusal = "close"') + route(upstream="tcp://127.0.0.1:8444"),
        ":7:12: sites[0].routes[0].upstream: tcp://127.0.0.1:8443 is the gate's own listen. "
        "Name the service behind the gate",
        id="what is no HTTP, and the gate itself",
    ),
]


@pytest.mark.parametrize(("wrong", "right", "sentence"), RULES)
def test_a_contradiction_is_an_error_and_its_neighbour_is_none(
    tmp_path: Path, wrong: str, right: str, sentence: str
) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text(right)
    assert [str(problem) for problem in problems(file)] == []
    file.write_text(wrong)
    assert [str(problem) for problem in problems(file)] == [f"{file}{sentence}"]


def test_a_route_may_ask_for_less_than_its_site_only_in_its_own_words() -> None:
    text = site() + route() + route("/public", 'client_certificate = "off"')
    modes = [route.client_certificate for route in parse(text).sites[0].routes]
    assert modes == [Mode.REQUIRED, Mode.OFF]


def test_the_portal_is_shown_whatever_its_site_asks_for() -> None:
    for asked in ("off", "optional", "required"):
        text = site(more=f'client_certificate = "{asked}"') + route("/join", upstream="portal")
        assert [route.client_certificate for route in parse(text).sites[0].routes] == [Mode.SHOWN]


def test_nobody_else_is_shown_what_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text(site(more='client_certificate = "shown"') + route(more='client_certificate = "shown"'))
    expected = 'found "shown"; expected "off", "optional" or "required"'
    assert [(problem.key, str(problem).endswith(expected)) for problem in problems(file)] == [
        ("sites[0].client_certificate", True),
        ("sites[0].routes[0].client_certificate", True),
    ]


def test_wrong_values_do_not_hide_contradictions(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text(site(hosts='"*", "a"') + route(upstream="x") + site("main", '"a"') + route("/x/") + route())
    keys = [problem.key for problem in problems(file)]
    assert keys == [
        "sites[0].hosts[0]",
        "sites[0].routes[0].upstream",
        "sites[1].name",
        "sites[1].hosts[0]",
        "sites[1].routes[0].path",
    ]
