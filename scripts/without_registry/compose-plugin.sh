#!/usr/bin/env bash
# Put Debian's Compose among the user's plugins of Docker, with a marker that says it is ours, or
# remove what the marker knows: compose-plugin.sh install|remove

. "$(dirname "$0")/debian.sh"

[ -n "${DOCKER_CONFIG:-${HOME:-}}" ] || fail "HOME is not set, which says where Docker's plugins are: set it."
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
plugin=$plugins/docker-compose
marker=$plugins/.tcp-pair-compose new=$plugins/.tcp-pair-new

if [ "$1" = remove ]; then
    ! cksum <"$plugin" 2>/dev/null | cmp -s - "$marker" || rm "$plugin"
    rm -f "$marker"
    exit
fi
say "Docker has no Compose v2; putting Debian's into $plugins."
{ find_debian && fetch_debian docker-compose; } || fail_at "Cannot get Debian's Compose"
debian=$work/docker-compose/usr/libexec/docker/cli-plugins/docker-compose
# Tried before it is installed: one that does not run must not stay.
"$debian" version &>"$work/log" || fail_at "Debian's Compose does not run here"
# Under its own name only once it is whole.
{ mkdir -p "$plugins" && cp "$debian" "$new" && cksum <"$new" >"$marker" &&
    mv "$new" "$plugin"; } &>"$work/log" || fail_at "Cannot write to $plugins"
