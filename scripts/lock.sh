#!/bin/sh
# Pin every dependency by version and hash, for every Python and machine supported.
#   scripts/lock.sh PYTHON [uv pip compile's options, such as --upgrade]
set -eu

python=$1
shift

tool=.venv-lock
[ -x "$tool/bin/uv" ] || { "$python" -m venv "$tool" && "$tool/bin/pip" install --quiet uv; }

# Universal: one file for all of them, with markers. Neither index addresses nor the place
# of this checkout are written, so that the files say the same wherever they are made.
compile() {
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links --no-annotate "$@"
}
compile pyproject.toml --output-file requirements.lock "$@"
# Constrained by the first: what is tested is what is shipped.
compile pyproject.toml --group dev --constraint requirements.lock \
    --output-file requirements-dev.lock "$@"
