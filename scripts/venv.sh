#!/usr/bin/env bash
# Make the environment that requirements/NAME.txt pins: .venv for the tests, .venv-NAME for others.

set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
requirements=requirements/${1:-test}.txt
venv=.venv${1:+-$1}

# One at a time.
exec 9<"$requirements"
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'

# A virtual environment survives neither another interpreter nor a move to another folder.
want=$("$python" -VV; pwd; cat "$requirements")
[ "$(cat "$venv/stamp" 2>/dev/null)" != "$want" ] || exit 0

echo "Installing the tools of $requirements into $venv."
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement "$requirements"
echo "$want" >"$venv/stamp"
