"""The way for Windows: its script parsed by a grammar of PowerShell, the INF by rule, the addresses asked as it "
"asks."""

import base64
import configparser
import re
from typing import TYPE_CHECKING, Any

import pki
import pytest
import tree_sitter
import tree_sitter_powershell
from cryptography import x509
from portal.asking import HTML, JSON, TEXT, ask

from mutualgate.app import Services
from mutualgate.model.invitation import Way
from mutualgate.portal.windows import make_script, plain_label, quoted

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
HOSTILE = "x'; calc #\u2019; calc; \"$(calc)` @ROOT@ @LINK@ %PATH% <script>"


def errors(text: str) -> list[str]:
    """What the grammar does not understand."""
    found = []
    waiting = [PARSER.parse(text.encode()).root_node]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point[0] + 1}: {node.text!r}")
        waiting += node.children
    return found


def strings(text: str) -> list[str]:
    """The literal strings, as the grammar sees them."""
    found = []
    waiting = [PARSER.parse(text.encode()).root_node]
    while waiting:
        node = waiting.pop()
        if node.type == "verbatim_string_characters":
            found.append((node.text or b"").decode())
        waiting += node.children
    return found


def script(**more: Any) -> str:
    values = {"label": "gate - anna", "root": pki.ca("root").certificate, "second_factor": False, **more}
    return make_script("https://g.example/join/t", "https://g.example/join", **values)


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("root", [pki.ca("root").certificate, None])
def test_powershell_can_read_it(root: x509.Certificate | None, second: bool) -> None:
    assert errors(script(root=root, second_factor=second)) == []


def test_the_grammar_sees_what_is_wrong() -> None:
    """Else the test above would prove nothing."""
    for wrong in ("if ($x { }", "$x = 'unclosed", "foreach ($a in ) {"):
        assert errors(wrong), wrong
    assert errors(script().replace("finally {", "finally ")) != []


def test_the_request_is_for_a_key_that_stays() -> None:
    text = script()
    inf = text.partition("@'\r\n")[2].partition("\r\n'@")[0]
    parsed = configparser.RawConfigParser(strict=True)
    parsed.read_string(inf)
    assert parsed.sections() == ["Version", "NewRequest", "EnhancedKeyUsageExtension"]
    assert parsed["Version"]["Signature"] == '"$Windows NT$"'
    request = parsed["NewRequest"]
    wanted = {
        "KeyAlgorithm": "ECDSA_P256",
        "KeyLength": "256",
        "HashAlgorithm": "SHA256",
        "Exportable": "FALSE",
        "ExportableEncrypted": "FALSE",
        "MachineKeySet": "FALSE",
        "UseExistingKeySet": "FALSE",
        "RequestType": "PKCS10",
        "KeyUsage": "0x80",  # digitalSignature
        "ProviderName": '"PROVIDER"',
    }
    assert {name: request[name] for name in wanted} == wanted
    assert parsed["EnhancedKeyUsageExtension"]["OID"] == "1.3.6.1.5.5.7.3.2"
    assert "%" not in inf  # certreq would look for a string of that name
    assert inf.isascii()
    # The TPM is tried first.
    providers = re.search(r"foreach \(\$provider in '([^']+)', '([^']+)'\)", text)
    assert providers is not None
    assert providers.groups() == ("Microsoft Platform Crypto Provider", "Microsoft Software Key Storage Provider")


def test_the_root_is_trusted_only_when_asked() -> None:
    text = script()
    assert re.findall(r"Add-ToStore 'Root'", text) == ["Add-ToStore 'Root'"]
    guarded = re.search(r"if \(\$TrustRoot -and \$rootText\) \{\s+Add-ToStore 'Root'", text)
    assert guarded is not None
    assert "LocalMachine" not in text
    assert "$rootText = ''" in script(root=None)


def test_what_is_asked_of_windows() -> None:
    text = script()
    assert "Export" not in text.replace("Exportable", "")
    assert not re.search(r"\b(Invoke-Expression|iex|DownloadString|Start-Process)\b", text)
    assert text.isascii()
    assert "\n" not in text.replace("\r\n", "")


@pytest.mark.parametrize("text", [HOSTILE, "'", "''", "\u2019\u2018\u201a\u201b", "a`nb", "$(calc)"])
def test_a_literal_is_one_string_whatever_is_in_it(text: str) -> None:
    line = f"$x = {quoted(text)}\n$y = 'after'\n"
    assert errors(line) == []
    assert len(strings(line)) == 2
    assert quoted(text).count("'") % 2 == 0


def test_labels_are_letters_and_digits() -> None:
    assert plain_label("gate.example - anna") == "gate.example - anna"
    assert re.fullmatch(r"[A-Za-z0-9 ._-]{1,64}", plain_label(HOSTILE))
    assert plain_label("名前") == "client"


def test_a_hostile_name_changes_the_label_alone(services: Services, portal: "ASGIApp") -> None:
    texts = []
    for name in ("plain", HOSTILE.replace("/", "")):
        invited = services.invitations.invite(name)
        answer = ask(portal, f"/join/{invited.token}/windows.ps1", accept=TEXT)
        assert answer.status == 200
        assert errors(answer.text) == []
        texts.append(re.sub(r"\$label = '[A-Za-z0-9 ._-]*'", "LABEL", answer.text.replace(invited.token, "TOKEN")))
        page = ask(portal, f"/join/{invited.token}/windows", accept=HTML)
        assert page.status == 200
        assert "<script>" not in page.text.partition("</head>")[2]
    assert texts[0] == texts[1]
    assert "LABEL" in texts[0]


def test_the_script_asks_and_is_answered(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna")
    before = ask(portal, f"/join/{invited.token}/chain", accept=JSON).json
    assert before["waiting"] is False
    assert "chain" not in before  # so the script makes a key
    request = pki.csr(pki.fresh_key(), "client")
    answer = ask(
        portal,
        f"/join/{invited.token}/windows",
        method="POST",
        body=request,
        content_type="application/pkcs10",
        accept=JSON,
    )
    assert answer.status == 200
    leaf, issuing = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in answer.json["chain"]]
    leaf.verify_directly_issued_by(issuing)
    assert services.invitations.get(invited.invitation.id).invitation.way is Way.WINDOWS
    # A run that lost the answer gets it here.
    assert ask(portal, f"/join/{invited.token}/chain", accept=JSON).json["chain"] == answer.json["chain"]


def test_an_invitation_for_other_ways_has_no_script(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna", ways=(Way.OWN,))
    assert ask(portal, f"/join/{invited.token}/windows.ps1", accept=JSON).json["code"] == "way_not_allowed"
