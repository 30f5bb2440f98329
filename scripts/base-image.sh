#!/usr/bin/env bash
# Make sure that the base image is there: pulled, or built from Debian where no registry answers.

. "$(dirname "$0")/lib.sh"

own=tcp-pair-base:trixie

# A pull may take minutes, a registry's first answer may not.
pull() {
    docker pull "$1" &>"$work/pull" &
    local pulling=$!
    trap 'jobs -p | xargs kill 2>/dev/null || :; rm -rf "$work"' EXIT
    for _ in {1..150}; do
        grep -q 'Pulling from' "$work/pull" && break
        kill -0 $pulling 2>/dev/null || break
        sleep 0.1
    done
    grep -q 'Pulling from' "$work/pull" || kill $pulling 2>/dev/null || :
    wait $pulling
}

build() {
    say "building $own from Debian's packages (half a minute)"
    find_debian || return
    if ! command -v mmdebstrap >/dev/null; then
        fetch_debian mmdebstrap || return
        PATH=$PATH:$work/mmdebstrap/usr/bin
    fi
    local without=()
    for path in doc info lintian locale man zoneinfo; do
        without+=(--dpkgopt="path-exclude=/usr/share/$path/*")
    done
    # What an interrupted build has mounted and unpacked must go with it.
    local private=()
    ! unshare --mount true 2>/dev/null || private=(unshare --mount)
    chmod a+rx "$work"  # for mmdebstrap's other user, where it is not run by root
    TMPDIR=$work "${private[@]}" mmdebstrap --variant=essential \
        --include=python3-minimal,libpython3-stdlib "${without[@]}" trixie \
        "$work/base.tar" "$work/sources.list" &>"$work/log" || return
    docker import \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' \
        "$work/base.tar" "$own" &>"$work/log"
}

# Written through the file, not over it: .env may be a link or have permissions of its own.
# Called where set -e is off, so && is what ends it at the first failure.
write_env() {
    local name='^[[:space:]]*(export[[:space:]]+)?PYTHON_IMAGE[[:space:]]*=' line="PYTHON_IMAGE=$own"
    if grep -qE "$name" .env 2>/dev/null; then
        sed -E "s|$name.*|$line|" .env >"$work/env" &&
            cat "$work/env" >.env
    else
        [ ! -s .env ] || [ -z "$(tail -c 1 .env)" ] || echo >>.env &&
            echo "$line" >>.env
    fi
}

image=$(base_image) || fail "correct the configuration that Docker Compose complains about above."
where=${PYTHON_IMAGE+your shell: unset it}
[ -n "$image" ] ||
    fail "PYTHON_IMAGE is empty in ${where:-.env: name an image there, or remove that line}."
docker image inspect "$image" &>/dev/null && exit

make_work_folder
if [ "$image" != "$own" ]; then
    say "pulling $image, which is not here yet"
    pull "$image" && exit
    say "not to be had: $(tail -n 1 "$work/pull" | grep . || echo 'no answer for 15 seconds')"
    case $image in
    python | python:*) ;;
    *) fail "set PYTHON_IMAGE in .env to an image that you have or can pull, or remove that line." ;;
    esac
    [ -z "${PYTHON_IMAGE+set}" ] ||
        fail "PYTHON_IMAGE is set in your shell, where .env cannot replace it: unset PYTHON_IMAGE, then try again."
fi

docker image inspect "$own" &>/dev/null || build || {
    grep -m 1 '^E:' "$work/log" >&2 || :
    fail "cannot build a base image here; connect to a registry, or load an image that has Python 3.11 or later and name it in .env (PYTHON_IMAGE=...)."
}
[ "$image" = "$own" ] && exit
write_env 2>/dev/null || :  # a sentence of ours says it better
[ "$(base_image)" = "$own" ] || fail "cannot set PYTHON_IMAGE in .env: put PYTHON_IMAGE=$own there yourself."
say ".env now says PYTHON_IMAGE=$own"
