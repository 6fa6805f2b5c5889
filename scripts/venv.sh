#!/bin/sh
# Make the virtual environment and install the project with everything its lock file pins.
#   scripts/venv.sh PYTHON VENV
set -eu

python=$1
venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "There is no $python here. Install Python 3.11 or newer, or name it: make PYTHON=..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$python" --version) is too old. Name Python 3.11 or newer: make PYTHON=..." >&2
    exit 1
fi

# Debian ships Python without ensurepip and says so only in the middle of making a venv.
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    sh scripts/packages.sh "$("$python" -c 'import sys
print("python%d.%d-venv:" % sys.version_info[:2])')"
fi

# One that was left half made, or whose Python is gone, is made again.
if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
    echo "Making $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
# setuptools warns at length of what an editable installation is for.
export PYTHONWARNINGS=ignore
install() {
    # Compiling thousands of modules that nobody will import is half of an install's time.
    "$venv/bin/python" -m pip install --quiet --no-compile "$@"
}
awk '/^[^ ]/ { wanted = /^pip==/ } wanted' requirements-dev.lock >"$venv/pip.lock"
install --require-hashes --requirement "$venv/pip.lock"
install --require-hashes --requirement requirements-dev.lock
install --no-deps --no-build-isolation --editable .
