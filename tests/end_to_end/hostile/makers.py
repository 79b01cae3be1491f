"""Makes certificates with the programs that others use: openssl, Java's keytool, and Go's crypto/x509.

What they make is read by them alone, so that no mistake of ours agrees with itself. Knows files and programs; does not
know what is hostile about a wish.
"""

import base64
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from end_to_end.forge import Authority, Identity, PrivateKey, now

GO_SOURCE = Path(__file__).parent / "go"
PASSWORD = "changeit"
P256 = "EC -pkeyopt ec_paramgen_curve:P-256"
CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
_numbers = count(1)


def missing(by: str) -> str | None:
    """Why nothing can be made by this program here, if nothing can."""
    if by == "keytool" and shutil.which("keytool") is None:
        return "not installed: keytool (scripts/install-test-packages.sh)"
    if by == "go" and shutil.which("go") is None and not _go_program().exists():
        return "not installed: go"
    return None


# --- openssl ---


def openssl_ca(
    folder: Path,
    subject: str,
    issuer: Authority | None = None,
    *,
    key: str = P256,
    extensions: Sequence[str] = CA,
    digest: str = "sha256",
    days: int = 365,
    begin: str = "",
    end: str = "",
) -> Authority:
    """A CA as `openssl ca` and `openssl req -x509` make it. `begin` and `end`: YYYYMMDDHHMMSSZ, instead of `days`."""
    identity = _openssl(folder, subject, issuer, key, extensions, digest, days, begin, end, "")
    return authority(identity)


def openssl_leaf(
    folder: Path,
    subject: str,
    issuer: Authority | None,
    *extensions: str,
    key: str = P256,
    digest: str = "sha256",
    days: int = 30,
    begin: str = "",
    end: str = "",
    serial: str = "",
    v1: bool = False,
    chain: Sequence[Path] = (),
) -> Identity:
    """A leaf with the `extensions` of OpenSSL's configuration, sending `chain`; `issuer` None: self-signed."""
    wanted = () if v1 else ("basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth", *extensions)
    names = {one.partition("=")[0]: one for one in wanted}  # what is given replaces what is usual
    identity = _openssl(folder, subject, issuer, key, tuple(names.values()), digest, days, begin, end, serial)
    return sending(identity, *chain)


def _openssl(
    folder: Path,
    subject: str,
    issuer: Authority | None,
    key: str,
    extensions: Sequence[str],
    digest: str,
    days: int,
    begin: str,
    end: str,
    serial: str,
) -> Identity:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"openssl-{next(_numbers)}"
    certificate, private, request = stem.with_suffix(".pem"), stem.with_suffix(".key"), stem.with_suffix(".csr")
    run("openssl", "genpkey", "-algorithm", *key.split(), "-out", private)
    run("openssl", "req", "-new", "-key", private, "-subj", subject, "-utf8", "-multivalue-rdn", "-out", request)
    settings = stem.with_suffix(".cnf")
    lines = [one.replace("=", " = ", 1) for one in extensions]
    (stem.parent / f"{stem.name}.index").touch()
    (stem.parent / f"{stem.name}.serial").write_text(f"{serial or os.urandom(16).hex()}\n")
    settings.write_text(
        "[ca]\ndefault_ca = this\n[this]\n"
        f"database = {stem}.index\nserial = {stem}.serial\nnew_certs_dir = {folder}\npolicy = any\n"
        "email_in_dn = yes\nunique_subject = no\n"
        "[any]\ncountryName = optional\norganizationName = optional\norganizationalUnitName = optional\n"
        "commonName = optional\nemailAddress = optional\norganizationIdentifier = optional\n"
        "[extensions]\n" + "\n".join(lines) + "\n"
    )
    signer: list[str | Path] = ["-selfsign", "-keyfile", private] if issuer is None else []
    if issuer is not None:
        signer = ["-cert", issuer.certificate_file, "-keyfile", issuer.key_file]
    when = ["-startdate", begin, "-enddate", end] if end else ["-days", str(days)]
    what = ["-extensions", "extensions"] if extensions else []
    run(
        *("openssl", "ca", "-batch", "-notext", "-preserveDN", "-config", settings, "-md", digest),
        *(*signer, *when, *what, "-in", request, "-out", certificate),
    )
    return Identity(certificate, private)


