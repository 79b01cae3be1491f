"""Apache httpd: event MPM, one child. A proxied request holds a thread, so the child has 64 of them on its one core."""

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

NAME = "apache"
CAPABILITIES = {"A", "A2", "B", "B0", "C", "D", "E100k", "E1M", "F1k", "F10k", "F10k-nohint", "H", "A4"}
NOTES = {"F10k-nohint": "only the root is hinted (SSLCADNRequestFile)"}

MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http")

CONFIG = """
{modules}
ServerRoot {folder}
ServerName localhost
User www-data
Group www-data
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/log
LogLevel warn
Listen 127.0.0.1:{port}
ListenBacklog 4096
ServerLimit 4
StartServers {workers}
ThreadLimit 64
ThreadsPerChild 64
MinSpareThreads 1
MaxSpareThreads 256
MaxRequestWorkers {threads}
AsyncRequestWorkerFactor 200
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 3600
Timeout 3600

SSLEngine on
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLOpenSSLConfCmd Groups X25519
SSLSessionTickets on
SSLSessionCache none
SSLCertificateFile {pki}/server.pem
SSLCertificateKeyFile {pki}/server.key
SSLVerifyClient require
SSLVerifyDepth 2
SSLCACertificateFile {ca}
{more}
{content}
"""


def version() -> str:
    said = subprocess.run(["apache2", "-v"], capture_output=True, text=True).stdout
    found = re.search(r"Apache/(\S+)", said)
    return found[1] if found else ""


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    more = "" if options.hints else f"SSLCADNRequestFile {pki}/root.pem\n"
    if options.crl:
        more += f"SSLCARevocationFile {options.crl}\nSSLCARevocationCheck chain\n"
    content = (
        f"DocumentRoot {options.files}"
        if options.direct
        else f"ProxyPass / http://127.0.0.1:{upstream_port}/ enablereuse=on max=64 ttl=3600"
    )
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES)
    config = folder / "apache.conf"
    config.write_text(
        CONFIG.format(
            modules=modules,
            folder=folder,
            port=port,
            pki=pki,
            ca=options.ca,
            more=more,
            content=content,
            workers=options.workers,
            threads=64 * options.workers,
        )
    )
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            ["apache2", "-DFOREGROUND", "-d", str(folder), "-f", str(config)], stdout=log, stderr=log
        )


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    process.send_signal(signal.SIGUSR1)
