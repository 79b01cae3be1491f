"""All commands, by name. Each is imported when it is called, and imports services only when it runs."""

import typer

from mutualgate import __version__
from mutualgate.cli.group import Group

app = Group(
    "Puts any web service behind mutual TLS, and says in plain words who is let in and why.",
    {
        "up": "up:up",
        "restart": "restart:restart",
        "shell": "shell:shell",
        "standby": "standby:standby",
        "systemd-unit": "systemd:systemd_unit",
        "status": "status:status",
        "check": "check:check",
        "decide": "decide:decide",
        "invite": "invitations:invite",
        "explain": "refusals:explain",
        "enrol": "enrol:enrol",
        "approve": "trust:approve",
        "expiring": "expiry:expiring",
        "client": "clients:app",
        "invitation": "invitations:app",
        "ca": "authorities:app",
        "token-key": "token_keys:app",
        "pin": "pins:app",
        "partner": "partners:app",
        "trust": "trust:app",
        "export": "apache:export_app",
        "import": "apache:import_app",
        "audit": "audit:app",
        "notices": "notices:app",
        "upstream": "upstreams:app",
    },
    name="mutualgate",
    epilog="Exit status: 0 done, 1 the answer is no, 2 wrong use or bad input.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mutualgate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """What holds for every command."""
