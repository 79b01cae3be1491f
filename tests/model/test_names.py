import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.model.names import AuthorityName, ClientName, Role, shown, trimmed


@pytest.mark.parametrize(
    "name", ["a", "anna", "Anna Maier", "Zoë", "名前", "o'brien, jr. & co", "x" * 64, "a_b-c.d@example.com"]
)
def test_a_legal_name_is_itself(name: str) -> None:
    assert ClientName(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        ("x" * 65, "65 characters"),
        ("a/b", "'/'"),
        ("a\\b", "'\\\\'"),
        ("a\nb", "U+000A"),
        ("a\x00", "U+0000"),
        ("a\u202eb", "U+202E"),  # turns the direction of writing: shows another name than it is
        ("a\u2028b", "U+2028"),
        ("a\u00a0b", "U+00A0"),
        (" a", "space"),
        ("a ", "space"),
        ("a  b", "space"),
        ("..", "begins with '.'"),
        ("-rf", "begins with '-'"),
        ("\ud800", "U+D800"),
    ],
)
def test_an_illegal_name_is_refused_with_its_reason(name: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        ClientName(name)
    assert says in str(refused.value)
    assert str(refused.value).isascii()


def test_names_that_look_alike_have_one_key() -> None:
    assert ClientName("Anna").key == ClientName("anna").key == ClientName("\uff41nna").key
    assert ClientName("Zoe\u0308") == ClientName("Zo\u00eb")
    assert ClientName("anna").key != ClientName("anne").key


@given(st.text(max_size=70))
def test_any_text_is_a_name_or_bad_input(text: str) -> None:
    try:
        name = ClientName(text)
    except BadInput as error:
        assert str(error).isprintable()  # noqa: PT017 - most texts are one or the other
    else:
        assert ClientName(str(name)) == name
        assert name.isprintable()
        assert not set(name) & set("/\\\n")


@pytest.mark.parametrize("text", ["anna", "Ann Example", "a'b", '"$(id)`id`$HOME', "a;b|c&d>e*?~!#", "été", "a=b{c,d}"])
def test_a_word_of_a_command_is_the_name_and_nothing_else(text: str) -> None:
    done = subprocess.run(["sh", "-c", f"printf %s {ClientName(text).word}"], capture_output=True, check=True)
    assert done.stdout.decode() == text


@pytest.mark.parametrize("role", ["a", "Admin", "ops:read", "a.b_c-d", "9"])
def test_a_legal_role(role: str) -> None:
    assert Role(role) == role


@pytest.mark.parametrize("role", ["", "a,b", "a b", "é", "-a", "a-", "a\n", "x" * 65])
def test_an_illegal_role(role: str) -> None:
    with pytest.raises(BadInput):
        Role(role)


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "a.b", "-a", "a-", "a\n", "x" * 64])
def test_an_illegal_authority_name(name: str) -> None:
    with pytest.raises(BadInput):
        AuthorityName(name)


def test_a_name_in_a_sentence_is_readable_in_every_language_and_safe_on_a_terminal() -> None:
    assert shown("Müller, شركة") == "'Müller, شركة'"
    assert shown("a\x1b[31m\u202e") == "'a\\x1b[31m\\u202e'"
    assert shown("é" * 81) == f"'{'é' * 80}'…"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  a b ", "a b"),
        ("", ""),
        (" ", ""),
        ("a\\ ", "a\\ "),
        (" a\\   ", "a\\ "),
        ("a\\\\ ", "a\\\\"),
        ("a\\\\\\ ", "a\\\\\\ "),
        ("a\\", "a\\"),
        ("a\\\n", "a\\"),
    ],
)
def test_a_space_that_is_escaped_is_a_part_of_the_name(text: str, kept: str) -> None:
    """RFC 4514 2.4."""
    assert trimmed(text) == kept
