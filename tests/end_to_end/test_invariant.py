"""Whatever the configuration and whatever the client sends: a route that requires a certificate never answers from its
upstream without an admitted verdict, and one that requires a role never without the role.

The check is not the gate's: what arrived is read the way a lenient servlet container reads paths, and compared with the
configuration as written.
"""

import json
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import unquote

import pytest
from end_to_end import forge
from end_to_end.estate import mark
from end_to_end.forge import DAY, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import Connection
from end_to_end.recorder import Recorded, Recorder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOSTS = ["one.test", "two.test"]
PATHS = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/pub"]
MODES = ["off", "optional", "required", "portal"]
WHO = ["nobody", "stranger", "expired", "suspended", "revoked", "alice", "admin"]
ROLES = {"alice": set[str](), "admin": {"admin"}}

_generations = count(1)


@dataclass(frozen=True)
class Route:
    path: str
    mode: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """One request of a hostile client."""

    who: str
    sni: str | None
    host: str
    path: str
    h2: bool
    resumed: bool
    version: ssl.TLSVersion
    headers: tuple[tuple[str, str], ...]
    method: str


routes = st.builds(
    lambda path, mode, role: Route(path, mode, ("admin",) if role and mode == "required" else ()),
    st.sampled_from(PATHS),
    st.sampled_from(MODES),
    st.booleans(),
)
sites = st.lists(routes, min_size=1, max_size=5, unique_by=lambda route: route.path)
segments = st.sampled_from(
    r"a b c ab pub A .. . %2e%2e .%2e ..; a;x=1 ; %61 a%2fb %2f b\c %5c %00 %252e a% é a# a?".split(" ")
)
paths = st.one_of(
    st.sampled_from(PATHS),
    st.lists(segments, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts)),
)
hosts = st.sampled_from(
    [*HOSTS, "ONE.test", "two.test:443", "two.test.", "unknown.test", "127.0.0.1", "one.test, two.test"]
)
lies = st.sampled_from(
    [
        ("Mutualgate-Verdict", "admitted"),
        ("Mutualgate-Client", "admin"),
        ("mutualgate_roles", "admin"),
        ("Client-Cert", ":AAAA:"),
        ("Connection", "close, Mutualgate-Verdict"),
        ("X-Original-URL", "/pub"),
        ("X-Rewrite-URL", "/pub"),
        ("X-Forwarded-Host", "two.test"),
        ("X-HTTP-Method-Override", "GET"),
        ("Host", "two.test"),
    ]
)
attempts = st.builds(
    Attempt,
    who=st.sampled_from(WHO),
    sni=st.sampled_from([*HOSTS, "ONE.TEST", None]),
    host=hosts,
    path=paths,
    h2=st.booleans(),
    resumed=st.booleans(),
    version=st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]),
    headers=st.lists(lies, max_size=3).map(tuple),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "TRACE", "PUT"]),
)


