"""Real nginx, Apache httpd and Envoy that ask for a client certificate and tell a service who came.

Each is configured as its own documentation has it, passes everything that it knows of the client in header fields, and
trusts one CA. Knows nothing of the gate.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from end_to_end.forge import Identity
from end_to_end.process import answers, free_port, running

_PATH = f"{os.environ['PATH']}:/usr/sbin"
NGINX = shutil.which("nginx", path=_PATH)
APACHE = shutil.which("apache2", path=_PATH)
SPEAK_HTTP2 = {"nginx": NGINX, "apache2": APACHE}
# Of the benchmark (bench/install.sh), or wherever this says.
ENVOY = os.environ.get("MUTUALGATE_ENVOY") or next(
    (
        str(path)
        for path in Path(__file__).parents[2].glob("bench/work/venv/lib/python3*/site-packages/envoy/_bin/envoy")
    ),
    None,
)

NGINX_FIELDS = {
    "ssl-client-verify": "$ssl_client_verify",
    "ssl-client-subject-dn": "$ssl_client_s_dn",
    "ssl-client-issuer-dn": "$ssl_client_i_dn",
    "ssl-client-serial": "$ssl_client_serial",
    "ssl-client-fingerprint": "$ssl_client_fingerprint",
    "ssl-client-cert": "$ssl_client_escaped_cert",
}
APACHE_FIELDS = [
    "SSL_CLIENT_VERIFY",
    "SSL_CLIENT_M_VERSION",
    "SSL_CLIENT_M_SERIAL",
    "SSL_CLIENT_V_START",
    "SSL_CLIENT_V_END",
    "SSL_CLIENT_S_DN",
    "SSL_CLIENT_I_DN",
    "SSL_CLIENT_S_DN_CN",
    "SSL_CLIENT_I_DN_CN",
    "SSL_CLIENT_SAN_DNS_0",
    "SSL_CLIENT_SAN_DNS_1",
    "SSL_CLIENT_SAN_Email_0",
    "SSL_CLIENT_CERT",
    "SSL_CLIENT_CERT_CHAIN_0",
]

_PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""What nginx keeps files of, each in a folder of its own."""


@contextmanager
def nginx(folder: Path, server: Identity, ca: Path, upstream: str) -> Iterator[int]:
    """Runs nginx until the block ends; gives its port."""
    assert NGINX is not None
    port = free_port()
    fields = "".join(f"proxy_set_header {name} {variable};\n" for name, variable in NGINX_FIELDS.items())
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _PLACES)
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
access_log off;
{places}
server {{
listen 127.0.0.1:{port} ssl;
ssl_certificate {server.certificate};
ssl_certificate_key {server.key};
ssl_verify_client optional;
ssl_client_certificate {ca};
location / {{ proxy_pass {upstream}; {fields} }}
}}
}}
""")
    with running("nginx", [NGINX, "-p", folder, "-c", config], folder / "nginx.log") as program:
        program.wait_for(lambda: answers(port))
        yield port


@contextmanager
def apache(folder: Path, server: Identity, ca: Path, upstream: str) -> Iterator[int]:
    """Runs Apache httpd until the block ends; gives its port."""
    assert APACHE is not None
    port = free_port()
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "headers", "proxy", "proxy_http", "socache_shmcb", "ssl")
    )
    fields = "".join(f'RequestHeader set {name} "%{{{name}}}s"\n' for name in APACHE_FIELDS)
    config = folder / "httpd.conf"
    config.write_text(f"""
ServerRoot {folder}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
SSLEngine on
SSLCertificateFile {server.certificate}
SSLCertificateKeyFile {server.key}
SSLCACertificateFile {ca}
SSLVerifyClient optional
SSLOptions +StdEnvVars +ExportCertData
{fields}
ProxyPass / {upstream}/
""")
    with running("apache2", [APACHE, "-D", "FOREGROUND", "-f", config], folder / "apache.log") as program:
        program.wait_for(lambda: answers(port))
        yield port


@contextmanager
def over_http2(server: str, folder: Path, upstream: str) -> Iterator[str]:
    """Runs one of `SPEAK_HTTP2` until the block ends, in the clear; gives its base URL."""
    program_file = SPEAK_HTTP2[server]
    assert program_file is not None
    port = free_port()
    config = folder / "server.conf"
    if server == "nginx":
        places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _PLACES)
        config.write_text(f"""
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
access_log off;
client_max_body_size 0;
{places}
server {{
listen 127.0.0.1:{port} http2;
location / {{ proxy_pass {upstream}; }}
}}
}}
""")
        arguments: list[str | Path] = ["-p", folder, "-c", config]
    else:
        modules = "".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
            for name in ("mpm_event", "authz_core", "http2", "proxy", "proxy_http")
        )
        config.write_text(f"""
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
Protocols h2c http/1.1
ProxyPass / {upstream}/
""")
        arguments = ["-D", "FOREGROUND", "-f", config]
    with running(server, [program_file, *arguments], folder / "server.log") as program:
        program.wait_for(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"


@contextmanager
def envoy(folder: Path, server: Identity, ca: Path, upstream: str) -> Iterator[int]:
    """Runs Envoy until the block ends; gives its port."""
    assert ENVOY is not None
    port = free_port()
    kind = "type.googleapis.com/envoy.extensions"
    tls = {
        "@type": f"{kind}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(server.certificate)},
                    "private_key": {"filename": str(server.key)},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": str(ca)}},
        },
    }
    router = {"@type": f"{kind}.filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "service"}}
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {
            "subject": True, "cert": True, "chain": True, "dns": True, "uri": True
        },
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }  # fmt: skip
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    cluster = {
        "name": "service",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(int(upstream.rsplit(":", 1)[1]))}}]}],
        },
    }
    config = folder / "envoy.json"
    listener = {"name": "front", "address": _address(port), "filter_chains": [chain]}
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    command = [ENVOY, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    with running("envoy", command, folder / "envoy.log") as program:
        program.wait_for(lambda: answers(port))
        yield port


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
