"""Files, right and wrong: what `load` makes of them and what `problems` says."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.config import (
    DEMO,
    PORTAL,
    AccessFormat,
    Address,
    Config,
    Dialect,
    Finding,
    Mode,
    OnRefusal,
    Upstream,
    default_file,
    load,
    parse,
    problems,
)
from mutualgate.config.settings import tables
from mutualgate.errors import BadInput

SITE = '[[sites]]\nname = "main"\nhosts = ["localhost"]\n'
ROUTE = '[[sites.routes]]\npath = "/"\nupstream = "http://127.0.0.1:8080"\n'


def said(folder: Path, text: str | bytes) -> list[str]:
    """What `problems` says of a file, without the folder's name."""
    file = folder / "mutualgate.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return [str(problem).replace(f"{folder}/", "") for problem in problems(file)]


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    config = load(tmp_path / "mutualgate.toml")
    assert config.gate.listen == (Address("127.0.0.1", 8443),)
    assert config.gate.timeouts.handshake == timedelta(seconds=10)
    assert config.gate.max_body_bytes is None
    (site,) = config.sites
    assert (site.name, site.hosts) == ("main", ("localhost", "127.0.0.1", "::1"))
    assert site.client_certificate is Mode.REQUIRED
    assert [(route.path, route.upstream) for route in site.routes] == [("/", DEMO), ("/join", PORTAL)]
    assert problems(tmp_path / "mutualgate.toml") == []


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text("""
[gate]
listen = ["0.0.0.0:443"]
access_log = "access.log"
access_format = "json"
max_body_bytes = "1 MiB"
timeouts.idle = "5m"

[authority]
organisation = "Example Ltd"
crl_url = "http://ca.example.com/crl"

[[sites]]
name = "shop"
hosts = ["Shop.example.com", "192.0.2.7"]
client_certificate = "optional"
on_refusal = "close"
certificate = "shop.pem"
key = "/etc/shop.key"
[[sites.routes]]
path = "/"
upstream = "http://127.0.0.1:8080"
[[sites.routes]]
path = "/admin"
upstream = "unix:admin.sock"
client_certificate = "required"
roles = ["ops:admin"]
clients = ["Alice Example"]
tls_facts = true
identity = ["xfcc", "tomcat"]
max_body_bytes = "unlimited"
[[sites.routes]]
path = "/public"
upstream = "http://127.0.0.1:8080/"
client_certificate = "off"
""")
    config = load(file)
    assert config.gate.access_log == tmp_path / "access.log"
    assert config.gate.access_format is AccessFormat.JSON
    assert config.gate.timeouts.idle == timedelta(minutes=5)
    assert config.authority.crl_url == "http://ca.example.com/crl"
    (site,) = config.sites
    assert site.hosts == ("shop.example.com", "192.0.2.7")
    assert site.on_refusal is OnRefusal.CLOSE
    assert (site.certificate, site.key) == (tmp_path / "shop.pem", Path("/etc/shop.key"))
    root, admin, public = site.routes
    assert [route.client_certificate for route in site.routes] == [Mode.OPTIONAL, Mode.REQUIRED, Mode.OFF]
    assert (admin.roles, admin.clients, admin.tls_facts) == (("ops:admin",), ("Alice Example",), True)
    assert (root.identity, admin.identity) == ((Dialect.RFC9440,), (Dialect.XFCC, Dialect.TOMCAT))
    # The gate's limit holds where a route says nothing, and not where it says "unlimited".
    assert [route.max_body_bytes for route in site.routes] == [1 << 20, None, 1 << 20]
    assert root.upstream == public.upstream
    assert config.destinations == (Upstream("http://127.0.0.1:8080"), Upstream(f"unix:{tmp_path}/admin.sock"))


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    text = SITE + ROUTE + '[[sites.routes]]\npath = "/a"\nupstrem = "demo"\n'
    assert said(tmp_path, text) == [
        "mutualgate.toml:7:1: sites[0].routes[1]: `upstream` is missing; "
        'expected "http://host:port", "https://host:port", "unix:/path/of/a/socket", the name of an upstream, "demo" '
        'or "portal"',
        'mutualgate.toml:9:1: sites[0].routes[1].upstrem: no such key; did you mean "upstream"?',
    ]


