#!/usr/bin/env bash
# Run the pair and its tests with other Dockers than this machine's: tools/dockers.sh [NAME...]
#   trixie    Engine 26.1, Compose 2.26
#   forky     Engine 28.5, Compose 2.40
#   forky-29  forky with defaults of Engine 29, images in containerd's store, no API below 1.44
#             and 1,024 descriptors, and Docker's own Compose 5
#   registry  forky with a registry that has an image called python:3.14-slim: like the official
#             one it has no .pyc files and starts python3, but it is made of Debian trixie
#   compose-5 this machine's Engine, with Compose 5 and without buildx
# All of them unless named. Each but the last is a container as bare as a new machine. Needs Docker,
# mmdebstrap, and root for both; MIRROR names a mirror of Debian, TEST what to make instead of
# test-all. The images tcp-pair-docker:* stay.

set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- trixie forky forky-29 registry compose-5

packages=docker.io,docker-cli,docker-compose,docker-buildx,docker-registry,iproute2,iptables
packages+=,procps,ca-certificates,git,make,mount,passwd,python3,python3-venv
compose_5=$PWD/.venv-compose/bin/docker-compose
look_alike=$PWD/.venv-compose/look-alike.tar

# What --privileged gives, but for SYS_RESOURCE, which a virtual machine may lack itself. The
# volumes: an engine stacks file systems, and not on one that is a stack.
privileged=(
    --cap-add=ALL --cap-drop=SYS_RESOURCE --device-cgroup-rule='a *:* rwm' --cgroupns=host
    --security-opt={seccomp,apparmor,systempaths}"=unconfined"
    --volume=/var/lib/docker --volume=/tmp
)

# Makes a tar file of a Debian, unless it is there: FILE SUITE OPTION...
debian() {
    [ ! -e "$1" ] || return 0
    mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' "${@:3}" \
        "$2" "$1.new.tar" ${MIRROR:+"$MIRROR"}
    mv "$1.new.tar" "$1"
}

run="make run && REQUIRE_DOCKER=1 make \"\$TEST\""
# shellcheck disable=SC2016  # for the shell in the container
inside='awk "\$2 ~ \"^/sys\" {print \$2}" /proc/mounts | xargs -n 1 mount -o remount,bind,rw
cat >/root/bundle
cd /root
git -c init.defaultBranch=main -c advice.detachedHead=false clone --quiet bundle tcp-pair
cd tcp-pair
if [ -e /look-alike.tar ]; then
    set -- "$@" --registry-mirror=http://127.0.0.1:5000
    printf "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: \"127.0.0.1:5000\"}\n" >/etc/mirror.yml
    docker-registry serve /etc/mirror.yml &>/var/log/registry &
fi
dockerd "${@/HARD/$(ulimit -Hn)}" &>/var/log/dockerd &
until docker version &>/dev/null; do kill -0 $! || exit; sleep 0.2; done
docker version --format "Engine {{.Server.Version}}, CLI {{.Client.Version}}"
docker compose version
if [ -e /look-alike.tar ]; then
    name=127.0.0.1:5000/library/python:3.14-slim
    docker import --change "CMD [\"python3\"]" /look-alike.tar $name >/dev/null
    docker push --quiet $name
    docker compose up --build --exit-code-from client || exit
    docker compose down
fi
'$run

# shellcheck disable=SC2016  # for the shell that mmdebstrap starts
in_container() {
    local name=$1 image=${1%-29} options=("${privileged[@]}") engine=()
    if [ "$name" = registry ]; then
        image=forky
        debian "$look_alike" trixie --include=python3,ca-certificates \
            --customize-hook='find "$1/usr" -name "*.pyc" -delete' \
            --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python3"'
        options+=(--volume="$look_alike:/look-alike.tar:ro")
    elif [ "$name" != "$image" ]; then
        engine=(--feature=containerd-snapshotter=true --default-ulimit=nofile=1024:HARD)
        options+=(--env=DOCKER_MIN_API_VERSION=1.44)
        options+=(--volume="$compose_5:/root/.docker/cli-plugins/docker-compose:ro")
    fi
    # With the certificates of this machine: a proxy may be in between.
    debian ".venv-compose/$image.tar" "$image" --include="$packages" --skip=cleanup/apt/lists \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs'
    docker image inspect "tcp-pair-docker:$image" &>/dev/null ||
        docker import ".venv-compose/$image.tar" "tcp-pair-docker:$image" >/dev/null
    git bundle create --quiet - HEAD | docker run --rm --interactive --init "${options[@]}" \
        --env=TEST "tcp-pair-docker:$image" bash -c "$inside" bash "${engine[@]}"
}

scripts/venv.sh compose
export TEST=${TEST:-test-all}
for name; do
    echo "== $name"
    [ "$name" = compose-5 ] || { in_container "$name"; continue; }
    folder=$(mktemp --directory)
    mkdir -p "$folder/docker/cli-plugins"
    cp "$compose_5" "$folder/docker/cli-plugins"
    git clone --quiet . "$folder/tcp-pair"
    DOCKER_CONFIG="$folder/docker" bash -ec "cd $folder/tcp-pair; docker compose version; $run"
    rm -rf "$folder"
done
