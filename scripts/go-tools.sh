#!/bin/sh
# Build the programs in Go that `make check-extended` runs, unless they are there.
#   scripts/go-tools.sh FOLDER
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)

if ! command -v go >/dev/null 2>&1; then
    echo "There is no go here. On Debian or Ubuntu: sudo apt-get install golang-go" >&2
    exit 1
fi

# build PROGRAM MODULE VERSION SUM [go build's options]
#
# `go install` refuses modules whose go.mod replaces or excludes others, so each is built
# where it was unpacked. SUM is what go.sum would hold: what is built is what was looked at.
build() {
    program=$1 module=$2 version=$3 sum=$4
    shift 4
    stamp="$folder/$program.version"
    [ -x "$folder/$program" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ] && return

    echo "Building $program $version, which takes minutes the first time" >&2
    found=$(cd "$folder" && GONOSUMDB="$module" GOWORK=off go mod download -json "$module@$version")
    if ! printf '%s\n' "$found" | grep -qF "\"Sum\": \"$sum\""; then
        echo "$module $version is not what it was: $found" >&2
        exit 1
    fi
    unpacked=$(printf '%s\n' "$found" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
    (cd "$unpacked" && GOWORK=off go build -buildvcs=false "$@" -o "$folder/$program" "./cmd/$program")
    echo "$version" >"$stamp"
}

# Prometheus 3.11. Service discovery of a dozen clouds is half of the build and no use here.
build promtool github.com/prometheus/prometheus v0.311.3 \
    h1:3IrVxQv6v5i/ZCGi6OrYeBhtCwaPTn6Z3DYruXoYm3M= -tags remove_all_sd
build pint github.com/cloudflare/pint v0.86.0 \
    h1:54htp0CAXcS3G56LP03A0D9Kjftj4GnCIl5hF4G2SLs=
