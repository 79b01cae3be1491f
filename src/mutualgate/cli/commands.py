"""All commands, by name. Their modules import services only when they run, so that `--help` is quick."""

import typer

from mutualgate import __version__
from mutualgate.cli import (
    apache,
    audit,
    authorities,
    bulk,
    check,
    clients,
    decide,
    enrol,
    expiry,
    invitations,
    notices,
    partners,
    pins,
    refusals,
    restart,
    status,
    systemd,
    token_keys,
    trust,
    up,
    upstreams,
)

app = typer.Typer(
    name="mutualgate",
    help="Puts any web service behind mutual TLS, and says in plain words who is let in and why.",
    epilog="Exit status: 0 done, 1 the answer is no, 2 wrong use or bad input.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("up")(up.up)
app.command("restart")(restart.restart)
app.command("systemd-unit")(systemd.systemd_unit)
app.command("status")(status.status)
app.command("check")(check.check)
app.command("decide")(decide.decide)
app.command("invite")(invitations.invite)
app.command("explain")(refusals.explain)
app.command("enrol")(enrol.enrol)
clients.app.command("import")(bulk.import_)
app.command("approve")(trust.approve)
app.add_typer(clients.app, name="client")
app.add_typer(invitations.app, name="invitation")
app.add_typer(authorities.app, name="ca")
app.add_typer(token_keys.app, name="token-key")
app.add_typer(pins.app, name="pin")
app.add_typer(partners.app, name="partner")
app.add_typer(trust.app, name="trust")
app.add_typer(apache.export_app, name="export")
app.add_typer(apache.import_app, name="import")
app.add_typer(audit.app, name="audit")
app.command("expiring")(expiry.expiring)
app.add_typer(notices.app, name="notices")
app.add_typer(upstreams.app, name="upstream")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mutualgate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """What holds for every command."""
