#!/usr/bin/env bash
# Make sure that Python is new enough for the scripts and the tests.

. "$(dirname "$0")/lib.sh"

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "${PYTHON:-python3} is not Python 3.11 or later: install that, or name it (make PYTHON=python3.12 ...)."
