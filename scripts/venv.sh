#!/usr/bin/env bash
# Make the environment that requirements/NAME.txt pins: .venv for the tests, .venv-NAME for others.

. "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/.."

scripts/python.sh
name=${1:-test}
requirements=requirements/$name.txt
venv=.venv${1:+-$1}
lock "$requirements"

# A virtual environment survives neither another interpreter nor a move to another folder.
want=$("$python" -VV; pwd; cat "$requirements")
[ "$(cat "$venv/stamp" 2>/dev/null)" != "$want" ] || exit 0

"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: install what it lacks (Debian: sudo apt-get install python3-venv)."
say "Installing the tools of $requirements into $venv."
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement "$requirements" ||
    fail "pip failed, see above: check the network, or the package index that pip is set up with."
echo "$want" >"$venv/stamp"
