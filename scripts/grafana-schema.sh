#!/bin/sh
# Hold the dashboards to Grafana's own types, of its newest and of its oldest supported line.
#   scripts/grafana-schema.sh FOLDER
set -eu

# Where there is none, the tests still send the dashboards through Grafana's SDK.
if ! command -v npm >/dev/null 2>&1; then
    echo "There is no npm here, so that the dashboards are not held to Grafana's types." >&2
    exit 0
fi

# What npm installs is found from where the program stands.
mkdir -p "$1"
cp scripts/grafana-schema.mjs "$1/"
wanted='@grafana/schema@13.2.3 oldest@npm:@grafana/schema@10.4.19 ts-json-schema-generator@2.9.0 ajv@8.20.0'
if [ "$(cat "$1/.installed" 2>/dev/null)" != "$wanted" ]; then
    # Each of them is a word.
    # shellcheck disable=SC2086
    (cd "$1" && echo '{"private": true}' >package.json &&
        npm install --silent --no-audit --no-fund --ignore-scripts $wanted)
    echo "$wanted" >"$1/.installed"
fi
exec node "$1/grafana-schema.mjs" "$1" grafana/dashboards/*.json
