#!/usr/bin/env bash
# Run the pair and all tests with the Docker of other Debian releases, each in a container of its
# own that is as bare as a new machine: scripts/dockers.sh [SUITE...]
# Unless named these are trixie, forky, and forky-29: forky's Engine 28 with defaults of 29, images
# in containerd's store, no API below 1.44, and 1,024 descriptors. Needs Docker, mmdebstrap, and
# root for both; MIRROR names a mirror of Debian. The images tcp-pair-docker:* stay.

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
    docker image inspect "tcp-pair-docker:$1" &>/dev/null && return
    mmdebstrap --quiet --variant=apt --include="$packages" --skip=cleanup/apt/lists \
        --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
        "$1" - ${MIRROR:+"$MIRROR"} | docker import - "tcp-pair-docker:$1" >/dev/null
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
make run && REQUIRE_DOCKER=1 make test'

failed=()
for name; do
    echo "== $name"
    like_29=()
    [ "$name" = "${name%-29}" ] ||
        like_29=(--feature=containerd-snapshotter=true --default-ulimit=nofile=1024:524288)
    make_image "${name%-29}"
    git bundle create --quiet - HEAD | docker run --rm --interactive --init "${privileged[@]}" \
        ${like_29:+--env DOCKER_MIN_API_VERSION=1.44} "tcp-pair-docker:${name%-29}" \
        bash -c "$inside" bash "${like_29[@]}" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
