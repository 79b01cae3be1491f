"""25 lessons from the flaws of other gateways, each with the tests that hold us to it; some are here."""

import importlib
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from end_to_end import forge, raw
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.h2 import H2
from end_to_end.raw import Connection, Fragmented
from end_to_end.refusal import assert_refused

LESSONS: dict[int, tuple[str, list[str]]] = {
    1: ("resumption across hosts", ["test_revocation:test_a_session_made_at_one_site_is_worth_nothing_at_another"]),
    2: (
        "resumption after a change of trust",
        [
            "test_revocation:test_a_session_that_is_resumed_is_judged_by_today_s_trust",
            "test_revocation:test_a_certificate_that_expires_while_its_session_lives_is_refused",
            "test_revocation:test_a_session_made_without_a_certificate_stays_without_one",
            "test_resumption:test_a_session_ends_with_the_authority_that_vouched_for_it",
            "test_resumption:test_a_certificate_that_ends_while_its_ticket_lives_is_asked_for_again",
            "test_resumption:test_a_session_of_when_no_certificate_was_needed_ends_when_one_is",
        ],
    ),
    3: (
        "the good one stays good when resumed",
        [
            "test_revocation:test_a_resumed_session_has_the_same_verdict_and_headers_as_a_full_handshake",
            "test_resumption:test_an_epoch_alone_takes_no_session_away",
            "test_resumption:test_every_worker_opens_the_tickets_of_the_other",
        ],
    ),
    4: (
        "tickets of another version, keys that are known or never changed",
        [
            "test_revocation:test_a_ticket_of_one_version_is_worth_nothing_in_the_other",
            "test_resumption:test_a_ticket_says_nothing_in_another_version",
            "test_resumption:test_a_ticket_is_too_old_once_its_key_is_gone",
            "test_resumption:test_a_ticket_of_before_the_start_is_worth_nothing_after",
        ],
    ),
    5: (
        "SNI and Host disagree",
        ["test_sites:test_http_1", "test_sites:test_http_2", "test_sites:test_http_2_names_one_host"],
    ),
    6: ("spellings of a name", ["test_sites:test_http_1", "test_sites:test_an_unknown_name_gets_no_handshake"]),
    7: (
        "a ClientHello in pieces",
        [
            "test_lessons:test_7_the_pieces_of_a_client_hello_change_nothing",
            "test_tls:test_a_client_hello_cut_anywhere_is_the_same",
        ],
    ),
    8: (
        "conflicts that fall back to a default",
        [
            "test_invariant:test_nothing_passes_a_required_route_without_an_admitted_verdict",
            "test_reload:test_a_wrong_file_keeps_the_old_one_in_force_and_says_where",
        ],
    ),
    9: ("a trust file that is missing", ["test_reload:test_a_trust_file_that_cannot_be_used_is_no_open_door"]),
    10: (
        "identity headers by the client",
        [
            "test_identity:test_no_spelling_of_an_identity_name_reaches_the_service",
            "test_identity:test_a_trailer_carries_no_identity",
            "test_identity:test_an_upgrade_carries_no_identity_but_ours",
            "test_identity:test_http2_and_its_trailers_carry_no_identity",
        ],
    ),
    11: (
        "aliases, and the Connection header",
        [
            "test_identity:test_no_spelling_of_an_identity_name_reaches_the_service",
            "test_identity:test_the_connection_header_cannot_take_our_words_away",
        ],
    ),
    12: (
        "injection from a certificate's fields",
        [
            "test_identity:test_a_subject_is_text_and_nothing_more",
            "test_identity:test_the_names_of_two_attributes_in_one_rdn_are_not_two_subjects",
            "test_refusals:test_a_certificate_s_own_words_are_no_markup_on_the_page",
        ],
    ),
    13: (
        "paths as servlet containers read them",
        [
            "test_containers:test_no_spelling_reaches_what_a_route_protects",
            "test_peers_findings:test_6_a_path_with_two_readings_is_answered_with_400",
        ],
    ),
    14: (
        "odd bytes make a rule fail open",
        [
            "test_lessons:test_14_odd_bytes_never_open_a_route",
            "test_peers_findings:test_6_a_path_with_two_readings_is_answered_with_400",
        ],
    ),
    15: (
        "revocation lists in parts",
        ["test_lessons:test_15_a_list_counts_only_if_it_is_whole_and_its_issuer_signed_it"],
    ),
    16: ("OCSP answers ignored", ["test_lessons:test_16_the_only_word_on_revocation_is_the_list_and_the_store"]),
    17: (
        "required that is optional",
        [
            "test_lessons:test_17_required_is_required_on_every_protocol",
            "test_refusals:test_each_flaw_has_its_own_reason_and_nothing_is_forwarded",
        ],
    ),
    18: (
        "an identity before the verdict",
        [
            "test_refusals:test_each_flaw_has_its_own_reason_and_nothing_is_forwarded",
            "test_handshake:test_who_does_not_hold_the_key_does_not_get_through_the_handshake",
        ],
    ),
    19: ("compared by name, not by key", ["test_refusals:test_each_flaw_has_its_own_reason_and_nothing_is_forwarded"]),
    20: ("a valid chain bound to nobody", ["test_lessons:test_20_who_signs_does_not_choose_the_client"]),
    21: (
        "key usages and name constraints",
        [
            "test_lessons:test_21_name_constraints_hold",
            "test_refusals:test_each_flaw_has_its_own_reason_and_nothing_is_forwarded",
        ],
    ),
    22: ("smuggling", ["test_peers_findings:test_2_and_9_no_request_hides_in_another"]),
    23: (
        "denial of service",
        [
            "test_limits:test_a_flood_of_resets_ends_the_connection_and_spares_the_service",
            "test_limits:test_endless_continuation_frames_end_the_connection",
            "test_limits:test_streams_that_the_server_is_made_to_reset_end_the_connection",
            "test_limits:test_many_strangers_hold_up_no_client",
            "test_refusals:test_strangers_have_small_budgets",
        ],
    ),
    24: (
        "side doors",
        [
            "test_identity:test_the_plain_listener_forwards_nothing",
            "test_identity:test_the_operators_listener_forwards_nothing",
        ],
    ),
    25: ("early data", ["test_limits:test_early_data_is_never_accepted"]),
}