def test_a_key_in_the_wrong_table_is_told_where_it_belongs(tmp_path: Path) -> None:
    assert said(tmp_path, 'listen = ["127.0.0.1:8443"]\n[gate]\npath = "/"\nzzz = 1\n"a b" = 2\n') == [
        "mutualgate.toml:1:1: listen: no such key. It belongs under [gate]",
        "mutualgate.toml:3:1: gate.path: no such key. It belongs under [upstreams.health] or [[sites.routes]]",
        "mutualgate.toml:4:1: gate.zzz: no such key. There are: listen, plain_listen, ops_listen, workers, "
        "proxy_protocol_from, http2, tls_profile, resumption, key_log, access_log, access_format, "
        "max_header_bytes, max_body_bytes, max_connections, memory_limit, timeouts, limits, jwt",
        'mutualgate.toml:5:1: gate."a b": no such key. There are: listen, plain_listen, ops_listen, workers, '
        "proxy_protocol_from, http2, tls_profile, resumption, key_log, access_log, access_format, "
        "max_header_bytes, max_body_bytes, max_connections, memory_limit, timeouts, limits, jwt",
    ]


def test_all_errors_are_said_each_at_its_place(tmp_path: Path) -> None:
    text = '[gate]\nlisten = ["127.0.0.1:8443", "8444"]\nworkers = -1\ntimeouts.header = "3 s"\naccess_log = 1\n'
    assert said(tmp_path, text) == [
        'mutualgate.toml:2:29: gate.listen[1]: found "8444"; expected an IP address and a port such as '
        '"127.0.0.1:8443" or "[::1]:8443". Write "127.0.0.1:8444" for this machine alone, "0.0.0.0:8444" for everybody',
        "mutualgate.toml:3:11: gate.workers: found the number -1; expected a whole number from 0 to 256",
        'mutualgate.toml:4:19: gate.timeouts.header: found "3 s"; expected a duration from "10ms" to "1d", a number '
        "and one of ms, s, m, h, d",
        'mutualgate.toml:5:14: gate.access_log: found the number 1; expected the name of a file, "-" for stdout, or "" '
        "for none",
    ]


def test_tables_of_the_wrong_kind(tmp_path: Path) -> None:
    assert said(tmp_path, "gate = 3\nauthority = []\n[sites]\nname = 'x'\n") == [
        "mutualgate.toml:1:1: gate: found the number 3; expected a table written as [gate]",
        "mutualgate.toml:2:1: authority: found an array; expected a table written as [authority]",
        "mutualgate.toml:3:2: sites: found a table; expected a table written as [[sites]]",
    ]
    assert said(tmp_path, "sites = []") == [
        "mutualgate.toml:1:1: sites: there is none; expected at least one [[sites]]"
    ]
    assert said(tmp_path, SITE) == [
        "mutualgate.toml:1:1: sites[0].routes: there is none; expected at least one [[sites.routes]]"
    ]
    assert said(tmp_path, SITE.replace('["localhost"]', '"localhost"') + ROUTE) == [
        'mutualgate.toml:3:9: sites[0].hosts: found "localhost"; expected an array in which each is a host name such '
        'as "www.example.com" or an IP address, without port. Put it into brackets, also if there is only one'
    ]


