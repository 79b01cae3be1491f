"""Renewal by a program, over the gate."""

from typing import TYPE_CHECKING

import pki
from portal.asking import JSON, TEXT, admitted, ask, refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def test_a_program_asks_whether_its_certificate_is_let_in(portal: "ASGIApp") -> None:
    leaf = pki.leaf(pki.ca("root"), "alice")
    answer = ask(portal, "/join/renew", admitted("alice", [leaf.der]), accept=JSON)
    assert (answer.status, answer.json["client"]) == (200, "alice")
    assert ask(portal, "/join/renew", admitted("alice", [leaf.der]), accept=TEXT).text == "In, as alice.\n"
    for who, code in ((refused([leaf.der], "expired", "It expired."), "expired"), (None, "no_certificate")):
        answer = ask(portal, "/join/renew", **({} if who is None else {"who": who}), accept=JSON)
        assert (answer.status, answer.json["code"]) == (403, code)