@pytest.mark.parametrize("number", range(1, 26))
def test_each_lesson_has_its_tests(number: int) -> None:
    _, tests = LESSONS[number]
    assert tests
    for test in tests:
        module, function = test.split(":")
        assert callable(getattr(importlib.import_module(f"end_to_end.{module}"), function))


CUTS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "byte by byte on the wire": lambda hello: [hello[index : index + 1] for index in range(len(hello))],
    "one byte in the first record": lambda hello: raw.records(hello, [1]),
    "many records of one byte": lambda hello: raw.records(hello, [1] * 60),
    "cut inside the name": lambda hello: raw.records(hello, [hello.index(b".test") - 5]),
    "records of 50 bytes, each on its own": lambda hello: raw.records(hello, [50] * 10),
}


@pytest.mark.parametrize("case", CUTS)
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_7_the_pieces_of_a_client_hello_change_nothing(case: str, alpn: str, estate: Estate, alice: Identity) -> None:
    """However it comes, site `b` keeps a client without the role out, and a stranger has no certificate."""
    for identity, reason in ((alice, "not_granted"), (None, "no_certificate")):
        word = mark()
        tls = estate.gate.context(identity, alpn=[alpn])
        try:
            transport = Fragmented(estate.gate.port, tls, "b.test", CUTS[case])
        except (ssl.SSLError, OSError):
            continue  # no handshake is no open door
        with Connection(transport) as connection:
            if alpn == "h2":
                assert H2(connection).request(f"/{word}", authority="b.test").status == 403
            else:
                assert_refused(connection.request(f"/{word}", host="b.test"), reason)
        assert estate.recorder.marked(word) == []


def test_7_a_client_hello_in_two_records_is_understood(estate: Estate, operator: Identity) -> None:
    tls = estate.gate.context(operator)
    with Connection(Fragmented(estate.gate.port, tls, "b.test", CUTS["cut inside the name"])) as connection:
        assert connection.request("/", host="b.test").status == 200


