"""`mutualgate check`: is the configuration right, before it takes effect?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import NO, emit, plain
from mutualgate.counts import counted
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from mutualgate.config import Problem


def check(
    file: Annotated[Path | None, typer.Argument(help="The file; by default mutualgate.toml of --dir.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Check mutualgate.toml: every problem with its file, line and key. Exit status 1: there is one.

    A site's certificate that ends within 30 days, or is not for one of its hosts, is no problem but a warning.

    Example: mutualgate check new.toml
    """
    from mutualgate.app import Folder
    from mutualgate.app.certificate_checks import certificates_last, certificates_serve
    from mutualgate.app.checks import certificates_fit, clients_exist, fields_fit, files_fit, logs_fit
    from mutualgate.app.upstream_tls import upstreams_fit
    from mutualgate.clock import system_clock
    from mutualgate.config import load, problems

    folder = Folder(dir)
    wanted = folder.config if file is None else file
    if not _is_there(wanted) and (file is not None or not folder.exists()):
        raise BadInput("there is no such file", where=str(wanted), expected="a mutualgate.toml")
    now = system_clock()
    fit = (certificates_fit, certificates_last(now), fields_fit, upstreams_fit, files_fit, logs_fit)
    asked = (*fit, clients_exist(folder))
    wrong = problems(wanted, *asked)
    odd = [] if wrong else problems(wanted, certificates_serve(now))
    facts: dict[str, Any] = {
        "valid": not wrong,
        "problems": [_facts(one) for one in wrong],
        "warnings": [_facts(one) for one in odd],
    }
    if wrong:
        emit(facts, "\n".join(plain(problem) for problem in wrong), json)
        return NO
    config = load(wanted)
    routes = sum(len(site.routes) for site in config.sites)
    lines = [f"{wanted} is right: {counted(len(config.sites), 'site')}, {counted(routes, 'route')}."]
    lines += [f"warning: {plain(one)}" for one in odd]
    emit({**facts, "sites": [site.name for site in config.sites], "routes": routes}, "\n".join(lines), json)
    return 0


def _facts(problem: "Problem") -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "problem": problem.problem,
        "expected": problem.expected,
        "fix": problem.fix,
        "nearest": problem.nearest,
    }


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path), expected="a mutualgate.toml") from error
    return True
