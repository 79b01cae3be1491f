"""The running gate, in this process, with the real data plane: what happens around it while it serves."""

import asyncio
import http.client
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import post
import pytest
from cryptography import x509
from handling import Handler, handling
from installation import CONFIG, Installation
from sqlalchemy import event

from mutualgate import serving, snapshot
from mutualgate.app import Services, change, chores, control
from mutualgate.app import runner as module
from mutualgate.app.claim import claimed
from mutualgate.app.publications import Publications
from mutualgate.app.runner import Runner
from mutualgate.clock import system_clock
from mutualgate.demo.service import application
from mutualgate.errors import BadInput, Unavailable
from mutualgate.gate import Publication
from mutualgate.model.key_set import KeySet
from mutualgate.model.names import AuthorityName
from mutualgate.model.partner import RevocationMode
from mutualgate.partners.terms import Terms

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr("mutualgate.app.again.RETRY_SECONDS", 0.05)


@asynccontextmanager
async def running(installed: Installation, services: Services | None = None) -> AsyncIterator[Runner]:
    services = services or installed.services()
    with claimed(installed.folder), installed.folder.sockets() as sockets:
        runner = Runner(services, sockets)
        async with serving.serving(application(), serving.unix_socket(sockets / "demo.sock")):
            runner.start()
            opened = asyncio.Event()

            async def ready() -> None:
                opened.set()

            task = asyncio.create_task(runner.run(ready))
            await asyncio.wait({task, asyncio.create_task(opened.wait())}, return_when=asyncio.FIRST_COMPLETED)
            try:
                yield runner
            finally:
                runner.stop()
                await task
    services.close()


class Visitor:
    """Asks the gate from another thread, as the gate's own loop has to go on."""

    def __init__(self, installed: Installation, runner: Runner) -> None:
        self._installed = installed
        self._pem = installed.pem()
        self.port = int(runner.listening[0].rpartition(":")[2])

    async def get(self, path: str = "/hello", *, certificate: bool = True) -> tuple[int, Any]:
        return await asyncio.to_thread(
            self._installed.get, self.port, path, certificate=self._pem if certificate else None
        )

    async def reason(self, path: str = "/hello", *, certificate: bool = True) -> str | None:
        status, body = await self.get(path, certificate=certificate)
        return None if status == 200 else str(body["reason"])

    def server_certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", self.port)).encode())


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what has to come true by itself; the test's timeout is the limit."""
    while not await what():
        await asyncio.sleep(0.02)


def test_a_change_is_in_force_when_its_command_returns(installed: Installation) -> None:
    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            assert await visitor.reason() is None
            _, force = await asyncio.to_thread(change, installed.folder, lambda s: s.clients.suspend("first-client"))
            assert force.epoch == runner.epoch
            assert await visitor.reason() == "client_suspended"
            await asyncio.to_thread(change, installed.folder, lambda s: s.clients.resume("first-client"))
            assert await visitor.reason() is None
            await asyncio.to_thread(change, installed.folder, lambda s: s.clients.revoke("first-client"))
            assert await visitor.reason() == "revoked"

    asyncio.run(run())


