#!/usr/bin/env bash
# Run the pair and its tests on a bare Debian with Dockers of its own: tools/dockers.sh [NAME...]
#   trixie    Engine 26.1, Compose 2.26
#   forky     Engine 28.5, Compose 2.40
#   forky-29  forky with defaults of Engine 29, images in containerd's store, no API below 1.44
#             and 1,024 descriptors, and Docker's own Compose 5
# All of them unless named. Needs Docker, mmdebstrap, and root for both; MIRROR names a mirror of
# Debian, TEST what to make instead of test-all. The images tcp-pair-docker:* stay.

set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- trixie forky forky-29

packages=docker.io,docker-cli,docker-compose,docker-buildx,iproute2,iptables,procps
packages+=,ca-certificates,git,make,mount,passwd,python3,python3-venv

# What --privileged gives, but for SYS_RESOURCE, which a virtual machine may lack itself. The
# volumes: an engine stacks file systems, and not on one that is a stack.
privileged=(
    --cap-add=ALL --cap-drop=SYS_RESOURCE --device-cgroup-rule='a *:* rwm' --cgroupns=host
    --security-opt={seccomp,apparmor,systempaths}"=unconfined"
    --volume=/var/lib/docker --volume=/tmp
)

# With the certificates of this machine: a proxy may be in between.
make_image() {
    ! docker image inspect "tcp-pair-docker:$1" &>/dev/null || return 0
    mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="$packages" --skip=cleanup/apt/lists \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
        "$1" ".venv-compose/$1.tar" ${MIRROR:+"$MIRROR"}
    docker import ".venv-compose/$1.tar" "tcp-pair-docker:$1" >/dev/null
    rm ".venv-compose/$1.tar"
}

# shellcheck disable=SC2016  # for the shell in the container
inside='awk "\$2 ~ \"^/sys\" {print \$2}" /proc/mounts | xargs -n 1 mount -o remount,bind,rw
cat >/root/bundle
cd /root
git -c init.defaultBranch=main -c advice.detachedHead=false clone --quiet bundle tcp-pair
cd tcp-pair
dockerd "$@" &>/var/log/dockerd &
until docker version &>/dev/null; do
    kill -0 $! || { cat /var/log/dockerd; exit 1; }
    sleep 0.2
done
docker version --format "Engine {{.Server.Version}}, CLI {{.Client.Version}}"
docker compose version
make run && REQUIRE_DOCKER=1 make "$TEST"'

run() {
    local options=("${privileged[@]}") engine=()
    if [ "$1" = forky-29 ]; then
        engine=(--feature=containerd-snapshotter=true --default-ulimit=nofile=1024:524288)
        options+=(--env=DOCKER_MIN_API_VERSION=1.44)
        options+=(--volume="$PWD/.venv-compose/bin/docker-compose:/root/.docker/cli-plugins/docker-compose:ro")
    fi
    make_image "${1%-29}"
    git bundle create --quiet - HEAD |
        docker run --rm --interactive --init "${options[@]}" --env=TEST \
            "tcp-pair-docker:${1%-29}" bash -c "$inside" bash "${engine[@]}"
}

scripts/venv.sh compose
export TEST=${TEST:-test-all}
for name; do
    echo "== $name"
    run "$name"
done