def openssl_self_signed(folder: Path, subject: str, *, days: int = 1_000) -> Identity:
    """What `openssl req -x509` makes of itself: a leaf that says that it is a CA."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"openssl-{next(_numbers)}"
    made = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", subject, "-days", str(days)),
        *("-keyout", made.key, "-out", made.certificate),
    )
    return made


def openssl_csr(folder: Path, subject: str, *extensions: str, key: str = P256) -> Path:
    """A CSR that asks for `extensions`; its key lies beside it, as `.key`."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"openssl-{next(_numbers)}"
    private, settings, request = stem.with_suffix(".key"), stem.with_suffix(".cnf"), stem.with_suffix(".csr")
    run("openssl", "genpkey", "-algorithm", *key.split(), "-out", private)
    wishes = "\n".join(one.replace("=", " = ", 1) for one in extensions)
    settings.write_text(f"[req]\ndistinguished_name = name\n[name]\n[extensions]\n{wishes}\n")
    asked = ["-reqexts", "extensions"] if extensions else []
    run("openssl", "req", "-new", "-config", settings, *asked, "-key", private, "-subj", subject, "-out", request)
    return request


def openssl_crl(
    folder: Path,
    issuer: Authority,
    *serials: str,
    number: str = "05",
    digest: str = "sha256",
    begin_hours: float = -1,
    extensions: Sequence[str] = (),
) -> Path:
    """A CRL for a week with the `serials` (hex), as `openssl ca -gencrl` makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"openssl-{next(_numbers)}"
    begin = now() + timedelta(hours=begin_hours)
    moment = f"{begin:%Y%m%d%H%M%SZ}"
    dates = f"{begin + timedelta(days=300):%y%m%d%H%M%SZ}\t{begin:%y%m%d%H%M%SZ}"
    lines = [f"R\t{dates}\t{one}\tunknown\t/CN=x" for one in serials]
    (folder / f"{stem.name}.index").write_text("".join(f"{line}\n" for line in lines))
    (folder / f"{stem.name}.number").write_text(f"{number}\n")
    wanted = ("authorityKeyIdentifier=keyid", *extensions)
    stem.with_suffix(".cnf").write_text(
        f"[ca]\ndefault_ca = this\n[this]\ndatabase = {stem}.index\ncrlnumber = {stem}.number\n"
        "crl_extensions = crl\n[crl]\n" + "".join(f"{one.replace('=', ' = ', 1)}\n" for one in wanted)
    )
    run(
        *("openssl", "ca", "-gencrl", "-config", stem.with_suffix(".cnf"), "-md", digest, "-out", f"{stem}.crl"),
        *("-cert", issuer.certificate_file, "-keyfile", issuer.key_file),
        *("-crl_lastupdate", moment, "-crl_nextupdate", f"{begin + timedelta(days=7):%Y%m%d%H%M%SZ}"),
    )
    return Path(f"{stem}.crl")


# --- keytool ---


def keytool_leaf(
    folder: Path,
    subject: str,
    issuer: Authority | None,
    *extensions: str,
    key: str = "EC -groupname secp256r1",
    algorithm: str = "",
    begin: str = "-1d",
    days: int = 30,
    chain: Sequence[Path] = (),
) -> Identity:
    """A leaf as keytool makes it, `extensions` in its words (`san=dns:x`, `eku=serverAuth`, `bc=ca:true`)."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"keytool-{next(_numbers)}"
    store = ["-keystore", f"{stem}.p12", "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "leaf"]
    asked = [part for one in extensions for part in ("-ext", one)]
    sign = ["-sigalg", algorithm] if algorithm else []
    when = ["-startdate", begin, "-validity", str(days)]
    run("keytool", "-genkeypair", *store, "-keyalg", *key.split(), *sign, "-dname", subject, *when, *asked)
    certificate = Path(f"{stem}.pem")
    if issuer is None:
        run("keytool", "-exportcert", "-rfc", *store, "-file", certificate)
    else:
        above = Path(f"{stem}-issuer.p12")
        run(
            *("openssl", "pkcs12", "-export", "-inkey", issuer.key_file, "-in", issuer.certificate_file),
            *("-name", "ca", "-passout", f"pass:{PASSWORD}", "-out", above),
        )
        run("keytool", "-certreq", *store, "-file", f"{stem}.csr")
        run(
            *("keytool", "-gencert", "-rfc", "-keystore", above, "-storepass", PASSWORD, "-alias", "ca"),
            *sign,
            *when,
            *asked,
            *("-infile", f"{stem}.csr", "-outfile", certificate),
        )
    private = Path(f"{stem}.key")
    key_pem = run("openssl", "pkcs12", "-in", f"{stem}.p12", "-nocerts", "-noenc", "-passin", f"pass:{PASSWORD}")
    private.write_bytes(key_pem)
    first = certificate.read_bytes().partition(b"-----END CERTIFICATE-----")
    certificate.write_bytes(first[0] + first[1] + b"\n")
    return sending(Identity(certificate, private), *chain)


def keytool_csr(folder: Path, subject: str, *extensions: str, key: str = "EC -groupname secp256r1") -> Path:
    """A CSR as keytool makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"keytool-{next(_numbers)}"
    store = ["-keystore", f"{stem}.p12", "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "leaf"]
    asked = [part for one in extensions for part in ("-ext", one)]
    run("keytool", "-genkeypair", *store, "-keyalg", *key.split(), "-dname", subject, "-validity", "30")
    run("keytool", "-certreq", *store, *asked, "-file", f"{stem}.csr")
    return Path(f"{stem}.csr")


# --- Go ---


def go(
    folder: Path,
    common_name: str,
    issuer: Authority | None,
    *,
    chain: Sequence[Path] = (),
    begin_hours: float = -24,
    end_hours: float = 24 * 30,
    usages: Sequence[str] = ("client",),
    subject_key: bytes = b"",
    **wish: Any,
) -> Identity:
    """A certificate as crypto/x509 makes it; `wish` has the other fields of `Wish` in `go/main.go`."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"go-{next(_numbers)}"
    made = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    wish |= {
        "common_name": common_name,
        "usages": list(usages),
        "begin_hours": begin_hours,
        "end_hours": end_hours,
        "chain": [str(file) for file in chain],
        "out": str(made.certificate),
        "out_key": str(made.key),
    }
    if subject_key:
        wish["subject_key"] = base64.b64encode(subject_key).decode()
    if issuer is not None:
        wish |= {"issuer_certificate": str(issuer.certificate_file), "issuer_key": str(issuer.key_file)}
    # Go refuses to make RSA keys below 1024 bits unless told that it is for a test.
    run(_go(), stdin=json.dumps(wish).encode(), environment={"GODEBUG": "rsa1024min=0"})
    return made


def go_ca(folder: Path, common_name: str, issuer: Authority | None = None, **wish: Any) -> Authority:
    """A CA as crypto/x509 makes it."""
    return authority(go(folder, common_name, issuer, **{"ca": True, "usages": (), "end_hours": 24 * 365, **wish}))


@functools.cache
def _go() -> Path:
    """The program of `go/main.go`, built once and kept under the hash of its source."""
    place = _go_program()
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as work:
            # The toolchain that is there is the one to take: a test fetches nothing.
            environment = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", "GOWORK": "off"}
            run("go", "build", "-o", Path(work) / "hostile", ".", folder=GO_SOURCE, environment=environment)
            (Path(work) / "hostile").replace(place)
    return place


def _go_program() -> Path:
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(GO_SOURCE.iterdir()))).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mutualgate-tests" / "go" / f"hostile-{digest}"


