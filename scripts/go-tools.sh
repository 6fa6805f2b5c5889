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

# unpack MODULE VERSION SUM
#
# Says where it unpacked the module. SUM is what go.sum would hold: what is used is what was
# looked at.
unpack() {
    module=$1 version=$2 sum=$3
    found=$(cd "$folder" && GONOSUMDB="$module" GOWORK=off go mod download -json "$module@$version")
    if ! printf '%s\n' "$found" | grep -qF "\"Sum\": \"$sum\""; then
        echo "$module $version is not what it was: $found" >&2
        exit 1
    fi
    printf '%s\n' "$found" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p'
}

# build PROGRAM MODULE VERSION SUM [go build's options]
#
# `go install` refuses modules whose go.mod replaces or excludes others, so each is built
# where it was unpacked.
build() {
    program=$1
    stamp="$folder/$program.version"
    [ -x "$folder/$program" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && return

    echo "Building $program $3, which takes minutes the first time" >&2
    wanted=$*
    unpacked=$(unpack "$2" "$3" "$4")
    shift 4
    main=.
    [ ! -d "$unpacked/cmd/$program" ] || main="./cmd/$program"
    (cd "$unpacked" && GOWORK=off go build -buildvcs=false "$@" -o "$folder/$program" "$main")
    echo "$wanted" >"$stamp"
}

# Prometheus 3.11. Service discovery of a dozen clouds is half of the build and no use here;
# that of Kubernetes stands in one of our configurations.
build promtool github.com/prometheus/prometheus v0.311.3 \
    h1:3IrVxQv6v5i/ZCGi6OrYeBhtCwaPTn6Z3DYruXoYm3M= -tags remove_all_sd,enable_kubernetes_sd
build pint github.com/cloudflare/pint v0.86.0 \
    h1:54htp0CAXcS3G56LP03A0D9Kjftj4GnCIl5hF4G2SLs=
# Without a cluster it takes Kubernetes to be of the version that its own build writes here.
kubernetes=helm.sh/helm/v3/pkg/chartutil.k8sVersion
build helm helm.sh/helm/v3 v3.22.0 h1:n1if5iQgHYsujPAcO5oonH/KiSNUmqmUF0iGVjSF3AU= \
    -ldflags "-X ${kubernetes}Major=1 -X ${kubernetes}Minor=37"
build kubeconform github.com/yannh/kubeconform v0.8.0 \
    h1:loDYd3a3spjIFrauqW67CDKF55Oo9R6uvC8AvpVd4ug=
# It has no releases.
build dashboard-linter github.com/grafana/dashboard-linter \
    v0.0.0-20241224134444-1765d94aec4a h1:wpyAYX8+Rqu0LIEE7zXBR/qjBH4t0yXvqlRGa1wD5rg=

# What the Prometheus operator's kinds look like: no program, two files.
operator=$(unpack github.com/prometheus-operator/prometheus-operator v0.85.0 \
    h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=)
mkdir -p "$folder/prometheus-operator-crds"
for kind in servicemonitors prometheusrules; do
    cp -f "$operator/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" \
        "$folder/prometheus-operator-crds/"
done
