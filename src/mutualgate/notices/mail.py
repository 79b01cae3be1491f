"""A letter as an e-mail (RFC 5322), and how a mail server is given it (RFC 5321).

A letter has one recipient, and what names it was checked before it came here; the message is made by a policy that
refuses a header field with a line break in it all the same.
"""

import contextlib
import hashlib
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from mutualgate.config import MailConfig, Security, is_mailbox
from mutualgate.errors import BadInput
from mutualgate.model.letter import Letter
from mutualgate.notices.failure import Failure, said
from mutualgate.notices.secret_file import read_secret

# 7 bit: no server has to offer 8BITMIME.
_POLICY: Final = SMTP.clone(cte_type="7bit")


def message(letter: Letter, sender: str, now: datetime) -> EmailMessage:
    """The e-mail. Raises `Failure` for what cannot be one.

    Its Message-ID is the same for every try, so that a mailbox which gets it twice (the gate was killed between the
    server's answer and its own note of it) can tell.
    """
    if not is_mailbox(letter.recipient) or not is_mailbox(sender):
        raise Failure("the address cannot be used", final=True)
    made = EmailMessage(policy=_POLICY)
    try:
        made["From"] = sender
        made["To"] = letter.recipient
        made["Subject"] = letter.subject
        made["Date"] = format_datetime(now.replace(microsecond=0))
        made["Message-ID"] = f"<{_name(letter)}@{sender.rpartition('@')[2]}>"
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation replies
        made.set_content(letter.body)
    except ValueError as error:  # a line break in a header field
        raise Failure("the subject cannot be used", final=True) from error
    return made


def _name(letter: Letter) -> str:
    text = f"{letter.id} {letter.created.isoformat()} {letter.recipient} {letter.once}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class MailRoom:
    """The way to the mail server: one connection for several letters. Close it after use."""

    def __init__(self, config: MailConfig) -> None:
        self._config = config
        self._connection: smtplib.SMTP | None = None

    def send(self, letter: Letter, now: datetime) -> None:
        """Returns when the server has taken it. Raises `Failure`."""
        if self._config.server is None or self._config.sender is None:
            raise Failure("no mail server is set", everybody=True)
        made = message(letter, self._config.sender, now)
        # Without a connection, what is wrong is the server's; the message has its own block.
        connection = self._connected()
        try:
            connection.sendmail(self._config.sender, [letter.recipient], made.as_bytes())
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            self._reset()
            raise _refused("the recipient", code, answer) from error
        except smtplib.SMTPSenderRefused as error:
            self.close()
            raise Failure(
                f"the server takes no letter from {error.sender} ({error.smtp_code} {said(error.smtp_error)})",
                everybody=True,
            ) from error
        except smtplib.SMTPDataError as error:
            self._reset()
            raise _refused("the letter", error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            self.close()
            raise Failure(f"the connection to the server broke ({_words(error)})", everybody=True) from error

    def close(self) -> None:
        """Says goodbye."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException, ValueError):
                connection.quit()
            connection.close()

    def _reset(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rset()
            except (OSError, smtplib.SMTPException):
                self.close()

    def _connected(self) -> smtplib.SMTP:
        if self._connection is None:
            server = self._config.server
            try:
                self._connection = self._connect()
            except smtplib.SMTPAuthenticationError as error:
                raise Failure(
                    f"{server} refuses the user name or the password ({error.smtp_code})", everybody=True
                ) from error
            except smtplib.SMTPNotSupportedError as error:
                raise Failure(f"{server} does not offer what is asked ({_words(error)})", everybody=True) from error
            except BadInput as error:
                raise Failure(str(error), everybody=True) from error
            except ssl.SSLCertVerificationError as error:
                raise Failure(
                    f"{server} has a certificate that is not trusted ({said(error.verify_message)})", everybody=True
                ) from error
            except (OSError, smtplib.SMTPException, ValueError) as error:
                raise Failure(f"{server} cannot be reached ({_words(error)})", everybody=True) from error
        return self._connection

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        if config.server is None:
            raise Failure("no mail server is set", everybody=True)
        password = None if config.password_file is None else read_secret(config.password_file)
        host, port, seconds = config.server.host, config.server.port, config.timeout.total_seconds()
        context = None if config.security is Security.NONE else _trusting(config)
        if config.security is Security.TLS:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=context)
        else:
            connection = smtplib.SMTP(host, port, timeout=seconds)
        try:
            connection.ehlo_or_helo_if_needed()
            if config.security is Security.STARTTLS:
                connection.starttls(context=context)  # raises where the server does not offer it: nothing goes clear
            if config.username is not None and password is not None:
                connection.login(config.username, password.decode("utf-8", "surrogateescape"))
        except BaseException:
            connection.close()
            raise
        return connection


def _trusting(config: MailConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if config.ca_file is None else str(config.ca_file))
    except OSError as error:
        raise BadInput("holds no certificate that can be used", where=str(config.ca_file), expected="PEM") from error


def _refused(what: str, code: int, answer: bytes | str) -> Failure:
    # RFC 5321 4.2.1: 4yz may do later, 5yz never will.
    return Failure(f"the server refuses {what} ({code} {said(answer)})", final=500 <= code < 600)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return said(error.strerror)
    return said(str(error)) or type(error).__name__
