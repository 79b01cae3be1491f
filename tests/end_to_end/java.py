"""A real Jetty and a real Tomcat with the servlets of `java/service`, plain HTTP on the loopback address.

Built once: Maven brings the libraries, javac compiles; the result is kept in the user's cache under the hash of its
sources, so that a second run needs neither Maven nor a network.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from end_to_end.process import Running, running

SOURCES = Path(__file__).parent / "java"
MAINS = {"jetty": "JettyMain", "tomcat": "TomcatMain"}


@contextmanager
def container(kind: str, log: Path) -> Iterator[str]:
    """Runs `jetty` or `tomcat` until the block ends; gives its base URL."""
    place = built(kind)
    classpath = f"{place / 'classes'}:{place / 'lib'}/*"
    # Small heaps and one compiler tier: two containers start beside everything else on two cores.
    options = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    with running(kind, ["java", *options, "-cp", classpath, MAINS[kind]], log) as program:
        program.wait_for(lambda: _port(program) is not None, 60)
        yield f"http://127.0.0.1:{_port(program)}"


def missing() -> str | None:
    """What is not installed, of what is needed to build and run them."""
    absent = [tool for tool in ("java", "javac", "mvn") if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)} (scripts/install-test-packages.sh)" if absent else None


def built(kind: str) -> Path:
    """The folder with `classes` and `lib` of `kind`, made now if it is not there."""
    sources = sorted([*(SOURCES / "service").glob("*.java"), *(SOURCES / kind).glob("*")])
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    place = _cache() / f"{kind}-{digest}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        # Built aside and renamed, so that a run that was stopped leaves nothing half made.
        with tempfile.TemporaryDirectory(dir=place.parent) as work:
            _build(kind, Path(work) / "out")
            try:
                (Path(work) / "out").rename(place)
            except OSError:
                if not place.is_dir():  # somebody else may have been faster
                    raise
    return place


def _build(kind: str, out: Path) -> None:
    maven = ["mvn", "-q", "-B", "-f", str(SOURCES / kind / "pom.xml"), "dependency:copy-dependencies"]
    _run([*maven, f"-DoutputDirectory={out / 'lib'}"])
    java = sorted([*(SOURCES / "service").glob("*.java"), *(SOURCES / kind).glob("*.java")])
    _run(["javac", "-d", out / "classes", "-cp", f"{out / 'lib'}/*", *java])


def _run(arguments: Sequence[str | Path]) -> None:
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments[0]} failed:\n{done.stdout}\n{done.stderr}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mutualgate-tests" / "java"


def _port(program: Running) -> int | None:
    found = re.search(r"^LISTENING (\d+)$", program.text(), re.MULTILINE)
    return int(found[1]) if found else None
