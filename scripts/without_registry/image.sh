#!/usr/bin/env bash
# Build an image from Debian's packages, unless it is there: image.sh NAME PACKAGE...

. "$(dirname "$0")/debian.sh"

image=$1
packages=${*:2}
settings=(
    'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    'ENV LANG=C.UTF-8' 'CMD ["python3"]'
)
# /run stays as the packages leave it: PostgreSQL has no start without its folder there.
options=(--variant=essential --skip=cleanup/run --include="${packages// /,}")
for path in doc info lintian locale man zoneinfo; do
    options+=(--dpkgopt="path-exclude=/usr/share/$path/*")
done

build() {
    find_debian || return
    if ! command -v mmdebstrap >/dev/null; then
        fetch_debian mmdebstrap || return
        PATH=$PATH:$work/mmdebstrap/usr/bin
    fi
    # What an interrupted build has mounted and unpacked must go with it.
    local private=()
    ! unshare --mount true 2>/dev/null || private=(unshare --mount)
    chmod a+rx "$work" # for mmdebstrap's other user, where it is not run by root
    TMPDIR=$work "${private[@]}" mmdebstrap "${options[@]}" trixie \
        "$work/image.tar" "$work/sources.list" &>"$work/log" || return
    docker import "${settings[@]/#/--change=}" --change="LABEL made-of=$made_of" \
        "$work/image.tar" "$image" &>"$work/log"
}

# The name stays when the packages change; this tells an image that was made of others.
made_of=$(printf '%s\n' "${settings[@]}" "${options[@]}" | cksum | cut -d ' ' -f 1)
there=$(docker image inspect --format '{{.Id}} {{index .Config.Labels "made-of"}}' "$image" 2>/dev/null) || :
[ "${there#* }" != "$made_of" ] || exit 0
say "Building $image from Debian's packages; this takes a minute."
build || fail_at "Cannot build $image here"
# Unless something is still made of the old one.
[ -z "$there" ] || docker rmi "${there%% *}" &>/dev/null || :
