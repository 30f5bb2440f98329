#!/usr/bin/env bash
# Put Debian's Compose into a folder of Docker's plugins, with a marker that says it is ours.

. "$(dirname "$0")/debian.sh"

plugins=$1
say "Docker has no Compose v2; putting Debian's into $plugins."
{ find_debian && fetch_debian docker-compose; } || fail_at "Cannot get Debian's Compose"
new=$work/docker-compose/usr/libexec/docker/cli-plugins/docker-compose
# Tried before it is installed: one that does not run must not stay.
"$new" version &>"$work/log" || fail_at "Debian's Compose does not run here"
# Under its own name only once it is whole.
{ mkdir -p "$plugins" && cp "$new" "$plugins/.tcp-pair-new" &&
    cksum <"$new" >"$plugins/.tcp-pair-compose" &&
    mv "$plugins/.tcp-pair-new" "$plugins/docker-compose"; } &>"$work/log" ||
    fail_at "Cannot write to $plugins"
