"""What `mutualgate.toml` alone cannot tell: are the files that it names good, and the clients known?"""

import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from mutualgate.app.folder import Folder
from mutualgate.app.server_certificates import own_certificate
from mutualgate.config import Check, Config, FieldRules, Finding, Place
from mutualgate.errors import BadInput
from mutualgate.gate import field_refused
from mutualgate.modes import EVERYTHING, refuse_others
from mutualgate.notices.secret_file import MIN_SIGNING_CHARACTERS, read_fields, read_secret


def certificates_fit(config: Config) -> Iterator[Finding]:
    """Each site's certificate and key can be read and belong together."""
    for number, site in enumerate(config.sites):
        try:
            own_certificate(site)
        except BadInput as error:
            key = "key" if error.where == str(site.key) else "certificate"
            problem = f"{error.where}: {error.problem}"
            yield Finding(("sites", number, key), problem, expected=error.expected, fix=error.fix)


def fields_fit(config: Config) -> Iterator[Finding]:
    """No rule touches a header field that is the gate's own."""
    for site_number, site in enumerate(config.sites):
        for route_number, route in enumerate(site.routes):
            place = ("sites", site_number, "routes", route_number)
            yield from _fields_fit((*place, "request_headers"), "request", route.request_headers)
            yield from _fields_fit((*place, "response_headers"), "response", route.response_headers)


def _fields_fit(place: Place, direction: Literal["request", "response"], rules: FieldRules) -> Iterator[Finding]:
    deeds: tuple[tuple[Literal["add", "set", "remove"], Sequence[str]], ...] = (
        ("add", [name for name, _ in rules.add]),
        ("set", [name for name, _ in rules.set]),
        ("remove", rules.remove),
    )
    for deed, names in deeds:
        for name in names:
            if why := field_refused(direction, deed, name):
                yield Finding((*place, deed, name), f"{name} {why}", fix="Leave it out")


def files_fit(config: Config) -> Iterator[Finding]:
    """Passwords and secrets for others can be read, by their owner alone; the template of letters can be used. A gate
    opens without them: letters and spans wait, and nobody is invited by a letter."""
    files: tuple[tuple[Place, Path | None, Callable[[Path], object]], ...] = (
        (("mail", "password_file"), config.mail.password_file, read_secret),
        (
            ("notices", "secret_file"),
            config.notices.secret_file,
            lambda path: read_secret(path, MIN_SIGNING_CHARACTERS),
        ),
        (("tracing", "headers_file"), config.tracing.headers_file, read_fields),
        (("portal", "letter"), config.portal.letter, _read_letter),
    )
    for place, path, read in files:
        if path is not None:
            try:
                read(path)
            except BadInput as error:
                yield Finding(place, f"{error.where}: {error.problem}", expected=error.expected, fix=error.fix)


def _read_letter(path: Path) -> None:
    from mutualgate.enrolment.letter import read_template

    read_template(path)


def logs_fit(config: Config) -> Iterator[Finding]:
    """The access log, and the file for the secrets of connections, can be written. Nothing is made or opened."""
    for key, error in _log_faults(config):
        yield Finding(("gate", key), f"{error.where}: {error.problem}", expected=error.expected, fix=error.fix)


def refuse_logs(config: Config) -> None:
    """As `logs_fit`, of settings that flags may have changed. Raises `BadInput`."""
    for key, error in _log_faults(config):
        flag = f"--{key.replace('_', '-')}, or `{key}` under [gate] in mutualgate.toml"
        error.fix = error.fix or f"Make that possible, or name another file: {flag}"
        raise error


def _log_faults(config: Config) -> Iterator[tuple[str, BadInput]]:
    for key, path, others in (("access_log", config.gate.access_log, 0), ("key_log", config.gate.key_log, EVERYTHING)):
        if isinstance(path, Path):
            try:
                _refuse_unwritable(path, others)
            except BadInput as error:
                yield key, error


def _refuse_unwritable(path: Path, others: int) -> None:
    """Raises `BadInput` for a file to which nothing could be appended, or to which `others` have access."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise BadInput("is not there", where=str(path.parent), expected="a folder that exists") from None
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise BadInput("no file can be made in it by this user", where=str(path.parent)) from None
        return
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(path), expected="a file") from error
    if stat.S_ISDIR(status.st_mode):
        raise BadInput("is a folder", where=str(path), expected="a file, or a name that is free")
    if not os.access(path, os.W_OK):
        raise BadInput("cannot be written by this user", where=str(path))
    refuse_others(status, str(path), others)


def clients_exist(folder: Folder) -> Check:
    """The clients that routes name are known in `folder`; where nothing is set up yet, nothing is asked."""

    def check(config: Config) -> Iterable[Finding]:
        named = {name for site in config.sites for route in site.routes for name in route.clients}
        if not named or not folder.exists():
            return
        from mutualgate.app.services import services
        from mutualgate.model.names import ClientName

        with services(folder) as all_of_it, all_of_it.store.reading() as tx:
            unknown = {name for name in named if tx.clients.find(ClientName(name)) is None}
        for site_number, site in enumerate(config.sites):
            for route_number, route in enumerate(site.routes):
                for number, name in enumerate(route.clients):
                    if name in unknown:
                        place = ("sites", site_number, "routes", route_number, "clients", number)
                        add = f"mutualgate client add {shlex.quote(name)}"
                        yield Finding(place, f"there is no client {name!r}", fix=add)

    return check
