#!/bin/sh
# Build the source archive, and from it the wheel, out of the files that git tracks.
#   scripts/dist.sh PYTHON FOLDER
#
# From a copy: a build in the checkout packs what an earlier one left in build/. The wheel
# comes from the archive, so that the archive is shown to be whole.
set -eu

python=$(command -v "$1")
case $python in /*) ;; *) python=$PWD/$python ;; esac
mkdir -p "$2"
out=$(cd "$2" && pwd)

# The same commit gives the same wheel, wherever and whenever it is built.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH PYTHONWARNINGS=ignore

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# backend HOOK FOLDER: what pip would call, without its isolated environment: everything
# that a build needs is locked and installed already. Says the name of the file it made.
backend() {
    "$python" - "$1" "$2" <<'EOF'
import os, sys
from contextlib import redirect_stdout

from setuptools import build_meta

with redirect_stdout(open(os.devnull, "w")):
    name = getattr(build_meta, sys.argv[1])(sys.argv[2])
print(name)
EOF
}

mkdir "$work/copy" "$work/source"
git ls-files -z | tar --create --null --files-from=- --mtime="@$SOURCE_DATE_EPOCH" |
    tar --extract --directory "$work/copy"
archive=$(cd "$work/copy" && backend build_sdist "$out")
tar --extract --gzip --directory "$work/source" --strip-components=1 --file "$out/$archive"
wheel=$(cd "$work/source" && backend build_wheel "$out")
printf '%s\n' "$out/$archive" "$out/$wheel"
