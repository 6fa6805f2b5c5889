#!/bin/sh
# See that commands are there; install the Debian packages of those that are not.
#   scripts/packages.sh PACKAGE:COMMAND ...      an empty COMMAND is never there
# Root on a machine with apt-get gets them installed; anybody else is told what to do.
set -eu
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps daemons, and where only root looks

missing=
for item in "$@"; do
    command -v "${item#*:}" >/dev/null 2>&1 && continue
    case "$missing " in
        *" ${item%%:*} "*) ;; # a package may hold several
        *) missing="$missing ${item%%:*}" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing here:$missing" >&2
    echo "On Debian or Ubuntu: sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# Debian starts a daemon as soon as it is installed. These are wanted as tools only, and
# policy-rc.d is how the package is told so; one that is there already knows better.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086 # one word a package
    apt-get install --yes -qq --no-install-recommends $missing >&2
}
echo "Installing$missing" >&2
# A list of packages that somebody else broke is no reason to give up.
install 2>/dev/null || { apt-get update -qq || true; install; }
