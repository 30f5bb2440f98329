#!/usr/bin/env bash
# Run all tests; those of the containers are skipped where Docker does not answer.

. "$(dirname "$0")/lib.sh"

scripts/venv.sh
if [ "${REQUIRE_DOCKER:-}" = 1 ] || docker version &>/dev/null; then
    scripts/docker.sh
    scripts/base-image.sh
    scripts/services-image.sh || {
        [ "${REQUIRE_DOCKER:-}" != 1 ] || fail "REQUIRE_DOCKER=1 lets no test be skipped."
        say "the tests that wait for services are skipped"
    }
else
    skipped=1
fi
status=0
.venv/bin/python -m pytest || status=$?
[ -z "${skipped:-}" ] || say "Docker does not answer here: the tests of the containers were skipped"
exit $status
