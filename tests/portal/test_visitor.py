"""What the gate says becomes a visitor; what it did not say does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portal.asking import ANONYMOUS, admitted, refused

from mutualgate.errors import Unavailable
from mutualgate.portal.visitor import MAX_CHAIN, Verdict, visitor

DER = [b"leaf", b"issuing"]


def lower(fields: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in fields.items()}


def test_an_admitted_client() -> None:
    found = visitor(lower(admitted("Ann, of <b>", DER, client_id=7, roles=("admin", "a,b"))))
    assert (found.verdict, found.admitted, found.client_id, found.client) == (Verdict.ADMITTED, True, 7, "Ann, of <b>")
    assert found.roles == ("admin", "a,b")
    assert found.chain == (b"leaf", b"issuing")
    assert found.shown == b"leaf"
    assert found.peer == "192.0.2.7"
    assert (found.reason, found.detail, found.issuer_known) == ("", "", True)


def test_a_refused_one_has_a_reason_and_is_nobody() -> None:
    fields = {**admitted("ann", DER, roles=("admin",)), **refused(DER, "expired", "It ended on 3 May.", known=True)}
    found = visitor(lower(fields))
    assert (found.verdict, found.reason, found.detail) == (Verdict.REFUSED, "expired", "It ended on 3 May.")
    assert found.issuer_known
    assert (found.client, found.client_id, found.roles) == ("", None, ())
    assert found.shown == b"leaf"


def test_nobody_showed_nothing() -> None:
    found = visitor(lower({**admitted("ann", DER, roles=("admin",)), **ANONYMOUS}))
    assert (found.verdict, found.chain, found.shown, found.roles) == (Verdict.ANONYMOUS, (), None, ())
    assert not found.issuer_known


@pytest.mark.parametrize("verdict", [None, "", "Admitted", "admitted, admitted", "yes"])
def test_who_came_past_the_gate_is_no_visitor(verdict: str | None) -> None:
    fields = lower(admitted("ann", DER, roles=("admin",)))
    del fields["mutualgate-verdict"]
    with pytest.raises(Unavailable, match="did not come through the gate"):
        visitor(fields if verdict is None else {**fields, "mutualgate-verdict": verdict})


@pytest.mark.parametrize("value", ["", "::", "bGVhZg==", ":bGVhZg=", ":b GVhZg==:", ":****:", "a"])
def test_what_is_no_certificate_field_is_none(value: str) -> None:
    found = visitor({**lower(ANONYMOUS), "mutualgate-verdict": "admitted", "client-cert": value})
    assert found.chain == ()


def test_an_endless_chain_is_not_read() -> None:
    assert len(visitor(lower(refused([b"x"] * MAX_CHAIN, "malformed"))).chain) == MAX_CHAIN
    assert visitor(lower(refused([b"x"] * (MAX_CHAIN + 1), "malformed"))).chain == ()


@given(st.dictionaries(st.sampled_from(["client-cert", "client-cert-chain", "mutualgate-tls", "mutualgate-client-id",
                                        "mutualgate-roles", "x-forwarded-for"]), st.text()))  # fmt: skip
def test_no_field_breaks_it(fields: dict[str, str]) -> None:
    visitor({**fields, "mutualgate-verdict": "admitted"})
