#!/usr/bin/env bash
# Installs what the end-to-end tests drive, on Debian and its relatives as root; elsewhere says what is missing.
# Tests whose program is missing skip themselves and say so.
#
#   scripts/install-test-packages.sh            install what can be installed
#   scripts/install-test-packages.sh --check    only look; exit status 1 if something is missing
set -euo pipefail

# program: the Debian packages that bring it; a page without fonts is no page. Nothing here is started as a service.
declare -A PACKAGES=(
  [openssl]=openssl
  [curl]=curl
  [shellcheck]=shellcheck
  [node]=nodejs
  [certutil]=libnss3-tools
  [pk12util]=libnss3-tools
  [chromium]="chromium fonts-liberation"
  [firefox-esr]=firefox-esr
  [apache2]=apache2
  [javac]=default-jdk-headless
  [mvn]=maven
  [psql]=postgresql
  [redis-server]=redis-server
  [redis-cli]=redis-tools
)

missing() {
  local program
  for program in "${!PACKAGES[@]}"; do
    # Servers live in sbin, which not every user's PATH names.
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || echo "$program"
  done | sort
}

absent=$(missing)
if [[ -n $absent && ${1:-} != --check && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  mapfile -t packages < <(for program in $absent; do tr ' ' '\n' <<<"${PACKAGES[$program]}"; done | sort -u)
  echo "installing: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Debian starts services as they are installed, unless this says no (policy-rc.d(8)): the tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get -qq update
  # One by one after a failure, so that what one release lacks does not keep the others out.
  apt-get -qq -y --no-install-recommends install "${packages[@]}" >/dev/null ||
    for package in "${packages[@]}"; do
      apt-get -qq -y --no-install-recommends install "$package" >/dev/null || echo "not to be had: $package"
    done
  absent=$(missing)
fi

if [[ -n $absent ]]; then
  echo "not installed: ${absent//$'\n'/, } (the tests that need them will be skipped)"
  [[ ${1:-} != --check ]] || exit 1
fi
