"""The letter that brings an invitation, and to whom it may be sent. Does not send: the outbox does."""

import re
from datetime import datetime

from mutualgate.errors import BadInput
from mutualgate.model.names import shown

ADDRESS_LIMIT = 254
"""Characters: RFC 5321 4.5.3.1.3, less the angle brackets."""

# A dot-atom before the @ (RFC 5322 3.2.3) and host names after it: no quotes, no comments, no line ends, ASCII.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")

SUBJECT = "Your invitation to {{ organisation }}"

BODY = """\
Hello,

{{ organisation }} lets you in by a certificate: a kind of key that your browser or program shows for you.
This invitation is for: {{ name }}

Open this link on the device that you will use. It works once, until {{ expires }}:

    {{ link }}
{% if code %}
Or open {{ base }} and type this code:

    {{ code }}
{% endif %}{% if second_factor %}
You will be asked for a second code, which {{ organisation }} tells you on another way than this letter.
{% endif %}
If you did not expect this letter, do nothing: without you, nothing happens.
"""
"""Plain text, and the values are our own: names that obey their rule, links that we made."""


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


def invitation_letter(
    *,
    organisation: str,
    name: str,
    base: str,
    link: str,
    code: str | None,
    second_factor: bool,
    expires: datetime,
    subject: str = SUBJECT,
    body: str = BODY,
) -> tuple[str, str]:
    """Subject and text. Raises `BadInput` for a template of somebody's own that cannot be used."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    # No HTML comes of it, so nothing is escaped; the sandbox is for templates that others write.
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    values = {
        "organisation": organisation,
        "name": name,
        "base": base,
        "link": link,
        "code": code,
        "second_factor": second_factor,
        "expires": f"{expires:%d %B %Y, %H:%M} UTC",
    }
    try:
        title = environment.from_string(subject).render(values)
        text = environment.from_string(body).render(values)
    except TemplateError as error:
        raise BadInput(f"the letter's template cannot be used: {error}", code="bad_template") from error
    return " ".join(title.split()), text
