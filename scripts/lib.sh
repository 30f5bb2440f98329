# shellcheck shell=bash
# Sourced by the shell scripts.

set -euo pipefail

# Without these, Ctrl-C in a command that takes it for a failure would not end the script.
trap 'exit 130' INT
trap 'exit 143' TERM

python=${PYTHON:-python3}

say() { echo "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

# Lets one script at a time go on from here, for each file.
lock() {
    exec 9<"$1"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}
