#!/usr/bin/env bash
# Make sure that Python is new enough for the scripts and the tests.

. "$(dirname "$0")/lib.sh"

why=$("$python" -c 'import sys; v = sys.version_info
if v < (3, 11): sys.exit("it is %d.%d" % v[:2])' 2>&1) ||
    fail "$python does not run as Python 3.11 or later: ${why##*: }
Install that, or name it (make PYTHON=python3.12 ...)."
