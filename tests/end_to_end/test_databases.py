"""Real databases behind the gate, with the clients that come with them: PostgreSQL with psql, Redis with redis-cli."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from end_to_end import forge
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.process import answers, free_port, running

SECONDS = 60


def server(name: str) -> Path | None:
    """A program of PostgreSQL, which Debian keeps out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else None


@dataclass(frozen=True)
class Owner:
    """Whom a server runs as: PostgreSQL refuses to be root."""

    prefix: tuple[str, ...]
    id: int | None

    def give(self, folder: Path) -> None:
        if self.id is not None:
            os.chown(folder, self.id, -1)


def owner() -> Owner:
    if os.getuid():
        return Owner((), None)
    import pwd

    with suppress(KeyError):
        nobody = pwd.getpwnam("nobody")
        if setpriv := shutil.which("setpriv"):
            prefix = (setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--")
            return Owner(prefix, nobody.pw_uid)
    pytest.skip("PostgreSQL does not run as root, and there is nobody else to run it as")


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    """The folder with the socket of a PostgreSQL that takes connections from there alone."""
    initdb, postgres = server("initdb"), server("postgres")
    if initdb is None or postgres is None or shutil.which("psql") is None:
        pytest.skip("PostgreSQL is not installed: scripts/install-test-packages.sh")
    who = owner()
    # Not below pytest's folder, which only its owner may enter; and short, as paths of sockets have to be.
    with tempfile.TemporaryDirectory(prefix="mg-pg-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        who.give(folder)
        data = folder / "data"
        subprocess.run(
            [*who.prefix, initdb, "-D", data, "-U", "app", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            timeout=SECONDS,
            cwd="/",
        )
        settings: list[str | Path] = [
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={folder}",
            "-c",
            "fsync=off",
        ]
        settings += ["-c", "unix_socket_permissions=0777"]
        log = Path(tempfile.mkstemp(prefix="mg-pg-", suffix=".log")[1])
        with running("postgres", [*who.prefix, postgres, "-D", data, *settings], log) as program:
            program.wait_for(lambda: "ready to accept connections" in program.text())
            yield folder
        log.unlink()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis."""
    program, client = shutil.which("redis-server"), shutil.which("redis-cli")
    if program is None or client is None:
        pytest.skip("Redis is not installed: scripts/install-test-packages.sh")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    arguments: list[str | Path] = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    with running("redis-server", arguments, folder / "log") as server:
        server.wait_for(lambda: answers(port))
        yield port


@dataclass(frozen=True)
class Secured:
    """A Redis that speaks nothing but TLS, and asks for a certificate."""

    port: int
    authority: forge.Authority
    folder: Path

    def pool(self, name: str, more: str = "", ca_file: Path | None = None) -> str:
        """An upstream of it, and a site before that."""
        return f"""
[[upstreams]]
name = "{name}"
servers = ["tls://127.0.0.1:{self.port}"]
[upstreams.tls]
ca_file = "{ca_file or self.authority.certificate_file}"
{more}
{site(name, name, '"shop"')}"""


@pytest.fixture(scope="module")
def secured_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    program = shutil.which("redis-server")
    if program is None or "BUILD_TLS=no" in run([program, "--version"]).stdout:
        pytest.skip("Redis is not installed: scripts/install-test-packages.sh")
    folder, port = tmp_path_factory.mktemp("secured"), free_port()
    authority = forge.authority(folder / "ca")
    own = forge.leaf(folder, authority, "redis", usages=None, alternative_names=[x509.DNSName("redis.internal")])
    arguments: list[str | Path] = [
        program,
        "--port",
        "0",
        "--tls-port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        folder,
    ]
    arguments += ["--tls-cert-file", own.certificate, "--tls-key-file", own.key, "--tls-auth-clients", "yes"]
    arguments += ["--tls-ca-cert-file", authority.certificate_file]
    with running("redis-server", arguments, folder / "log") as server:
        server.wait_for(lambda: answers(port))
        yield Secured(port, authority, folder)


def site(name: str, upstream: str, roles: str) -> str:
    return f"""
[[sites]]
name = "{name}"
hosts = ["{name}.localhost"]
on_refusal = "alert"
routes = [{{ path = "/", upstream = "{upstream}", roles = [{roles}] }}]
"""


def gate_before(folder: Path, text: str) -> Iterator[Gate]:
    main = '[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{ path = "/", upstream = "demo" }]\n'
    with running_gate(folder / "gate", main + text) as gate:
        yield gate


@pytest.fixture(scope="module")
def before_postgresql(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Gate]:
    upstream = f"postgresql+unix:{database}/.s.PGSQL.5432"
    yield from gate_before(tmp_path_factory.mktemp("pg"), site("db", upstream, '"dba"'))


@pytest.fixture(scope="module")
def before_redis(tmp_path_factory: pytest.TempPathFactory, redis: int) -> Iterator[Gate]:
    yield from gate_before(tmp_path_factory.mktemp("cache"), site("cache", f"tcp://127.0.0.1:{redis}", '"shop"'))


def psql(gate: Gate, identity: Identity | None, *arguments: str, sslmode: str = "verify-full") -> list[str]:
    if identity:
        identity.key.chmod(0o600)  # libpq wants it so
    about = {
        "host": "db.localhost",
        "hostaddr": "127.0.0.1",
        "port": gate.port,
        "user": "app",
        "dbname": "postgres",
        "sslmode": sslmode,
        "sslrootcert": gate.root,
        "sslcert": identity.certificate if identity else "/nonexistent",
        "sslkey": identity.key if identity else "/nonexistent",
        "connect_timeout": SECONDS,
    }
    return ["psql", "-X", "-A", "-t", " ".join(f"{key}={value}" for key, value in about.items()), *arguments]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)


def test_psql_works_through_the_gate(before_postgresql: Gate) -> None:
    anna = before_postgresql.client("anna", "dba")
    done = run(psql(before_postgresql, anna, "-c", "select 6 * 7"))
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)
    much = run(psql(before_postgresql, anna, "-c", "select repeat('x', 200) from generate_series(1, 20000)"))
    assert much.stdout == ("x" * 200 + "\n") * 20_000


def test_psql_of_who_may_not_pass_is_told_by_an_alert(before_postgresql: Gate, tmp_path: Path) -> None:
    bert, eve = before_postgresql.client("bert"), forge.self_signed(tmp_path, "eve")
    for who, alert in ((None, "certificate required"), (bert, "access denied"), (eve, "unknown ca")):
        done = run(psql(before_postgresql, who, "-c", "select 1"))
        assert done.returncode == 2
        assert alert in done.stderr
        assert done.stdout == ""


def test_psql_without_tls_is_told_what_to_do(before_postgresql: Gate) -> None:
    done = run(psql(before_postgresql, None, "-c", "select 1", sslmode="disable"))
    assert done.returncode == 2
    assert "connections without TLS are not served: use sslmode=verify-full" in done.stderr


def test_an_open_session_of_psql_is_cut_by_revocation(before_postgresql: Gate, tmp_path: Path) -> None:
    carl, dora = before_postgresql.client("carl", "dba"), before_postgresql.client("dora", "dba")
    asleep = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'"
    arguments = psql(before_postgresql, carl, "-c", "select 'it runs'", "-c", "select pg_sleep(600)")
    with running("psql", arguments, tmp_path / "psql.log") as session:
        session.wait_for(lambda: run(psql(before_postgresql, dora, "-c", asleep)).stdout == "1\n")
        before_postgresql.command("client", "revoke", "carl", "--reason", "keyCompromise")
        assert session.process.wait(SECONDS) == 2
        assert "it runs" in session.text()
        assert "connection to server was lost" in session.text()
    again = run(psql(before_postgresql, carl, "-c", "select 1"))
    assert again.returncode == 2
    assert "revoked" in again.stderr


def redis_cli(gate: Gate, identity: Identity | None, *arguments: str, name: str = "cache") -> list[str]:
    shown = ["--cert", str(identity.certificate), "--key", str(identity.key)] if identity else []
    tls = ["--tls", "--sni", f"{name}.localhost", "--cacert", str(gate.root), *shown]
    return ["redis-cli", "-h", "127.0.0.1", "-p", str(gate.port), *tls, *arguments]


def test_redis_cli_works_through_the_gate(before_redis: Gate) -> None:
    anna = before_redis.client("anna", "shop")
    assert run(redis_cli(before_redis, anna, "set", "colour", "blue")).stdout == "OK\n"
    assert run(redis_cli(before_redis, anna, "get", "colour")).stdout == "blue\n"


def test_redis_cli_of_who_may_not_pass_gets_nothing(before_redis: Gate, tmp_path: Path) -> None:
    for who in (None, before_redis.client("bert"), forge.self_signed(tmp_path, "eve")):
        done = run(redis_cli(before_redis, who, "ping"))
        assert "PONG" not in done.stdout
        assert done.returncode != 0 or "rror" in done.stdout + done.stderr


def test_a_subscription_is_cut_by_revocation(before_redis: Gate, tmp_path: Path) -> None:
    carl = before_redis.client("carl", "shop")
    with running("redis-cli", redis_cli(before_redis, carl, "subscribe", "news"), tmp_path / "log") as session:
        session.wait_for(lambda: "subscribe" in session.text())
        before_redis.command("client", "revoke", "carl", "--reason", "keyCompromise")
        before_redis.program.wait_for(lambda: '"client":"carl"' in before_redis.program.text())


def test_a_service_behind_tls_is_verified_and_shown_the_gates_own_certificate(
    secured_redis: Secured, tmp_path: Path
) -> None:
    own = forge.leaf(tmp_path, secured_redis.authority, "gate")
    shows = f'certificate = "{own.certificate}"\nkey = "{own.key}"\n'
    asks = 'server_name = "redis.internal"\n'
    other = forge.authority(tmp_path / "other").certificate_file
    text = (
        secured_redis.pool("good", asks + shows)
        + secured_redis.pool("silent", asks)
        + secured_redis.pool("misnamed", 'server_name = "other.internal"\n' + shows)
        + secured_redis.pool("nameless", shows)
        + secured_redis.pool("strange", asks + shows, other)
    )
    for gate in gate_before(tmp_path, text):
        anna = gate.client("anna", "shop")
        assert run(redis_cli(gate, anna, "set", "colour", "blue", name="good")).stdout == "OK\n"
        assert run(redis_cli(gate, anna, "get", "colour", name="good")).stdout == "blue\n"
        much = "x" * 1_000_000
        assert (
            run(redis_cli(gate, anna, "eval", "return string.rep('x', 1000000)", "0", name="good")).stdout
            == f"{much}\n"
        )
        for name in ("silent", "misnamed", "nameless", "strange"):
            done = run(redis_cli(gate, anna, "get", "colour", name=name))
            assert "blue" not in done.stdout, name
            assert done.returncode != 0 or "rror" in done.stdout + done.stderr
        counted = gate.command("status").json["counters"]["upstream_errors"]
        assert dict(counted)["untrusted"] == 3