def test_arrays_that_must_not_be_empty(tmp_path: Path) -> None:
    text = "[gate]\nlisten = []\nops_listen = []\n" + SITE.replace('"localhost"', "") + ROUTE
    assert said(tmp_path, text) == [
        "mutualgate.toml:2:10: gate.listen: is empty; expected at least 1 address",
        "mutualgate.toml:6:9: sites[0].hosts: is empty; expected at least 1 host",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = ", "mutualgate.toml:1:5: invalid value. This is not TOML (https://toml.io)"),
        ("[gate]\nworkers = 1\nworkers = 2", "mutualgate.toml:3:12: cannot overwrite a value. This is not TOML"),
        ('x = "hunter2', "mutualgate.toml:1:13: unterminated string. This is not TOML"),
        ('x = "\\q"', "mutualgate.toml:1:8: unescaped '\\' in a string. This is not TOML"),
        ("a\rb = 1", "mutualgate.toml:1:2: expected '=' after a key in a key/value pair. This is not TOML"),
        ("a = " + "[" * 100_000, "mutualgate.toml:1:1: is nested too deeply"),
        (".".join(["a"] * 3000) + " = 1", "mutualgate.toml:1:1: is nested too deeply"),
        ("a = " + "9" * 5000, "mutualgate.toml:1:1: holds something that is no TOML"),
        (b"# ok\nx = '\xff'", "mutualgate.toml:2:6: is not UTF-8 here. Save it as UTF-8"),
        (b"\xff\xfea\x00", "mutualgate.toml:1:1: is not UTF-8 here. Save it as UTF-8"),
        (b"#" * (1 << 20) + b"#", "mutualgate.toml: is larger than 1 MiB. Is it the right file?"),
    ],
)
def test_what_is_not_toml_gets_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    (line,) = said(tmp_path, text)
    assert line.startswith(sentence)
    assert "hunter2" not in line


def test_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_bytes(b"\xef\xbb\xbf" + (SITE + ROUTE).replace("\n", "\r\n").encode())
    assert load(file).sites[0].name == "main"
    assert said(tmp_path, b"\xef\xbb\xbfx = 1\r\ny = 1\r\n")[1].startswith("mutualgate.toml:2:1: y: no such key")


def test_what_is_no_readable_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    for name in ("folder", "dangling", "loop", "pipe", "file/below", "a\0b", "a" * 5000):
        (problem,) = problems(tmp_path / name)
        assert "\n" not in str(problem)
        with pytest.raises(BadInput):
            load(tmp_path / name)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mutualgate.toml").write_text("")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    (problem,) = problems(tmp_path / "mutualgate.toml")
    assert str(problem).endswith("mutualgate.toml: cannot be read: Permission denied")


def test_load_says_the_first_and_how_many_more(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text("[gate]\nworkres = 1\nhttp2 = 1\n")
    with pytest.raises(BadInput) as caught:
        load(file)
    assert str(caught.value) == (
        f'{file}:2:1: gate.workres: no such key. Did you mean "workers"? (1 more; `mutualgate check` lists it)'
    )
    assert caught.value.facts["problems"] == 2


def test_questions_about_what_is_behind_a_name_are_asked_last(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text(SITE + 'certificate = "a.pem"\nkey = "a.key"\n' + ROUTE)

    def there(config: Config) -> Iterator[Finding]:
        for index, site in enumerate(config.sites):
            if site.key and not site.key.exists():
                yield Finding(("sites", index, "key"), "there is no such file", fix="Make it")

    assert [str(problem) for problem in problems(file, there)] == [
        f"{file}:5:7: sites[0].key: there is no such file. Make it"
    ]
    with pytest.raises(BadInput):
        load(file, there)
    (tmp_path / "a.key").touch()
    assert load(file, there).sites[0].key == tmp_path / "a.key"


LINES = st.sampled_from(
    [
        *(table.heading for table in tables()),
        *(f"{setting.key} = {setting.example}" for table in tables() for setting in table.settings),
        *(
            f"{setting.key} = {value}"
            for table in tables()
            for setting in table.settings
            for value in ("1", '"x"', "[[]]", "{}")
        ),
        *default_file().splitlines(),
    ]
)


@given(
    st.one_of(
        st.text(),
        st.lists(LINES, max_size=20).map("\n".join),
        st.lists(st.one_of(LINES, st.text(max_size=8))).map("\n".join),
    )
)
def test_any_text_is_a_configuration_or_bad_input(text: str) -> None:
    try:
        config = parse(text)
    except BadInput as error:
        sentence = str(error)
    else:
        sentence = ""
        assert all(site.routes for site in config.sites)
    assert "\n" not in sentence


@given(st.binary(max_size=200))
def test_any_bytes_get_sentences(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    for problem in problems(file):
        assert "\n" not in str(problem)
