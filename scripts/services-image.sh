#!/usr/bin/env bash
# Make sure that there is an image of services that are not ours, for the client to wait for.

. "$(dirname "$0")/lib.sh"

own=tcp-pair-services:trixie
# Of what sshd may depend on, systemd-standalone-sysusers is the least.
packages=(
    memcached openssh-server postgresql-17 redis-server systemd-standalone-sysusers
    opensmtpd ca-certificates  # without which it does not start
)

docker image inspect "$own" &>/dev/null && exit

# Adds to the base image what its own package manager, or this host's, fetches.
build() {
    local base install
    base=$(base_image) || return
    if docker run --rm --network=none "$base" apt-get --version &>/dev/null; then
        install="apt-get update && apt-get install --yes --no-install-recommends ${packages[*]}"
    else
        find_debian || return
        docker run --rm --network=none "$base" cat /var/lib/dpkg/status >"$work/status" || return
        apt-get -c "$work/apt.conf" --option "Dir::State::status=$work/status" --yes \
            --no-install-recommends --download-only install "${packages[@]}" &>"$work/log" || return
        mv "$work"/cache/archives/*.deb "$work/image"
        install='dpkg --install --force-unsafe-io /packages/*.deb'
    fi
    cat >"$work/image/Dockerfile" <<-DOCKERFILE
	FROM $base
	COPY . /packages
	ENV DEBIAN_FRONTEND=noninteractive
	RUN printf 'exit 101' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && $install
	DOCKERFILE
    docker build --quiet --tag "$own" "$work/image" &>"$work/log"
}

make_work_folder
mkdir "$work/image"
say "building $own from Debian's packages (a minute)"
build || {
    tail -n 3 "$work/log" >&2 || :
    fail "cannot build $own here."
}
