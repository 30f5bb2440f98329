#!/usr/bin/env bash
# Make of Debian's packages what a machine lacks that reaches no registry or has no Compose v2:
#   from_debian.sh image NAME PACKAGE...  an image, unless it is there
#   from_debian.sh compose                a Compose among the user's plugins of Docker, with a marker
#   from_debian.sh remove                 remove that Compose, if the marker knows it

set -euo pipefail

plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
plugin=$plugins/docker-compose
marker=$plugins/.tcp-pair-compose

# A temporary folder that is gone afterwards, whatever ends the script.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Says what cannot be had, and the reason that apt or docker gives, without our temporary folder.
fail() {
    echo "$1: $(grep -shiE -m 1 '^E:|error' "$work/log" || tail -n 1 "$work/log")" |
        sed "s|$work/||g" >&2
    exit 1
}

# Sets up $work/apt.conf and $work/sources.list for Debian trixie: packages can then be
# downloaded while the host's own package lists, sources and packages stay as they are.
find_debian() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri uris
    echo 'this is not a Debian with the package debian-archive-keyring' >"$work/log"
    [ -r "$keyring" ] || return
    # Listed without the host's package lists, which images and cleaned hosts do not have.
    uris=$(apt-get --print-uris update 2>"$work/log" | sed -n "s|^'\(.*\)/dists/.*|\1|p" | sort -u)
    echo 'the package sources of this host name no mirror of Debian' >>"$work/log"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    # The hooks are the host's own: they clean or index the lists that we leave alone.
    cat >"$work/apt.conf" <<-CONF
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	APT::Sandbox::User "root";
	Acquire::http::Timeout "15";
	Acquire::Retries "1";
	Dir::Etc::SourceList "$work/sources.list";
	Dir::Etc::SourceParts "-";
	Dir::State::Lists "$work/lists";
	Dir::Cache "$work/cache";
	CONF
    # Any of the host's sources may be a mirror of Debian; Debian's signature tells which is.
    for uri in $uris; do
        echo "deb [signed-by=$keyring] $uri trixie main" >"$work/sources.list"
        apt-get -c "$work/apt.conf" update --error-on=any &>"$work/log" && return
    done
    return 1
}

# Unpacks a package into $work/PACKAGE.
fetch() {
    (cd "$work" && apt-get -c apt.conf download "$1" && dpkg -x "$1"_*.deb "$1") &>"$work/log"
}

build() {
    find_debian || return
    if ! command -v mmdebstrap >/dev/null; then
        fetch mmdebstrap || return
        PATH=$PATH:$work/mmdebstrap/usr/bin
    fi
    local image=$1 packages=${*:2} private=()
    # /run stays as the packages leave it: PostgreSQL has no start without its folder there.
    local options=(--variant=essential --skip=cleanup/run --include="${packages// /,}")
    options+=(--dpkgopt=path-exclude=/usr/share/{doc,info,lintian,locale,man,zoneinfo}'/*')
    # In a mount namespace of its own, an interrupted build leaves no mounts.
    ! unshare --mount true 2>/dev/null || private=(unshare --mount)
    chmod a+rx "$work" # for mmdebstrap's other user, where it is not run by root
    TMPDIR=$work "${private[@]}" mmdebstrap "${options[@]}" trixie \
        "$work/image.tar" "$work/sources.list" &>"$work/log" &&
        docker import --change='ENV LANG=C.UTF-8' --change='CMD ["python3"]' \
            --change='LABEL made-of=packages' "$work/image.tar" "$image" &>"$work/log"
}

case $1 in
image)
    ! docker image inspect "$2" &>/dev/null || exit 0
    echo "Building $2 from Debian's packages; this takes a minute."
    build "${@:2}" || fail "Cannot build $2 here"
    ;;
compose)
    echo "Docker has no Compose v2; putting Debian's into $plugins."
    { find_debian && fetch docker-compose; } || fail "Cannot get Debian's Compose"
    debian=$work/docker-compose/usr/libexec/docker/cli-plugins/docker-compose
    # Tried before it is installed: one that does not run must not stay.
    "$debian" version &>"$work/log" || fail "Debian's Compose does not run here"
    { mkdir -p "$plugins" && cksum <"$debian" >"$marker" && mv "$debian" "$plugin"; } \
        &>"$work/log" || fail "Cannot write to $plugins"
    ;;
remove)
    ! cksum <"$plugin" 2>/dev/null | cmp -s - "$marker" || rm "$plugin"
    rm -f "$marker"
    ;;
esac
