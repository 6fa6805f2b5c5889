#!/bin/sh
# Make a Debian with systemd and the exporter as its service, in a folder: as root on Debian.
#   scripts/machine.sh FOLDER
#
# FOLDER/root is installed as docs/deployment.md says; tests/extended/service.py boots it.
set -eu

mkdir -p "$1"
folder=$(cd "$1" && pwd)
root=$folder/root
home=/opt/oidc-issuer-exporter

if [ ! -e "$folder/.made" ]; then
    echo "Making a Debian with systemd, which takes minutes the first time" >&2
    rm -rf "$root"
    # Certificates as this machine has them: what is downloaded may come through a proxy.
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3-venv,systemd \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
        bookworm "$root"
    touch "$folder/.made"
fi

cp /etc/resolv.conf "$root/etc/resolv.conf"
[ ! -r /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
cp requirements.lock "$root/tmp/requirements.lock"
rm -f "$root"/tmp/*.whl
# shellcheck disable=SC2046 # two names without spaces
set -- $(sh scripts/dist.sh .venv/bin/python "$folder/dist")
cp "$2" "$root/tmp"

run() { chroot "$root" env -i PATH=/usr/bin:/bin LANG=C.UTF-8 "$@"; }
[ -x "$root$home/bin/pip" ] || run python3 -m venv "$home"
if ! cmp -s requirements.lock "$folder/installed.lock"; then
    run "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        --requirement /tmp/requirements.lock
    cp requirements.lock "$folder/installed.lock"
fi
run "$home/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps \
    --force-reinstall "/tmp/$(basename "$2")"

units=$root/etc/systemd/system
rm -rf "$units"/oidc-issuer-exporter.* "$units"/*.wants/oidc-issuer-exporter.*
cp deploy/systemd/oidc-issuer-exporter.service deploy/systemd/oidc-issuer-exporter.socket "$units"
cp deploy/systemd/oidc-issuer-exporter.default "$root/etc/default/oidc-issuer-exporter"
mkdir -p "$root/etc/oidc-issuer-exporter"
