"""`mutualgate client keys`, each verb, for people and for programs."""

from collections.abc import Iterator
from pathlib import Path

import pki
import pytest
from commands import Run
from published import https_publisher, jwk, jwks, with_certificate
from publisher import Publisher


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with pytest.MonkeyPatch.context() as patch, https_publisher(tmp_path_factory.mktemp("https"), patch) as server:
        yield server


def own(name: str = "own") -> pki.Issued:
    return pki.leaf(None, name, now=pki.real_now())


def decided(cli: Run, issued: pki.Issued, folder: Path) -> str:
    path = folder / "shown.pem"
    path.write_bytes(issued.pem)
    return str(cli("decide", "--cert", path, "--json").json["verdict"])


def test_what_is_published_waits_and_is_approved(cli: Run, server: Publisher, tmp_path: Path) -> None:
    mine = own()
    url = server.put("/a", jwks(with_certificate(mine, kid="k\x1b1"), jwk(pki.rsa_key(1024), kid="old")))
    said = cli("client", "keys", "watch", "first-client", url, "--private")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("The keys of first-client are watched, a new one waits for 24h; ")
    assert lines[1].endswith("… k\\x1b1, CN=own: waiting")
    assert lines[2].startswith('left out: key 2 ("old"): ')
    assert decided(cli, mine, tmp_path) == "refused"
    listed = cli("client", "keys", "list", "first-client")
    assert "waiting until" in listed.out
    assert "a new key waits for 1d\n" in listed.out
    assert "left out: " in listed.out
    assert cli("client", "keys", "list").out.splitlines()[1].split()[:2] == ["first-client", "1"]
    approved = cli("client", "keys", "approve", "first-client", "1")
    assert approved.out.startswith("The key 1 is first-client's until ")
    assert decided(cli, mine, tmp_path) == "admitted"
    (key,) = cli("client", "keys", "list", "first-client", "--json").json["keys"]
    assert (key["state"], key["pin"]["state"], key["counts_from"]) == ("pinned", "active", None)
    assert "pin 1, active" in cli("client", "keys", "list", "first-client").out


def test_without_a_hold_it_counts_at_once(cli: Run, server: Publisher, tmp_path: Path) -> None:
    mine, next_one = own(), own("next")
    url = server.put("/b", jwks(with_certificate(mine)))
    watched = cli("client", "keys", "watch", "first-client", url, "--private", "--hold", "0h", "--json").json
    assert ([one["pin"] for one in watched["pinned"]], watched["hold_seconds"]) == ([1], 0)
    assert decided(cli, mine, tmp_path) == "admitted"
    server.put("/b", jwks(with_certificate(next_one)))
    said = cli("client", "keys", "fetch", "first-client").out.splitlines()
    assert said[0].endswith("CN=next: pin 2")
    assert said[1] == "key 1: left the set"
    assert decided(cli, mine, tmp_path) == decided(cli, next_one, tmp_path) == "admitted"
    assert cli("client", "keys", "fetch", "first-client").out.startswith("Nothing is new in the set.")


def test_declined_and_not_watched(cli: Run, server: Publisher) -> None:
    url = server.put("/c", jwks(jwk(pki.fresh_key()), jwk(pki.fresh_key())))
    cli("client", "keys", "watch", "first-client", url, "--private")
    assert cli("client", "keys", "decline", "first-client", "2").out.startswith("The key 2 is declined; ")
    assert "declined" in cli("client", "keys", "list", "first-client").out
    assert cli("client", "keys", "unwatch", "first-client", "--json").json["forgotten"] == 1
    assert cli("client", "keys", "list").out == "No client's keys are watched.\n"


def test_what_cannot_be_fetched_is_kept_and_said(cli: Run, server: Publisher) -> None:
    said = cli("client", "keys", "watch", "first-client", server.url("/nowhere"), "--private")
    assert said.code == 1
    assert said.out.splitlines()[1].endswith("answers 404")
    assert "answers 404" in cli("client", "keys", "list", "first-client").out
    assert "answers 404" in cli("client", "keys", "list").out
    server.put("/nowhere", jwks(jwk(pki.fresh_key(), d="AA")))
    said = cli("client", "keys", "fetch", "first-client")
    assert said.code == 1
    assert "its owner has to make a new key" in said.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("watch", "nobody", "https://a.example/"), "no client"),
        (("watch", "first-client", "http://a.example/"), "plain http"),
        (("watch", "first-client", "https://a.example/", "--hold", "soon"), "--hold"),
        (("watch", "first-client", "https://a.example/", "--every", "1s"), "--every"),
        (("list", "first-client"), "no keys of the client"),
        (("fetch", "first-client"), "no keys of the client"),
        (("approve", "first-client", "1"), "no keys of the client"),
        (("decline", "first-client", "1"), "no keys of the client"),
        (("unwatch", "first-client"), "no keys of the client"),
    ],
)
def test_wrong_use_is_one_sentence(cli: Run, words: tuple[str, ...], says: str) -> None:
    said = cli("client", "keys", *words)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.splitlines()) == 1
