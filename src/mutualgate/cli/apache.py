"""`mutualgate export apache` and `mutualgate import apache`: for those who keep httpd, and those who come from it."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from mutualgate.cli.files import refuse_existing, write_file
from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, goes_with
from mutualgate.cli.output import DONE, NO, emit, plain

if TYPE_CHECKING:
    from mutualgate.apache.export import Authority
    from mutualgate.app import Services

export_app = Group("Configurations for other servers that use our authorities.")
import_app = Group("Configurations of other servers, as mutualgate.toml.")


@export_app.command("apache")
def export_apache(
    upstream: Annotated[str, typer.Option(help="The service behind httpd, http://host:port.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    listen: Annotated[str, typer.Option(help="Where httpd listens: PORT or ADDRESS:PORT.")] = "443",
    host: Annotated[
        list[str] | None, typer.Option(help="A host name; several times. By default the first site's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Write a complete, commented httpd configuration that admits our clients, and the files that it names.

    Example: mutualgate export apache --upstream http://127.0.0.1:8080 --out httpd/
    """
    from mutualgate.apache.export import Input, export
    from mutualgate.apache.write import installed, write
    from mutualgate.app import Folder, services

    program, modules = installed()
    with services(Folder(dir)) as all_of_it:
        site = all_of_it.config.sites[0]
        hosts = tuple(host or site.hosts)
        certificate = all_of_it.authorities.server_certificate(f"apache {','.join(hosts)}", hosts)
        what = Input(
            upstream=upstream,
            directory=PurePosixPath(out.resolve()),
            hosts=hosts,
            server_certificate_pem=certificate.chain_pem,
            server_key_pem=certificate.key_pem,
            authorities=tuple(_authorities(all_of_it)),
            listen=listen,
            modules_dir=modules,
            program=program,
        )
    written = write(export(what), out, force=force)
    files = [str(path) for path in written]
    text = "\n".join(
        [*files, "", f"Start it: {program} -d {out.resolve()} -f httpd.conf -D FOREGROUND; see README.txt there."]
    )
    emit({"files": files}, text, json)


@import_app.command("apache")
def import_apache(
    file: Annotated[Path, typer.Argument(help="The configuration with the virtual host.")],
    out: Annotated[Path | None, typer.Option(help="The mutualgate.toml to write; without it, it is printed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json: Json = False,
) -> int:
    """Read an httpd virtual host and write the mutualgate.toml that does the same, and say what it does not.

    Exit status 1: something could not be carried over.

    Example: mutualgate import apache /etc/apache2/sites-enabled/app.conf --out mutualgate.toml
    """
    from mutualgate.apache.import_ import import_file

    goes_with("--out", out is not None, "--force")
    if out is not None:
        refuse_existing(out, force)
    imported = import_file(file)
    if out is not None:
        write_file(out, imported.toml.encode(), force=force)
    left = [
        {"file": one.file, "line": one.line, "directive": one.directive, "why": one.why, "do": one.do}
        for one in imported.left
    ]
    lines = [imported.toml] if out is None else [f"{out} is written. It does this:"]
    lines += [f"# {sentence}" if out is None else f"  {plain(sentence)}" for sentence in imported.carried]
    if imported.commands:
        lines += ["", "Run as well:", *(f"  {command}" for command in imported.commands)]
    if imported.left:
        lines += ["", "Not carried over:"]
        lines += [f"  {plain(f'{o.file}:{o.line}: {o.directive}: {o.why}. {o.do}')}" for o in imported.left]
    facts = {
        "toml": imported.toml,
        "carried": list(imported.carried),
        "left": left,
        "commands": list(imported.commands),
        "file": None if out is None else str(out),
    }
    emit(facts, "\n".join(lines), json)
    return NO if imported.left else DONE


def _authorities(services: "Services") -> "list[Authority]":
    from cryptography.hazmat.primitives.serialization import Encoding

    from mutualgate.apache.export import Authority
    from mutualgate.authorities.crl import crl_pem
    from mutualgate.authorities.issuing import certificate_of
    from mutualgate.authorities.overview import views
    from mutualgate.model.authority import AuthorityKind

    lists = services.authorities.crls()
    url = services.policy.crl_url
    found = []
    for view in views(services.store):
        one = view.authority
        crl = lists.get(one.name)
        found.append(
            Authority(
                name=str(one.name),
                certificate_pem=certificate_of(one).public_bytes(Encoding.PEM),
                issues_clients=one.kind is not AuthorityKind.ROOT,
                crl_pem=None if crl is None else crl_pem(crl.der),
                crl_url=None if crl is None or url is None else f"{url}/{one.name}.crl",
            )
        )
    return found