@pytest.mark.parametrize("path", [b"/\xff\xfe", b"/admin\xa0", b"/\xc3\xa4", b"/%ff", b"/a\x80b"])
def test_14_odd_bytes_never_open_a_route(path: bytes, estate: Estate) -> None:
    word = mark()
    with estate.gate.open(None) as connection:
        connection.send(b"GET " + path + b"?" + word.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.response().status in (400, 403)
    assert estate.recorder.marked(word) == []


def test_15_a_list_counts_only_if_it_is_whole_and_its_issuer_signed_it(estate: Estate, tmp_path: Path) -> None:
    authority = forge.authority(tmp_path / "ca", "Root with a list")
    bad, good = (forge.leaf(tmp_path, authority, name) for name in ("bad", "good"))
    other = forge.authority(tmp_path / "other", "Root with a list")
    serial = bad.leaf().serial_number
    for case, data in {
        "by another key": forge.revocation_list(other, [serial]),
        "for a part only": forge.revocation_list(authority, [serial], part="http://ca.test/part-1.crl"),
        "a delta": forge.revocation_list(authority, [serial], delta_of=1),
    }.items():
        file = tmp_path / "wrong.crl"
        file.write_bytes(data)
        answer = estate.gate.command("ca", "adopt", "--cert", authority.certificate_file, "--crl", file, check=False)
        assert answer.code == 2, case
    file.write_bytes(forge.revocation_list(authority, [serial]))
    estate.gate.command("ca", "adopt", "--cert", authority.certificate_file, "--crl", file)
    assert_refused(estate.gate.get("/", bad), "revoked")
    assert estate.gate.get("/", good).status == 200


def test_16_the_only_word_on_revocation_is_the_list_and_the_store(estate: Estate, tmp_path: Path) -> None:
    """An OCSP address in a certificate is not asked: nothing that does not answer, or lies, changes a verdict."""
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(estate.recorder.url + "/ocsp")
            )
        ]
    )
    identity = forge.leaf(tmp_path, estate.adopted, "with ocsp", extensions=[(access, False)])
    assert estate.gate.get("/", identity).status == 200
    estate.gate.command("client", "revoke", "--certificate", identity.certificate)
    assert_refused(estate.gate.get("/", identity), "revoked")
    assert estate.recorder.marked("/ocsp") == []


@pytest.mark.parametrize("way", ["http/1.1", "h2", "upgrade", "CONNECT", "TRACE", "OPTIONS", "h2c upgrade"])
def test_17_required_is_required_on_every_protocol(way: str, estate: Estate) -> None:
    word = mark()
    target = f"/{word}"
    if way == "h2":
        with Connection.open(estate.gate.port, estate.gate.context(None, alpn=["h2"])) as connection:
            assert H2(connection).request(target).status == 403
    else:
        websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
        plain_h2 = [
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ]
        headers = {"upgrade": websocket, "h2c upgrade": plain_h2}.get(way, [])
        method = way if way.isupper() else "GET"
        with estate.gate.open(None) as connection:
            response = connection.request("localhost:443" if way == "CONNECT" else target, headers, method=method)
        assert response.status in (400, 403, 405, 501)
    assert estate.recorder.marked(word) == []


def test_20_who_signs_does_not_choose_the_client(estate: Estate, tmp_path: Path) -> None:
    """An adopted authority vouches for its own estate: the name of a client of ours in it makes nobody that client."""
    pretender = forge.leaf(tmp_path, estate.adopted, "operator", alternative_names=[x509.DNSName("operator")])
    word = mark()
    assert_refused(estate.gate.get(f"/admin/{word}", pretender), "not_granted")
    assert_refused(estate.gate.get(f"/named/{word}", pretender), "not_granted")
    assert estate.recorder.marked(word) == []
    estate.gate.get(f"/{word}", pretender)
    (request,) = estate.recorder.marked(word)
    assert request.values("Mutualgate-Client") != ["operator"]
    assert request.values("Mutualgate-Roles") in ([], [""])


def test_21_name_constraints_hold(estate: Estate, tmp_path: Path) -> None:
    """An intermediate that may speak for one domain speaks for no other."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("inside.test")], excluded_subtrees=None)
    key = forge.private_key("p256")
    intermediate = forge.leaf(
        tmp_path, estate.adopted, "constrained", key=key, ca=True, usages=None, extensions=[(constraints, True)]
    )
    issuer = forge.Authority(intermediate.leaf(), key, intermediate.certificate, intermediate.key)
    for name, reason in (("a.inside.test", None), ("a.outside.test", "path_invalid")):
        identity = forge.leaf(tmp_path, issuer, name, alternative_names=[x509.DNSName(name)])
        with identity.certificate.open("ab") as chain:
            chain.write(intermediate.certificate.read_bytes())
        assert estate.gate.get("/", identity).reason == reason


@pytest.mark.parametrize(
    ("usages", "reason"),
    [
        ([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], None),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], None),
        ([ExtendedKeyUsageOID.SERVER_AUTH], "not_for_client_auth"),
        ([ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION], "not_for_client_auth"),
        (None, None),
    ],
    ids=["client and server", "any", "server", "others", "none"],
)
def test_21_usages(
    usages: list[x509.ObjectIdentifier] | None, reason: str | None, estate: Estate, tmp_path: Path
) -> None:
    assert estate.gate.get("/", forge.leaf(tmp_path, estate.adopted, usages=usages)).reason == reason