@dataclass
class Hostile:
    """The gate under attack, and what the attackers keep from one attempt to the next."""

    gate: Gate
    recorder: Recorder
    identities: dict[str, Identity | None]
    contexts: dict[tuple[str, bool, ssl.TLSVersion], ssl.SSLContext] = field(default_factory=dict)
    sessions: dict[tuple[str, bool, ssl.TLSVersion], ssl.SSLSession | None] = field(default_factory=dict)
    tried: int = 0
    arrived: int = 0

    def configure(self, configuration: dict[str, list[Route]], refusal: str) -> None:
        """Puts a configuration in force and waits until it is: a host that no earlier one had is then served."""
        probe = f"generation-{next(_generations)}.test"
        file = self.gate.folder / "mutualgate.toml"
        text = file.read_text().split("[[sites]]")[0]
        for host, of_site in {**configuration, probe: [Route("/", "off", ())]}.items():
            text += f'[[sites]]\nname = "{host.split(".")[0]}"\nhosts = ["{host}"]\non_refusal = "{refusal}"\n'
            for route in of_site:
                own = route.mode == "portal"
                text += f'[[sites.routes]]\npath = "{route.path}"\n'
                text += f'upstream = "{"portal" if own else self.recorder.url}"\nroles = {json.dumps(route.roles)}\n'
                text += "" if own else f'client_certificate = "{route.mode}"\n'
        file.write_text(text)
        self.gate.program.process.send_signal(signal.SIGHUP)
        self.gate.program.wait_for(lambda: self._serves(probe), 20)

    def _serves(self, host: str) -> bool:
        try:
            return self.gate.get("/", host=host).status == 200
        except OSError:
            return False

    def attempt(self, attempt: Attempt, word: str) -> None:
        """Says it; whatever the answer, what counts is what arrives."""
        key = attempt.who, attempt.h2, attempt.version
        if key not in self.contexts:
            alpn = ["h2"] if attempt.h2 else ["http/1.1"]
            self.contexts[key] = self.gate.context(self.identities[attempt.who], version=attempt.version, alpn=alpn)
        tls = self.contexts[key]
        session = self.sessions.get(key) if attempt.resumed else None
        headers = [*attempt.headers, ("X-Mark", word)]
        try:
            with Connection.open(self.gate.port, tls, attempt.sni, session) as connection:
                if attempt.h2:
                    lower = [(name.lower(), value) for name, value in headers if name != "Connection"]
                    H2(connection).request(attempt.path, lower, authority=attempt.host, method=attempt.method)
                else:
                    connection.request(attempt.path, headers, method=attempt.method, host=attempt.host)
                self.sessions[key] = connection.tls.session
        except (OSError, ValueError, UnicodeEncodeError):
            return


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("invariant")
    adopted = forge.authority(folder / "adopted")
    first = f'[[sites]]\nname = "one"\nhosts = ["one.test"]\nroutes = [{{ path = "/", upstream = "{upstream.url}" }}]\n'
    with running_gate(folder / "gate", first) as gate:
        gate.command("ca", "adopt", "--cert", adopted.certificate_file, "--key", adopted.key_file)
        identities: dict[str, Identity | None] = {
            "nobody": None,
            "stranger": forge.leaf(folder, forge.authority(folder / "other"), "admin"),
            "expired": forge.leaf(folder, adopted, "admin", not_before=-9 * DAY, not_after=-DAY),
            "suspended": gate.client("suspended", "admin"),
            "revoked": gate.client("revoked", "admin"),
            "alice": gate.client("alice"),
            "admin": gate.client("admin", "admin"),
        }
        gate.command("client", "suspend", "suspended")
        gate.command("client", "revoke", "revoked")
        hostile = Hostile(gate, upstream, identities)
        yield hostile
        # Where nothing arrives, nothing was shown.
        assert hostile.tried == 0 or hostile.arrived > hostile.tried / 100


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    configuration=st.fixed_dictionaries({host: sites for host in HOSTS}),
    refusal=st.sampled_from(["page", "close"]),
    tried=st.lists(attempts, min_size=10, max_size=30),
)
@pytest.mark.timeout(400)
def test_nothing_passes_a_required_route_without_an_admitted_verdict(
    hostile: Hostile, configuration: dict[str, list[Route]], refusal: str, tried: list[Attempt]
) -> None:
    hostile.configure(configuration, refusal)
    for attempt in tried:
        word = mark()
        hostile.attempt(attempt, word)
        arrived = hostile.recorder.marked(word)
        hostile.tried += 1
        hostile.arrived += len(arrived)
        for request in arrived:
            # Who names no host in the handshake gets the first site.
            host = (attempt.sni or next(iter(configuration))).lower()
            permitted(attempt, request, covering(configuration[host], request.target))


def permitted(attempt: Attempt, request: Recorded, route: Route | None) -> None:
    """Fails unless `attempt` may have reached `route`, and the gate told the service nothing that is not so."""
    assert route is not None, f"{attempt} reached the upstream where no route leads: {request.head!r}"
    assert route.mode != "portal", f"{attempt} came through the portal: {request.head!r}"
    somebody = attempt.who in ROLES and route.mode != "off"
    if route.mode == "required":
        assert somebody, f"{attempt} passed {route}: {request.head!r}"
        assert set(route.roles) <= ROLES[attempt.who], f"{attempt} passed {route} without the role"
    # Where no certificate is required, one that is refused is as good as none.
    verdict, client = ("admitted", [attempt.who]) if somebody else ("anonymous", [])
    told = {name.lower().replace("_", "-"): value for name, value in request.headers}
    assert told["mutualgate-verdict"] == verdict, f"{attempt} was passed on as {told}"
    assert [value for name, value in told.items() if name == "mutualgate-client"] == client
    assert ("client-cert" in told) is somebody


def covering(of_site: list[Route], target: str) -> Route | None:
    """The route of a target as a lenient container reads it: decoded, no parameters, dots resolved, slashes merged."""
    path = unquote(unquote(target.split("?")[0].split("#")[0]))
    clean: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = segment.split(";")[0]
        if name == "..":
            clean = clean[:-1]
        elif name not in ("", "."):
            clean.append(name)
    covers = [route for route in of_site if clean[: len(_names(route))] == _names(route)]
    return max(covers, key=lambda route: len(route.path), default=None)


def _names(route: Route) -> list[str]:
    return [name for name in route.path.split("/") if name]


def test_the_reading_of_paths_is_the_lenient_one() -> None:
    of_site = [Route("/", "off", ()), Route("/a/b", "required", ())]
    for target in ("/a/b", "/a;x/b/c", "/%61/b", "/a//b?x", "/pub/../a/./b", "/pub/..;/a/b", "/a\\b"):
        assert covering(of_site, target) == of_site[1]
    assert covering(of_site, "/a/bc") == of_site[0]
    assert covering(of_site[1:], "/") is None


@pytest.fixture(autouse=True)
def _nothing_panicked(hostile: Hostile) -> Iterator[None]:
    yield
    assert hostile.gate.program.alive(), hostile.gate.program.tail()
    assert "panicked" not in hostile.gate.program.text()
