# shellcheck shell=bash
# What scripts/databases and scripts/cluster have in common: getting database servers, and running them. Sourced by both.

say() { printf '%s\n' "databases: $*" >&2; }
die() { say "$*"; exit 1; }

# Debian keeps servers out of the PATH of users.
PATH="$PATH:/usr/sbin"

# The directory that holds the programs of PostgreSQL's newest version; Debian keeps it out of PATH.
postgres_programs() {
    local newest
    newest="$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)"
    [ -n "$newest" ] || newest="$(command -v initdb || true)"
    [ -n "$newest" ] && dirname "$newest"
}

# need PACKAGE CHECK...: installs the Debian package unless the command CHECK succeeds.
need() {
    local package="$1"
    shift
    "$@" >/dev/null && return
    command -v apt-get >/dev/null || die "$package is missing: install it (Debian names the package so)"
    [ "$(id -u)" -eq 0 ] || die "the package $package is missing, and only root can install it: sudo apt-get install $package"
    say "installing the Debian package $package"
    # The package would start a server for the whole machine: it is told not to. In a shell of its own, which takes that back
    # whatever ends it, and leaves the caller's traps alone.
    (
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            trap 'exit 130' INT
            trap 'exit 143' HUP TERM
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        fi &&
            apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package"
    ) >&2 || die "the package $package could not be installed: apt-get says why above"
    "$@" >/dev/null || die "the package $package is installed, and its programs are not to be found"
}

# No server runs as root: as root, each runs as the user that its package made. Becomes the command: its process is this one.
become() {
    local user="$1"
    shift
    cd /
    if [ "$(id -u)" -eq 0 ]; then exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"; else exec "$@"; fi
}

# give USER DIR: an empty directory of USER's, and nobody else's.
give() {
    mkdir --mode=700 "$2"
    [ "$(id -u)" -ne 0 ] || chown "$1:" "$2"
}

# free_ports COUNT: as many ports of 127.0.0.1 that nobody listens on, one a line. The kernel gives out none of these by itself, so
# that nobody takes one while its server restarts.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys
wanted = int(sys.argv[1])
for port in random.sample(range(10_000, 20_000), 10_000):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    wanted -= 1
    if not wanted:
        break
else:
    sys.exit("of the ports 10000 to 19999 too few are free")
PYTHON
}
