#!/bin/sh
# Build deploy/docker/Dockerfile without a registry and without Docker: as root on a Debian.
#   scripts/image.sh FOLDER
#
# The base is a Debian of its own making, with what the Dockerfile asks of a base and no
# more. Everything stays in FOLDER; FOLDER/root is where the image is mounted, until
# `scripts/image.sh FOLDER end`, and FOLDER/image.json is its configuration.
set -eu

mkdir -p "$1"
folder=$(cd "$1" && pwd)
suite=trixie

buildah() {
    # Neither overlays nor namespaces are to be had everywhere: this works in a container.
    command buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"
}

end() {
    rm -f "$folder/root"
    buildah rm --all >/dev/null
}

if [ "${2:-}" = end ]; then
    end
    exit
fi

if [ ! -s "$folder/base-$suite.tar" ]; then
    echo "Making a base of Debian $suite, which takes minutes the first time" >&2
    # Certificates as this machine has them: what is downloaded may come through a proxy.
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3-venv \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
        "$suite" "$folder/base.tar"
    mv "$folder/base.tar" "$folder/base-$suite.tar"
fi
if ! buildah inspect --type image "localhost/base:$suite" >/dev/null 2>&1; then
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder/base-$suite.tar" / >/dev/null
    buildah commit --quiet --rm "$container" "localhost/base:$suite" >/dev/null
fi

secret=
if [ -r /etc/pip.conf ]; then
    secret=--secret=id=pip,src=/etc/pip.conf
fi
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' exporter/__init__.py)
end
# HEALTHCHECK is of Docker's format alone.
# shellcheck disable=SC2086 # one word, or none
buildah bud --quiet --isolation chroot --format docker --pull-never $secret \
    --build-arg "BASE=localhost/base:$suite" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD)" \
    --file deploy/docker/Dockerfile --tag localhost/oidc-issuer-exporter . >/dev/null
# What no tag names any more is the image before this one.
buildah rmi --prune >/dev/null 2>&1 || true
container=$(buildah from --pull-never localhost/oidc-issuer-exporter)
ln -s "$(buildah mount "$container")" "$folder/root"
buildah inspect --type image localhost/oidc-issuer-exporter >"$folder/image.json"