# --- for all of them ---


def authority(identity: Identity) -> Authority:
    """A CA that one of the programs made, for the next certificate."""
    key = load_pem_private_key(identity.key.read_bytes(), None)
    assert isinstance(key, PrivateKey)
    return Authority(identity.leaf(), key, identity.certificate, identity.key)


def sending(identity: Identity, *more: Path) -> Identity:
    """The same, sending the certificates of the files `more` after its own."""
    if more:
        with identity.certificate.open("ab") as file:
            for one in more:
                file.write(one.read_bytes())
    return identity


def fingerprint(path: Path) -> str:
    """The hash of the first certificate in a file, as openssl prints it."""
    said = run("openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256").decode()
    return said.partition("=")[2].strip().replace(":", "").lower()


def serial(path: Path) -> str:
    """The serial number of the first certificate in a file, in whole octets, as openssl's index has it."""
    return run("openssl", "x509", "-in", path, "-noout", "-serial").decode().partition("=")[2].strip()


def run(
    *command: str | Path,
    stdin: bytes | None = None,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> bytes:
    """Runs a program to its end; what it printed. It has to work."""
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        cwd=folder,
        timeout=100,
        env={**os.environ, **(environment or {})},
    )
    said = f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}"
    assert done.returncode == 0, f"{' '.join(str(part) for part in command)}:\n{said}"
    return done.stdout
