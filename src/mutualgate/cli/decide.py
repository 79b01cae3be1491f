"""`mutualgate decide`: asks the judge, without a gate."""

import codecs
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mutualgate.cli.files import read_file, standard_input
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, goes_with
from mutualgate.cli.output import NO, emit, plain
from mutualgate.errors import BadInput

_LINE_BYTES = 16 << 20
"""A question of `--batch`: certificates and lists in PEM."""


def decide(
    cert: Annotated[
        Path | None, typer.Option("--cert", help="The chain, PEM or DER, leaf first; `-` for stdin.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Ask for a request to this host, not for the certificate alone.")
    ] = None,
    path: Annotated[str, typer.Option(help="The request's path, with --host.")] = "/",
    at: Annotated[
        str | None, typer.Option(help="At this time, ISO 8601 (2027-01-31T12:00:00Z), instead of now.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Answer JSON lines from standard input.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Ask the judge whether a certificate would be admitted, and why not. Exit status 1: refused.

    Examples:
    mutualgate decide --cert client.pem
    mutualgate decide --cert client.pem --host localhost --path /orders --at 2027-06-01T00:00:00Z
    mutualgate decide --batch < questions.jsonl
    """
    goes_with("--cert", cert is not None, "--host", "--at")
    goes_with("--host", host is not None, "--path")
    if (cert is None) != batch:
        raise typer.BadParameter("give either --cert FILE or --batch")
    if cert is None:
        return _batch()
    return _one(cert, host, path, at, dir, json)


def _one(cert: Path, host: str | None, path: str, at: str | None, dir: Path, as_json: bool) -> int:
    from mutualgate.app import Folder, services
    from mutualgate.app.judging import judge_of
    from mutualgate.reading.files import certificates_in

    # As they are: whether they can be read is the judge's word.
    chain = certificates_in(read_file(cert), str(cert))
    with services(Folder(dir)) as all_of_it:
        now = all_of_it.clock() if at is None else _time(at)
        # Who a certificate is stands in the store; with mutualgate.toml broken, that is asked for all the more.
        judge = judge_of(all_of_it, chain, with_sites=host is not None)
        seconds = int(now.timestamp())
        verdict = judge.decide(chain, seconds) if host is None else judge.authorize(chain, seconds, host, path)
    facts: dict[str, Any] = {
        "verdict": "admitted" if verdict.admitted else "refused",
        "reason": verdict.reason,
        "detail": verdict.detail,
        "fix": verdict.fix,
        "certificate": verdict.certificate,
        "client": verdict.client_name,
        "client_id": verdict.client_id,
        "roles": verdict.roles,
        "authority": verdict.authority,
        "route": verdict.route,
        "at": now.isoformat(),
    }
    if not verdict.admitted:
        emit(facts, f"refused: {verdict.reason}\n{plain(verdict.detail)}\nIts holder is told: {verdict.fix}", as_json)
        return NO
    if verdict.client_name is None:
        text = f"passes without a certificate, by the route {verdict.route}"
    else:
        roles = ", ".join(verdict.roles) or "none"
        text = f"admitted: {plain(verdict.client_name)} (client {verdict.client_id}), roles: {roles}"
        text += f", vouched for by {verdict.authority}" + (f", by the route {verdict.route}" if verdict.route else "")
    emit(facts, text, as_json)
    return 0


def _batch() -> int:
    from mutualgate.gate import decide_batch

    source, sink = standard_input(), sys.stdout.buffer
    mark = codecs.BOM_UTF8  # editors put it in front of the first
    while line := source.readline(_LINE_BYTES):
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            raise BadInput("a line is too long", where="standard input", expected=f"at most {_LINE_BYTES:,} bytes")
        line, mark = line.removeprefix(mark), b""
        if line.strip():
            sink.write(decide_batch(line) + b"\n")
            sink.flush()
    return 0


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is no time", where="--at", expected="ISO 8601, for example 2027-01-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
