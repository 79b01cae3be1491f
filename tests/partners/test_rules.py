import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.gate import names_permitted
from mutualgate.model.partner import RuleKind
from mutualgate.partners.rules import Rule, parse, parse_all, parse_name


@pytest.mark.parametrize(
    ("text", "canonical", "exact"),
    [
        ("dns:api.acme.example", "dns:api.acme.example", True),
        ("DNS: *.Acme.Example", "dns:*.acme.example", False),
        ("dns:intranet", "dns:intranet", True),
        ("dns:xn--bcher-kva.example", "dns:xn--bcher-kva.example", True),
        ("email:Ann@Acme.example", "email:Ann@acme.example", True),
        ("email:*@acme.example", "email:*@acme.example", False),
        ("uri:https://acme.example/orders", "uri:https://acme.example/orders", True),
        ("uri:SPIFFE://Acme.example/*", "uri:spiffe://acme.example/*", False),
        ("uri:URN:uuid:f81d4fae-7dec-11d0", "uri:urn:uuid:f81d4fae-7dec-11d0", True),
        ("ip:192.0.2.7", "ip:192.0.2.7", True),
        ("ip:192.0.2.0/24", "ip:192.0.2.0/24", False),
        ("ip:2001:DB8::/32", "ip:2001:db8::/32", False),
        ("ip:2001:db8:0::1", "ip:2001:db8::1", True),
        ("dn:cn=*, o=Acme Ltd,C=GB", "dn:CN=*,O=Acme Ltd,C=GB", False),
        ("dn:CN=api,2.5.4.97=PSDGB-FCA-1", "dn:CN=api,2.5.4.97=PSDGB-FCA-1", True),
        (r"dn:CN=Acme\, Ltd", r"dn:CN=Acme\, Ltd", True),
        ("Organization: PSDBE-NBB-0123456789", "organization:PSDBE-NBB-0123456789", True),
        ("organization:PSDPL-PFSA-A/B 7", "organization:PSDPL-PFSA-A/B 7", True),
        (r"dn:CN=\61b", "dn:CN=ab", True),
        ("dn:CN=a\\ ", "dn:CN=a\\ ", True),
        (" dn: CN=a\\   ", "dn:CN=a\\ ", True),
        ("dn:CN=a\\\\ ", "dn:CN=a\\\\", True),
        ("dn:CN=a\\  , O=b\\\\\\ ", "dn:CN=a\\ ,O=b\\\\\\ ", True),
        (r"dn:CN=\,O=*", r"dn:CN=\,O=*", True),
        (r"dn:CN=a\\,O=*", r"dn:CN=a\\,O=*", False),
        ("uri:https://acme.example/a%20b", "uri:https://acme.example/a%20b", True),
    ],
)  # fmt: skip
def test_a_rule_is_kept_in_one_spelling(text: str, canonical: str, exact: bool) -> None:
    rule = parse(text)
    assert (rule.text, rule.exact) == (canonical, exact)
    assert parse(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "acme.example", "*", "dns", "dns:", "dns:*", "dns:*.", "dns:a..b", "dns:-a.b", "dns:a b", "dns:*a.b.c"),
        *("dns:a.*.example", "dns:bücher.example", "dns:192.0.2.1", "dns:" + "a." * 200 + "b", "dns:a.example."),
        *("host:a",),
        *("email:acme.example", "email:@acme.example", "email:a@b@acme.example", "email:*@*.acme.example"),
        *("email:a @b.c", "email:*a@b.c", "email:*@192.0.2.1"),
        *("uri:*", "uri:acme.example", "uri:https://*/", "uri:https://*.acme.example/*", "uri:https://a.example*"),
        *("uri:https://a.example/x*", "uri:https://u@a.example/*", "uri:https://a.example/*?x", "uri:urn:x/*"),
        *("uri:https:///a", "uri:https://a.example/b%20c/*", "uri:https://a.example/%2e%2e/*"),
        *("uri:https://a.example/../*", "uri:https://a.example//*", "uri:https://[::1/*"),
        *("ip:acme.example", "ip:192.0.2.1/24", "ip:300.1.1.1", "ip:fe80::1%eth0", "ip:192.0.2.0/33"),
        *("dn:", "dn:*", "dn:CN", "dn:CN=", "dn:XX=a", "dn:CN=a+O=b", "dn:CN=a,,O=b", "dn:CN=a\\", r"dn:CN=\ff"),
        *("organization:*", "organization:PSDBE-NBB-*", "organization:PSDBE-NBB", "organization:psdbe-nbb-1"),
        *("organization:VATBE-NBB-1", "organization:PSDBE-N-1", "organization:PSDBE-NBB-"),
        *("dns:a\n.example", "dn:CN=" + "x" * 2000, "dns:a.example\x00", "dn:CN=\\00"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_told_what_is(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(text, wide=True)
    assert refused.value.code == "bad_rule"
    assert refused.value.expected
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["dns:*.com", "email:*@com", "uri:https://localhost/*", "ip:0.0.0.0/0", "ip:10.0.0.0/7", "ip:::/0",
     "dns:*.co.uk", "email:*@com.au", "uri:spiffe://gov.uk/*", "dn:CN=*", "dn:CN=*,O=*", "dn:CN=*,C=GB",
     "dn:CN=*,L=London,ST=England,C=GB"],
)  # fmt: skip
def test_a_rule_for_names_of_others_needs_an_operator_who_means_it(text: str) -> None:
    """R6: whoever may vouch for *.com is everybody."""
    with pytest.raises(BadInput, match="too wide") as refused:
        parse(text)
    assert refused.value.code == "rule_too_wide"
    assert parse(text, wide=True).wide


@pytest.mark.parametrize("text", ["dns:*.co.acme.example", "dns:*.acme.co.uk", "dns:*.com.example", "dns:co.uk"])
def test_one_organisation_s_names_are_not_too_wide(text: str) -> None:
    assert not parse(text).wide


def test_rules_come_once() -> None:
    assert [rule.text for rule in parse_all(["dns:b.example", "DNS:B.example", "dns:a.example"])] == [
        "dns:b.example",
        "dns:a.example",
    ]


def test_a_name_is_no_pattern() -> None:
    assert parse_name("DNS:Api.acme.example") == "dns:api.acme.example"
    for text in ("dns:*.acme.example", "dn:CN=*,O=Acme", "ip:192.0.2.0/24", "email:*@acme.example"):
        with pytest.raises(BadInput, match="pattern"):
            parse_name(text)


@given(st.sampled_from(["dns:", "email:", "uri:", "ip:", "dn:", ""]), st.text(max_size=60))
def test_any_text_is_a_rule_or_is_refused(kind: str, text: str) -> None:
    try:
        rule = parse(kind + text, wide=True)
    except BadInput:
        return
    assert parse(rule.text, wide=True) == rule
    assert rule.text.isprintable()


def example(rule: Rule) -> str:
    """A name that the rule is for."""
    if rule.exact:
        return rule.text
    if rule.kind is RuleKind.IP:
        return rule.text.partition("/")[0]
    if rule.kind is RuleKind.DN:
        parts = re.findall(r"(?:\\.|[^,\\])+", rule.pattern)
        return f"dn:{','.join(one[:-1] + 'x' if one.partition('=')[2] == '*' else one for one in parts)}"
    return rule.text.replace("*", "x")


@given(
    st.one_of(
        st.builds(
            "uri:{}:{}{}{}".format,
            st.sampled_from(["https", "SPIFFE", "urn"]),
            st.sampled_from(["//acme.example", "//Acme.example:8443", "///", "//", "", "acme:"]),
            st.text("ab%2fe./;:@~", max_size=12),
            st.sampled_from(["", "/*", "/"]),
        ),
        st.builds("dn:CN={},O={}".format, st.text("a \\#*,", max_size=6), st.sampled_from(["*", "b", "b\\ "])),
        st.builds("dns:{}{}".format, st.sampled_from(["", "*."]), st.text("ab-_.", max_size=9)),
        st.builds("email:{}@{}".format, st.text("ab.*+", max_size=4), st.text("ab-_.", max_size=9)),
        st.builds("ip:{}".format, st.one_of(st.ip_addresses().map(str), st.just("::ffff:192.0.2.0/120"))),
    )
)
def test_what_may_be_written_permits_something(text: str) -> None:
    """The judge, who says of a rule that it is none once it is in force, knows each that can be written."""
    try:
        rule = parse(text, wide=True)
    except BadInput:
        return
    assert names_permitted([(str(rule.kind), rule.pattern)], [example(rule)]) == [True]