def test_what_was_renewed_ends_when_its_overlap_is_over(installed: Installation) -> None:
    installed.config.write_text(f'{CONFIG}[authority]\nrenewal_overlap = "0s"\n')
    services = installed.services()
    try:
        old = services.clients.show("first-client").credentials[0]
        with services.store.reading() as tx:
            certificate = tx.credentials.certificate(old.id) or b""
        services.renewals.renew(certificate, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    finally:
        services.close()

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            await until(lambda: _is(visitor, "revoked"))

    asyncio.run(run())


def test_a_change_that_nobody_told_of_is_found(installed: Installation) -> None:
    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            other = installed.services()
            other.clients.suspend("first-client")
            other.close()
            await until(lambda: _is(visitor, "client_suspended"))

    asyncio.run(run())


async def _is(visitor: Visitor, reason: str | None) -> bool:
    try:
        return await visitor.reason() == reason
    except (http.client.HTTPException, OSError):
        return False  # cut in the middle, since it is not admitted any more


def test_nothing_that_is_done_again_and_again_reads_a_whole_table(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a million pins and ten thousand partners that would be seconds, each time."""
    monkeypatch.setattr(module, "_KEEP_SECONDS", 0.05)
    for pause in ("_PAUSE_SECONDS", "_POST_SECONDS", "_FETCH_SECONDS", "_COUNT_SECONDS"):
        monkeypatch.setattr(chores, pause, 0.05)
    asked: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        asked.setdefault(statement, values[0] if many else values)

    def fill(services: Services, name: str) -> None:
        now, ca = services.clock(), pki.ca(f"{name} CA")
        services.partners.add(name, names=[f"dns:*.{name}.example"])
        claim = services.partners.anchors.claim(name, ca.pem, terms=Terms(revocation=RevocationMode.FAIL)).anchor
        services.partners.anchors.approve(name, claim.id, without_proof=True)
        services.partners.members.add(name, f"dns:a.{name}.example")
        client = services.clients.add(f"{name}-client")
        services.pins.add(f"{name}-client", pki.leaf(None, name).pem)
        with services.store.transaction() as tx:
            tx.key_sets.put(
                KeySet(client.id, "https://keys.example/", False, "", DAY, DAY, now, now, now + DAY, 0, "", ())
            )

    services = installed.services()
    fill(services, "acme")

    async def run() -> None:
        async with running(installed, services) as runner:
            event.listen(services.store._engine, "before_cursor_execute", note)
            await asyncio.to_thread(change, installed.folder, lambda services: fill(services, "other"))
            assert await Visitor(installed, runner).reason() is None
            wanted = {"key_set", "published_key", "ocsp_answer", "revocation_source", "outbox", "told", "invitation"}
            wanted |= {"anchor", "pin", "partner", "credential", "crl", "seen"}
            await until(lambda: _all(f"FROM {one}" in " ".join(asked) for one in wanted))
            event.remove(services.store._engine, "before_cursor_execute", note)
            found = await asyncio.to_thread(scans)
        assert found == {}

    def scans() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with services.store._engine.connect() as connection:
            for statement, values in asked.items():
                if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
                    continue
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
                steps = [str(row[3]) for row in plan]
                if any(step.startswith("SCAN ") and step.split()[1] in LARGE for step in steps) or any(
                    "ix_client_state" in step
                    for step in steps  # nearly all are active
                ):
                    found[statement] = steps
        return found

    asyncio.run(run())


async def _all(these: Iterable[bool]) -> bool:
    return all(these)


LARGE = {"client", "client_role", "credential", "certificate", "key_owner", "serial", "revocation", "invitation", "pin"}
LARGE |= {"partner", "anchor", "name_rule", "member", "seen", "seen_ca", "intermediate", "refusal", "audit", "change"}
LARGE |= {"told", "outbox", "foreign_revocation", "later"}
"""But for keys that are published, which only few clients do: those are counted, as there are some."""


def test_a_change_too_large_to_list_takes_effect_too(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "delta", lambda *_: None)

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            await asyncio.to_thread(change, installed.folder, lambda s: s.clients.suspend("first-client"))
            assert await visitor.reason() == "client_suspended"
            installed.config.write_text(CONFIG + 'client_certificate = "off"\n')
            assert await runner.reload()
            assert await visitor.reason(certificate=False) is None

    asyncio.run(run())


def test_who_was_refused_can_be_looked_up(installed: Installation) -> None:
    async def run() -> str:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            await asyncio.to_thread(change, installed.folder, lambda s: s.clients.suspend("first-client"))
            _, body = await visitor.get()
        return str(body["refusal"])

    id = asyncio.run(run())  # and once it has stopped, nothing is missing
    services = installed.services()
    found = services.refusals.find(id)
    services.close()
    assert found is not None
    assert (found.reason, found.subject, found.client) == ("client_suspended", "CN=first-client", 1)
    assert found.fingerprint is not None


def test_refusals_are_kept_although_the_store_was_locked(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = installed.services()
    assert other.store.epoch() > 0  # open, and so as patient as always
    monkeypatch.setattr("mutualgate.store.sqlite.BUSY_SECONDS", 0)

    async def run() -> str:
        async with running(installed) as runner:
            with other.store.transaction():
                _, body = await Visitor(installed, runner).get(certificate=False)
                await until(lambda: _said(caplog, "keeping what happened failed, and is tried again: "))
            other.close()
            await until(lambda: _said(caplog, "keeping what happened works again"))
        return str(body["refusal"])

    with caplog.at_level(logging.INFO, "mutualgate"):
        id = asyncio.run(run())
    services = installed.services()
    assert services.refusals.find(id) is not None
    services.close()


async def _said(caplog: pytest.LogCaptureFixture, start: str) -> bool:
    return any(record.message.startswith(start) for record in caplog.records)


def test_a_reload_changes_what_the_file_changed_and_no_more(installed: Installation) -> None:
    """Each part of it takes the core from those who serve."""

    async def run() -> None:
        async with running(installed) as runner:
            visitor, epoch = Visitor(installed, runner), runner.epoch
            installed.config.write_text(CONFIG + "# a word more\n")
            assert await runner.reload()
            assert runner.epoch == epoch

            # What the judge does not read needs no epoch: nobody is judged again.
            long = "/hello?" + "x" * 9000
            assert await visitor.reason(long) is None
            installed.config.write_text(CONFIG.replace("[gate]", '[gate]\nmax_header_bytes = "8 KiB"'))
            assert await runner.reload()
            assert runner.epoch == epoch
            assert (await visitor.get(long))[0] == 414

            installed.config.write_text(CONFIG + 'client_certificate = "off"\n')
            assert await runner.reload()
            assert runner.epoch == epoch + 1
            assert await visitor.reason(certificate=False) is None
            installed.config.write_text(CONFIG)
            assert await runner.reload()
            assert await visitor.reason(certificate=False) == "no_certificate"

    asyncio.run(run())


def test_a_reload_takes_over_what_nobody_told_of(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 3600.0)

    async def run() -> None:
        async with running(installed) as runner:
            visitor, other = Visitor(installed, runner), installed.services()
            other.clients.suspend("first-client")
            other.close()
            assert await visitor.reason() is None
            installed.config.write_text(CONFIG.replace('"127.0.0.1"]', '"127.0.0.1", "also.test"]'))
            assert await runner.reload()
            assert await visitor.reason() == "client_suspended"

    asyncio.run(run())


class Behind(Handler):
    """A service behind the gate."""

    def do_GET(self) -> None:  # noqa: N802 - the standard library's name
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_whom_an_upstream_may_be_signed_by_is_read_again_though_the_file_says_the_same(
    installed: Installation, tmp_path: Path
) -> None:
    right, wrong = pki.ca("Right"), pki.ca("Wrong")
    trusted = installed.config.with_name("behind.pem")
    trusted.write_bytes(wrong.pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*pki.server(right, "127.0.0.1").write(tmp_path, "behind"))

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            assert (await visitor.get())[0] == 502
            trusted.write_bytes(right.pem)
            await until(lambda: _is_status(visitor, 200))

    with handling(Behind, tls) as port:
        pool = f'[[upstreams]]\nname = "behind"\nservers = ["https://127.0.0.1:{port}"]\ntls.ca_file = "behind.pem"\n'
        installed.config.write_text(pool + CONFIG.replace('"demo"', '"behind"'))
        asyncio.run(run())


async def _is_status(visitor: Visitor, wanted: int) -> bool:
    return (await visitor.get())[0] == wanted


def test_a_new_site_is_served_once_the_file_has_it(installed: Installation) -> None:
    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            assert await visitor.reason("/open", certificate=False) == "no_certificate"
            installed.config.write_text(
                CONFIG + '[[sites]]\nname = "second"\nhosts = ["second.test"]\nclient_certificate = "off"\n'
                'routes = [{ path = "/", upstream = "demo" }]\n'
            )
            await until(lambda: _sites(runner, ["main", "second"]))
            names = visitor_names(await asyncio.to_thread(_certificate_for, visitor.port, "second.test"))
            assert names == ["second.test"]

    asyncio.run(run())


async def _sites(runner: Runner, wanted: list[str]) -> bool:
    return bool(runner.status()["sites"] == wanted)


def _certificate_for(port: int, host: str) -> x509.Certificate:
    import socket

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        context.wrap_socket(connection, server_hostname=host) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def visitor_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names.get_values_for_type(x509.DNSName))


WRONG = {
    "syntax": (CONFIG + "[[sites\n", r"mutualgate\.toml:11:"),
    "unknown key": (CONFIG + 'hots = ["x"]\n', r"mutualgate\.toml:11:1: .*hots"),
    "another address": (
        CONFIG.replace("127.0.0.1:0", "127.0.0.1:1"),
        r"gate\.listen cannot change while the gate runs\. .*: mutualgate restart",
    ),
    "none": (None, r"mutualgate\.toml: the file is gone\. Put it back"),
    "nothing in it": ("\n", r"mutualgate\.toml: the file is empty\. Write into it"),
    "missing certificate": (CONFIG + 'certificate = "nowhere.pem"\nkey = "nowhere.key"\n', r"nowhere\.pem"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_once_and_what_was_in_force_stays(
    case: str, installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    text, problem = WRONG[case]

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            if text is None:
                installed.config.unlink()
            else:
                installed.config.write_text(text)
            await until(lambda: _problem(runner, True))
            await asyncio.sleep(0.3)  # some looks at the file later
            answer = await asyncio.to_thread(control.ask, installed.folder, "status")
            assert answer is not None
            with pytest.raises(BadInput, match=problem):
                raise BadInput(answer["configuration_problem"])
            assert await visitor.reason() is None
            installed.config.write_text(CONFIG)
            await until(lambda: _problem(runner, False))

    asyncio.run(run())
    assert len([record for record in caplog.records if "stays as it was" in record.message]) == 1


def test_everything_goes_by_the_configuration_in_force_from_the_start(installed: Installation) -> None:
    """Whenever it is first asked for, and whatever has become of the file by then."""
    with claimed(installed.folder), installed.folder.sockets() as sockets:
        for text in (CONFIG, "nonsense"):  # at the second start all certificates are there, and nothing is to be made
            services = installed.services()
            runner = Runner(services, sockets)
            installed.config.write_text(text)
            assert services.config == runner.config
            services.close()


async def _problem(runner: Runner, there: bool) -> bool:
    return (runner.status()["configuration_problem"] is not None) == there


def test_a_certificate_file_that_appears_later_is_noticed(installed: Installation) -> None:
    """The text of mutualgate.toml stays as it is: the file that it names is watched, too."""

    async def run() -> None:
        async with running(installed) as runner:
            certificate, key = (installed.folder.path / name for name in ("site.pem", "site.key"))
            installed.config.write_text(CONFIG + 'certificate = "site.pem"\nkey = "site.key"\n')
            await until(lambda: _problem(runner, True))
            server = pki.server(pki.ca("their root", now=pki.real_now()), "localhost", now=pki.real_now())
            key.write_bytes(server.key_pem)
            certificate.write_bytes(server.pem)
            await until(lambda: _problem(runner, False))
            found = await asyncio.to_thread(Visitor(installed, runner).server_certificate)
            assert found.serial_number == server.certificate.serial_number

    asyncio.run(run())


def test_a_certificate_that_is_replaced_is_shown_to_the_next_client(installed: Installation) -> None:
    now = pki.real_now()
    root = pki.ca("their root", now=now)
    first, second = (pki.server(root, "localhost", now=now) for _ in range(2))
    path, key = first.write(installed.folder.path, "site")
    installed.config.write_text(CONFIG + f'certificate = "{path.name}"\nkey = "{key.name}"\n')

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            shown = await asyncio.to_thread(visitor.server_certificate)
            assert shown.serial_number == first.certificate.serial_number
            second.write(installed.folder.path, "site")

            async def replaced() -> bool:
                found = await asyncio.to_thread(visitor.server_certificate)
                return found.serial_number == second.certificate.serial_number

            await until(replaced)

    asyncio.run(run())


def _written_anew(folder: Path, server: pki.Issued) -> None:
    server.write(folder / "live", "site")


def _renamed_over(folder: Path, server: pki.Issued) -> None:
    for new in server.write(folder, "new"):
        new.replace(folder / "live" / f"site{new.suffix}")


def _folder_swapped(folder: Path, server: pki.Issued) -> None:
    """As Kubernetes does with a mounted secret, and certbot with its links."""
    another = folder / "archive-2"
    another.mkdir()
    server.write(another, "site")
    link = folder / "new"
    link.symlink_to(another)
    link.replace(folder / "live")


WAYS = {"written anew": _written_anew, "renamed over": _renamed_over, "folder swapped": _folder_swapped}


@pytest.mark.parametrize("file", ["as it was", "broken", "for the next start"])
@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_is_replaced_in_every_way_without_a_command_or_a_lost_connection(
    way: str, file: str, installed: Installation
) -> None:
    now = pki.real_now()
    root = pki.ca("their root", now=now)
    first, second = (pki.server(root, "localhost", now=now) for _ in range(2))
    folder = installed.folder.path
    (folder / "archive").mkdir()
    first.write(folder / "archive", "site")
    (folder / "live").symlink_to(folder / "archive")
    text = CONFIG + 'certificate = "live/site.crt"\nkey = "live/site.key"\n'
    installed.config.write_text(text)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(installed.pem())

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            if file != "as it was":
                wrong = "nonsense" if file == "broken" else text.replace("127.0.0.1:0", "127.0.0.1:1")
                installed.config.write_text(wrong)
                await until(lambda: _problem(runner, True))
            kept = http.client.HTTPSConnection("localhost", visitor.port, context=context)
            await asyncio.to_thread(kept.connect)
            sock = kept.sock
            assert await asyncio.to_thread(_status, kept) == 200
            WAYS[way](folder, second)

            async def replaced() -> bool:
                found = await asyncio.to_thread(visitor.server_certificate)
                return found.serial_number == second.certificate.serial_number

            await until(replaced)
            assert await asyncio.to_thread(_status, kept) == 200
            assert kept.sock is sock
            kept.close()
            assert (runner.status()["configuration_problem"] is not None) == (file != "as it was")

    asyncio.run(run())


def _status(connection: http.client.HTTPSConnection) -> int:
    connection.request("GET", "/hello")
    response = connection.getresponse()
    response.read()
    return response.status


def test_half_a_pair_keeps_the_old_one_and_says_so(installed: Installation) -> None:
    now = pki.real_now()
    root = pki.ca("their root", now=now)
    first, second = (pki.server(root, "localhost", now=now) for _ in range(2))
    path, key = first.write(installed.folder.path, "site")
    installed.config.write_text(CONFIG + f'certificate = "{path.name}"\nkey = "{key.name}"\n')

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            path.write_bytes(second.pem)
            await until(lambda: _problem(runner, True))
            assert "the key does not belong" in runner.status()["configuration_problem"]
            found = await asyncio.to_thread(visitor.server_certificate)
            assert found.serial_number == first.certificate.serial_number
            key.write_bytes(second.key_pem)
            await until(lambda: _problem(runner, False))
            found = await asyncio.to_thread(visitor.server_certificate)
            assert found.serial_number == second.certificate.serial_number

    asyncio.run(run())


def test_a_new_authority_signs_the_gate_s_certificate_at_once(installed: Installation) -> None:
    """By the time the command that made it has its answer."""

    async def run() -> None:
        async with running(installed) as runner:
            visitor = Visitor(installed, runner)
            before = await asyncio.to_thread(visitor.server_certificate)
            other = installed.services()
            await asyncio.to_thread(other.authorities.rotate_issuing)
            other.close()
            await runner.sync()
            after = await asyncio.to_thread(visitor.server_certificate)
            assert after.issuer != before.issuer
            assert runner.server_certificates["main"] == after.not_valid_after_utc

    asyncio.run(run())


def test_our_own_certificate_is_renewed_when_due_whatever_the_file_says(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEEP_SECONDS", 0.05)
    moved = [timedelta(0)]
    services = Services(installed.folder, clock=lambda: system_clock() + moved[0], environment={})

    async def run() -> None:
        async with running(installed, services) as runner:
            before = runner.server_certificates["main"]
            installed.config.write_text("nonsense")
            await until(lambda: _problem(runner, True))
            moved[0] = (before - system_clock()) * 0.7

            async def renewed() -> bool:
                return runner.server_certificates["main"] > before

            await until(renewed)
            shown = await asyncio.to_thread(Visitor(installed, runner).server_certificate)
            assert shown.not_valid_after_utc == runner.server_certificates["main"]

    asyncio.run(run())


def test_a_large_list_is_made_while_the_gate_is_open(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mutualgate.authorities.lists.LARGE", 0)
    change(installed.folder, lambda services: services.clients.revoke("first-client"))
    services = installed.services()

    async def run() -> None:
        async with running(installed, services) as runner:
            assert await Visitor(installed, runner).reason() == "revoked"

            async def made() -> bool:
                return (await asyncio.to_thread(services.authorities.crl_states))[AuthorityName("issuing")] is not None

            await until(made)

    with caplog.at_level(logging.INFO, "mutualgate"):
        asyncio.run(run())
    assert "large revocation lists are made while the gate is open" in caplog.text


def test_a_list_that_rests_is_made_when_it_may_be(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    works, asked = Publications.news, []

    def rests(of: Publications) -> list[Publication]:
        files = works(of)
        of.rest = 0.01
        asked.append(of)
        return files

    monkeypatch.setattr(Publications, "news", rests)
    monkeypatch.setattr(module, "_KEEP_SECONDS", 3600.0)

    async def run() -> None:
        async with running(installed):

            async def again() -> bool:
                return len(asked) > 5

            await until(again)

    asyncio.run(run())


def test_lists_that_cannot_be_renewed_do_not_stop_the_gate(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    works = Publications.news

    def fails(of: Publications) -> Any:
        raise RuntimeError("a defect")

    async def run() -> None:
        async with running(installed) as runner:
            monkeypatch.setattr(Publications, "news", fails)
            visitor = Visitor(installed, runner)
            await runner.sync()
            await until(lambda: _said(caplog, "renewing the revocation lists failed"))
            monkeypatch.setattr(Publications, "news", works)
            await asyncio.to_thread(change, installed.folder, lambda s: s.clients.suspend("first-client"))
            assert await visitor.reason() == "client_suspended"
            await until(lambda: _said(caplog, "renewing the revocation lists works again"))

    with caplog.at_level(logging.INFO, "mutualgate"):
        asyncio.run(run())


def test_a_file_that_could_not_be_taken_over_while_the_store_was_locked_is_taken_over_later(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutualgate.store.sqlite.BUSY_SECONDS", 0)

    async def run() -> None:
        async with running(installed) as runner:
            other = installed.services()
            with other.store.transaction():
                installed.config.write_text(CONFIG + 'client_certificate = "off"\n')
                await until(lambda: _problem(runner, True))
            other.close()
            await until(lambda: _problem(runner, False))
            assert await Visitor(installed, runner).reason(certificate=False) is None

    asyncio.run(run())


def test_an_address_in_use_is_said(installed: Installation) -> None:
    async def run() -> None:
        async with running(installed) as runner:
            installed.config.write_text(CONFIG.replace("127.0.0.1:0", runner.listening[0]))
            services = installed.services()
            second = Runner(services, Path("/nowhere"))
            with pytest.raises(Unavailable, match=runner.listening[0]):
                second.start()
            services.close()
            installed.config.write_text(CONFIG)

    asyncio.run(run())


def test_a_letter_goes_out_once_its_change_is_in_force(installed: Installation) -> None:
    """And one that cannot be sent yet keeps nobody from stopping the gate."""

    async def scene() -> dict[str, Any]:
        async with running(installed):

            def put(services: Services) -> None:
                with services.store.transaction() as tx:
                    services.outbox.put(tx, "mail", "anna@example.com", "Hello", "A text.\n")

            await asyncio.to_thread(change, installed.folder, put)

            async def came() -> bool:
                return bool(server.letters)

            await until(came)
            answer = await asyncio.to_thread(control.ask, installed.folder, "status")
            assert answer is not None
            return dict(answer["letters"])

    with post.mail_server() as server:
        installed.config.write_text(
            f'{CONFIG}[mail]\nserver = "127.0.0.1:{server.port}"\nsender = "gate@example.com"\nsecurity = "none"\n'
        )
        letters = asyncio.run(scene())
    assert [one.recipients for one in server.letters] == [["anna@example.com"]]
    assert letters["dead"] == 0
    assert letters["error"] == ""


def test_operators_are_told_of_what_ends(installed: Installation) -> None:
    services = installed.services()
    services.clients.add("late")
    services.enrolment.sign("late", pki.csr(pki.fresh_key()), lifetime=timedelta(days=10))
    services.close()
    later = Services(installed.folder, clock=lambda: system_clock() + timedelta(days=9, hours=12), environment={})

    async def scene() -> None:
        async with running(installed, later):

            async def came() -> bool:
                return bool(server.letters)

            await until(came)

    with post.mail_server() as server:
        installed.config.write_text(
            f'{CONFIG}[mail]\nserver = "127.0.0.1:{server.port}"\nsender = "gate@example.com"\nsecurity = "none"\n'
            '[notices]\nto = ["ops@example.com"]\n'
        )
        asyncio.run(scene())
    assert server.letters[0].recipients == ["ops@example.com"]
    assert "certificate of late" in server.letters[0].text
