"""`mutualgate export apache` and `mutualgate import apache`: for those who keep httpd, and those who come from it."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, new_group
from mutualgate.cli.output import emit

if TYPE_CHECKING:
    from mutualgate.apache.export import Authority
    from mutualgate.app import Services

export_app = new_group("Configurations for other servers that use our authorities.")
import_app = new_group("Configurations of other servers, as mutualgate.toml.")


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


def _authorities(services: "Services") -> "list[Authority]":
    from cryptography.hazmat.primitives.serialization import Encoding

    from mutualgate.apache.export import Authority
    from mutualgate.authorities.crl import crl_pem
    from mutualgate.authorities.issuing import certificate_of
    from mutualgate.model import AuthorityKind

    lists = services.authorities.crls()
    url = services.policy.crl_url
    found = []
    for view in services.authorities.list():
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
