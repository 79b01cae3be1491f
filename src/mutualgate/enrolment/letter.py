"""The letter that brings an invitation, and to whom it may be sent. Does not send: the outbox does."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mutualgate.errors import BadInput
from mutualgate.model.names import shown
from mutualgate.reading.bounded import read_file
from mutualgate.store.types import EPOCH

ADDRESS_LIMIT = 254
"""Characters: RFC 5321 4.5.3.1.3, less the angle brackets."""

# A dot-atom before the @ (RFC 5322 3.2.3) and host names after it: no quotes, no comments, no line ends, ASCII.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")

OURS = """\
Your invitation to {{ organisation }}

Hello,

{{ organisation }} lets you in by a certificate: a kind of key that your browser or program shows for you.
This invitation is for: {{ name }}

Open this link on the device that you will use. It works once, until {{ expires }}:

    {{ link }}
{% if code %}
Or open {{ base }} and type this code:

    {{ code }}
{% endif %}{% if second_factor %}
You will be asked for a second code, which {{ organisation }} tells you by another channel than this letter.
{% endif %}
If you did not expect this letter, do nothing: without you, nothing happens.
"""
"""Subject, an empty line, and plain text. The values are our own: names that obey their rule, links that we made."""


def mail_address(text: str) -> str:
    """`text` as the one address that a letter may go to. Raises `BadInput` for anything but `local@host`."""
    address = text.strip(" ")
    if len(address) > ADDRESS_LIMIT or not _ADDRESS.fullmatch(address):
        raise BadInput(
            f"{shown(text)} is no e-mail address that a letter can be sent to",
            expected="one address such as ops@partner-7.example, without a name around it",
            code="bad_mail_address",
        )
    return address


@dataclass(frozen=True)
class Letter:
    """What a letter says, filled in."""

    subject: str
    text: str


def read_template(path: Path | None) -> str:
    """The template in the file, or ours. Raises `BadInput` for what cannot be used, with any values."""
    if path is None:
        return OURS
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8", where=str(path), expected="a template of text") from error
    for code, second in ((None, False), ("a code", True)):
        letter = fill(
            text,
            organisation="an organisation",
            name="a name",
            base="a base",
            link=_MARK,
            code=code,
            second_factor=second,
            expires=EPOCH,
            where=str(path),
        )
        if _MARK not in letter.text:
            raise BadInput("does not say the link", where=str(path), expected="{{ link }} in it", code="bad_template")
    return text


def fill(
    template: str,
    *,
    organisation: str,
    name: str,
    base: str,
    link: str,
    code: str | None,
    second_factor: bool,
    expires: datetime,
    where: str | None = None,
) -> Letter:
    """The letter. Raises `BadInput` for a template that cannot be used."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    # No HTML comes of it, so nothing is escaped; the sandbox is for templates that others write.
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    subject, _, body = template.replace("\r\n", "\n").partition("\n\n")
    values = {
        "organisation": organisation,
        "name": name,
        "base": base,
        "link": link,
        "code": code,
        "second_factor": second_factor,
        "expires": f"{expires.day} {expires:%B %Y, %H:%M} UTC",
    }
    try:
        title = " ".join(environment.from_string(subject).render(values).split())
        text = environment.from_string(body).render(values)
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        raise BadInput(
            f"the letter's template cannot be used: {error}", where=where, expected=TAKES, code="bad_template"
        ) from error
    if not title or not text.strip():
        raise BadInput(
            "the letter's template has no subject or no text",
            where=where,
            expected="a line with the subject, an empty line, the text",
            code="bad_template",
        )
    return Letter(title, text)


_MARK = "the-link-stands-here"

TAKES = "the words organisation, name, base, link, code, second_factor and expires, and no others"
