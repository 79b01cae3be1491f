#!/usr/bin/env bash
# Installs the peers and builds the load generator. Debian, as root where something is missing; safe to run again.
set -euo pipefail
cd "$(dirname "$0")"

missing=""
for program in nginx haproxy apache2 gcc make openssl; do
    command -v "$program" >/dev/null 2>&1 || PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing="$missing $program"
done
[ -e /usr/include/openssl/ssl.h ] || missing="$missing libssl-dev"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "bench/install.sh: missing:$missing. Run it once as root, or install them." >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends nginx-light haproxy apache2 gcc make libc6-dev libssl-dev openssl >/dev/null
    # The packages start their services; ours are started by run.py.
    for service in nginx haproxy apache2; do service "$service" stop >/dev/null 2>&1 || true; done
fi

[ -x work/venv/bin/python ] || python3 -m venv work/venv
work/venv/bin/pip install -q --disable-pip-version-check -r requirements.txt
make -s -C load
PATH="$PATH:/usr/sbin"
echo "bench: nginx $(nginx -v 2>&1 | cut -d/ -f2), HAProxy $(haproxy -v | head -1 | cut -d' ' -f3)," \
     "Apache $(apache2 -v | sed -n '1s|.*Apache/\([^ ]*\).*|\1|p')"
