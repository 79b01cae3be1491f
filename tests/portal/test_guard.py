"""Another site's page changes nothing, a program with a header of its own does; bodies are bounded, forms are read."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.portal.guard import DRAIN_BYTES, MAX_FIELDS, NotAllowed, TooLarge, check, from_here, parse_form, read

ORIGIN = "https://gate.test"
URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "fields",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "cookie": "a=b", "content-type": URLENCODED},
        {"origin": ORIGIN},
        {"origin": ORIGIN, "cookie": "a=b", "content-type": URLENCODED},
        {},
        {"content-type": "application/pkcs10"},
        {"content-type": "application/json; charset=utf-8"},
    ],
)
def test_our_pages_and_programs_may_change_something(fields: dict[str, str]) -> None:
    check("POST", fields, ORIGIN)


@pytest.mark.parametrize(
    "fields",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another host of the same domain
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "same-origin, cross-site"},  # sent twice
        {"sec-fetch-site": "cross-site", "origin": ORIGIN},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://gate.test"},
        {"origin": f"{ORIGIN}:444"},
        {"origin": f"{ORIGIN}.evil.test"},
        {"cookie": "a=b"},
        {"content-type": URLENCODED},
        {"content-type": "Text/Plain; charset=utf-8"},
        {"content-type": "multipart/form-data; boundary=x"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "X"])
def test_another_site_may_not(fields: dict[str, str], method: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        check(method, fields, ORIGIN)
    assert refused.value.code == "cross_site"


def test_who_only_reads_may_come_from_anywhere() -> None:
    check("GET", {"sec-fetch-site": "cross-site", "origin": "https://evil.test"}, ORIGIN)


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),  # typed, or a bookmark
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "referer": f"{ORIGIN}/"}, False),
        ({"referer": f"{ORIGIN}/"}, True),
        ({"referer": f"{ORIGIN}.evil.test/"}, False),
        ({"referer": f"https://evil.test/?{ORIGIN}/"}, False),
        ({}, False),
    ],
)
def test_it_is_known_whether_a_link_of_ours_was_followed(fields: dict[str, str], ours: bool) -> None:
    assert from_here(fields, ORIGIN) is ours


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_a_body_is_bounded_while_it_is_read() -> None:
    assert asyncio.run(read(chunks(b"12", b"34"), {}, 4)) == b"1234"
    with pytest.raises(TooLarge):
        asyncio.run(read(chunks(b"12", b"345"), {}, 4))

    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 65_536
            yield b"x" * 65_536

    with pytest.raises(TooLarge):  # whatever was promised
        asyncio.run(read(endless(), {"content-length": "3"}, 4096))
    assert given <= DRAIN_BYTES + 65_536


@pytest.mark.parametrize("length", [str(DRAIN_BYTES + 1), "99999999999999999999999999999999999999"])
def test_a_body_that_says_that_it_is_far_too_large_is_not_read(length: str) -> None:
    async def untouched() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(TooLarge):
        asyncio.run(read(untouched(), {"content-length": length}, 4))


def test_one_that_is_too_large_is_taken_in_so_that_its_sender_reads_the_answer() -> None:
    given = []

    async def ten_mebibytes() -> AsyncIterator[bytes]:
        for _ in range(160):
            given.append(1)
            yield b"x" * 65_536

    with pytest.raises(TooLarge):
        asyncio.run(read(ten_mebibytes(), {}, 4))
    assert len(given) == 160


def test_a_form_is_read() -> None:
    form = parse_form(b"name=%3Cb%3E&way=a&way=b&empty=", URLENCODED)
    assert form.text("name") == "<b>"
    assert form.text("empty") == ""
    assert form.text("nothing") == ""
    assert parse_form(b"name=+dn:CN%3Da%5C++", URLENCODED).text("name") == "dn:CN=a\\ "
    assert form.all("way") == ("a", "b")
    with pytest.raises(BadInput, match="sent 2 times"):
        form.text("way")
    with pytest.raises(BadInput, match="at most 2"):
        form.text("name", 2)


def multipart(*parts: bytes, line: bytes = b"--xyz") -> bytes:
    return b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"


FILE = (
    b'Content-Disposition: form-data; name="file"; filename="a \xc3\xa4;\\".csr"\r\n'
    b"Content-Type: x/y\r\n\r\nab\r\n\r\n\x00c"
)
TEXT = b'Content-Disposition: form-data; name="csr"\r\n\r\n gr\xc3\xbc\xc3\x9fe '


def test_a_form_with_a_file_is_read() -> None:
    form = parse_form(multipart(FILE, TEXT), 'multipart/form-data; boundary="xyz"')
    assert form.file("file") == b"ab\r\n\r\n\x00c"
    assert form.text("csr") == "grüße"
    assert form.file("csr") == b""
    assert form.text("file") == ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=b", "text/plain"), (b"a=b", ""), (b"a=\xff", URLENCODED), (b"a=%ff", URLENCODED),
        (b"&".join(b"a=b" for _ in range(MAX_FIELDS + 1)), URLENCODED),
        (multipart(TEXT), "multipart/form-data"), (multipart(TEXT), "multipart/form-data; boundary="),
        (multipart(TEXT), "multipart/form-data; boundary=other"),
        (multipart(TEXT)[:-4], "multipart/form-data; boundary=xyz"),
        (b"before" + multipart(TEXT), "multipart/form-data; boundary=xyz"),
        (multipart(b"no head"), "multipart/form-data; boundary=xyz"),
        (multipart(b"Content-Disposition: attachment\r\n\r\nx"), "multipart/form-data; boundary=xyz"),
        (multipart(FILE, FILE), "multipart/form-data; boundary=xyz"),
        (multipart(*[TEXT] * (MAX_FIELDS + 1)), "multipart/form-data; boundary=xyz"),
        (b"", "multipart/form-data; boundary=xyz"), (b"--xyz", "multipart/form-data; boundary=xyz"),
        (multipart(b'Content-Disposition: form-data; name="a"'), "multipart/form-data; boundary=xyz"),
    ],
)  # fmt: skip
def test_what_is_no_form_of_ours_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(BadInput):
        parse_form(body, kind)


@given(st.binary(max_size=300), st.sampled_from([URLENCODED, "multipart/form-data; boundary=xyz"]), st.booleans())
def test_anything_is_a_form_or_refused(body: bytes, kind: str, framed: bool) -> None:
    try:
        parse_form(multipart(body) if framed else body, kind)
    except BadInput:
        pass
