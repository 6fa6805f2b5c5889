#!/bin/sh
# Check the systemd units: that they are understood to the last word, and that the service is
# hardened. systemd itself need not run.
#   scripts/units.sh
set -eu

units=deploy/systemd
name=oidc-issuer-exporter
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A machine of units and a program's name: `verify` wants to see all that a unit refers to.
mkdir -p "$work/etc/systemd/system" "$work/opt/$name/bin"
cp -R "$units/$name.service" "$units/$name.socket" "$work/etc/systemd/system"
for unit in basic multi-user network-online shutdown sockets sysinit; do
    printf '[Unit]\nDescription=%s\n' "$unit" >"$work/etc/systemd/system/$unit.target"
done
for program in "$name" python; do
    printf '#!/bin/sh\n' >"$work/opt/$name/bin/$program"
    chmod +x "$work/opt/$name/bin/$program"
done

# The service as it is, and with its drop-in. Words that systemd does not know are warnings
# to it: here they are faults.
verify() {
    said=$(systemd-analyze verify --root="$work" --recursive-errors=yes \
        "$name.service" "$name.socket" 2>&1) || {
        echo "$said" >&2
        exit 1
    }
    if [ -n "$said" ]; then
        echo "$said" >&2
        exit 1
    fi
}
verify
cp -R "$units/$name.service.d" "$work/etc/systemd/system"
verify

# Of 10.0, which Debian's own exporters come near to.
if ! report=$(systemd-analyze security --offline=true --no-pager --threshold=15 \
    "$units/$name.service" 2>&1); then
    echo "$report" >&2
    exit 1
fi
echo "$report" | tail -n 1
