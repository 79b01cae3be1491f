"""The gate that most tests share: one program, several sites, and upstreams that keep what they are sent.

An authority that exists outside is adopted, so that tests can forge any certificate under a CA which the gate accepts.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from end_to_end.forge import Authority, Identity
from end_to_end.gate import Gate
from end_to_end.recorder import Recorder

_marks = count(1)


def sites(upstream: str, dead: str) -> str:
    """`mutualgate.toml` of the estate, but for its listeners."""
    return f"""
[[sites]]
name = "main"
hosts = ["localhost", "127.0.0.1"]
client_certificate = "required"
routes = [
    {{ path = "/", upstream = "{upstream}" }},
    {{ path = "/optional", upstream = "{upstream}", client_certificate = "optional" }},
    {{ path = "/off", upstream = "{upstream}", client_certificate = "off" }},
    {{ path = "/admin", upstream = "{upstream}", roles = ["admin"] }},
    {{ path = "/named", upstream = "{upstream}", clients = ["operator"] }},
    {{ path = "/tls", upstream = "{upstream}", tls_facts = true }},
    {{ path = "/legacy", upstream = "{upstream}", pass_identity_names = true }},
    {{ path = "/small", upstream = "{upstream}", max_body_bytes = "1 KiB" }},
    {{ path = "/dead", upstream = "{dead}" }},
]

[[sites]]
name = "a"
hosts = ["a.test"]
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "b"
hosts = ["b.test"]
routes = [{{ path = "/", upstream = "{upstream}", roles = ["admin"] }}]

[[sites]]
name = "open"
hosts = ["open.test"]
client_certificate = "off"
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "alert"
hosts = ["alert.test"]
on_refusal = "alert"
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "close"
hosts = ["close.test"]
on_refusal = "close"
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""


@dataclass(frozen=True)
class Estate:
    """The shared gate with those who come to it."""

    gate: Gate
    recorder: Recorder
    adopted: Authority
    """A CA from elsewhere whose signature admits; its key is ours to forge with."""
    alice: Identity
    """A client without a role."""
    operator: Identity
    """A client with the role `admin`."""
    folder: Path
    """Where tests may leave files."""


def mark() -> str:
    """A word that no other request holds, by which the recorder finds this one."""
    return f"mark{next(_marks):06d}end"
