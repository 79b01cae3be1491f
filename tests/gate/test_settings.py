"""The settings of the data plane: what is written here is what the other side reads."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pki
import pytest

from mutualgate.errors import BadInput
from mutualgate.gate import DataPlane
from mutualgate.gate.settings import (
    Bounds,
    GateSettings,
    JwtSettings,
    Limits,
    RouteSettings,
    ScopeLimits,
    SiteSettings,
    Timeouts,
    TracingSettings,
    UpstreamSettings,
)
from mutualgate.snapshot.records import Batch, RouteRecord, SiteRecord, encode

BOUNDS = Bounds(3, (2.5, 10), (1.0, 1))
SCOPE = ScopeLimits(BOUNDS, BOUNDS)


@dataclass
class Made:
    settings: GateSettings
    batch: bytes


@pytest.fixture(scope="module")
def made() -> Made:
    server = pki.server(pki.ca("root", now=pki.real_now()), "localhost", now=pki.real_now())
    settings = GateSettings(
        listen=["127.0.0.1:0"],
        plain_listen=[],
        workers=1,
        sites=[SiteSettings("main", server.chain_pem, server.key_pem)],
        upstreams=[UpstreamSettings.at("http://127.0.0.1:1")],
        routes=[
            [
                RouteSettings(
                    "/", pass_identity_names=True, tls_facts=True, max_body_bytes=10, limits=SCOPE, identity=["xfcc"]
                )
            ]
        ],
        access_log="",
        access_format="text",
        limits=Limits(max_body_bytes=1000, address=BOUNDS, client=BOUNDS),
        site_limits=[SCOPE],
        timeouts=Timeouts(handshake=1.5),
        tracing=TracingSettings(0.5, True),
    )
    route = RouteRecord("/", "required", [], [], 0)
    site = SiteRecord("main", ["localhost"], "required", "page", [route])
    return Made(settings, encode(Batch(epoch=1, sites=[site])))


def test_the_other_side_reads_all_of_it(made: Made) -> None:
    assert msgspec.msgpack.decode(made.settings.encode(), type=GateSettings) == made.settings
    DataPlane(made.settings, [made.batch])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "listen": ({"listen": ["nonsense"]}, r"listen.*nonsense"),
    "plain_listen": ({"plain_listen": ["127.0.0.1"]}, "plain_listen"),
    "upstream": ({"upstreams": [UpstreamSettings.at("ftp://x")]}, r"upstreams\[0\]\.servers\[0\]\.address.*ftp://x"),
    "whom to trust": ({"upstreams": [UpstreamSettings.at("https://x")]}, r"upstreams\[0\]\.tls.*is missing"),
    "whom to trust with bytes": (
        {"upstreams": [UpstreamSettings.streaming("x", "tls://x:1")]},
        r"upstreams\[0\]\.tls.*is missing",
    ),
    "access_format": ({"access_format": "xml"}, "access_format.*xml"),
    "timeout": ({"timeouts": Timeouts(idle=-1.0)}, r"timeouts\.idle"),
    "not a time": ({"timeouts": Timeouts(idle=float("nan"))}, r"timeouts\.idle"),
    "limits": ({"limits": Limits(address=Bounds(requests=(0.0, 1)))}, r"limits\.address\.requests"),
    "burst": ({"limits": Limits(client=Bounds(handshakes=(1.0, 0)))}, r"limits\.client\.handshakes"),
    "count": ({"site_limits": [ScopeLimits(total=Bounds(connections=0))]}, r"site_limits\[0\]\.total\.connections"),
    "limits of sites": ({"site_limits": [SCOPE, SCOPE]}, "site_limits.*2"),
    "no key": (
        {"routes": [[RouteSettings("/", identity=["jwt"])]]},
        r"jwt: is missing.*routes\[0\]\[0\]",
    ),
    "lifetime": ({"jwt": JwtSettings("i", 0, "k", b"")}, r"jwt\.lifetime.*0 seconds"),
    "token key": ({"jwt": JwtSettings("i", 60, "k", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n")}, r"jwt\.key_pem"),
    "dialect": ({"routes": [[RouteSettings("/", identity=["latin"])]]}, r"routes\[0\]\[0\]\.identity.*latin.*xfcc"),
    "certificate": ({"sites": [SiteSettings("main", b"nonsense", b"nonsense")]}, r"sites\[0\].*certificate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(case: str, made: Made) -> None:
    changes, problem = WRONG[case]
    settings = msgspec.structs.replace(made.settings, **changes)
    with pytest.raises(BadInput, match=problem):
        DataPlane(settings, [made.batch])


def test_a_key_does_not_reach_a_log(made: Made) -> None:
    assert "PRIVATE" not in repr(made.settings)
    settings = msgspec.structs.replace(
        made.settings, sites=[SiteSettings("main", made.settings.sites[0].certificate_pem, b"hunter2")]
    )
    with pytest.raises(BadInput) as caught:
        DataPlane(settings, [made.batch])
    assert "hunter2" not in str(caught.value)
