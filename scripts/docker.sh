#!/usr/bin/env bash
# Make sure that Docker answers and has Compose v2, which Debian's own Docker comes without.

. "$(dirname "$0")/lib.sh"

command -v docker >/dev/null ||
    fail "Docker is not installed: https://docs.docker.com/engine/install/ says how."
if ! answer=$(docker version --format '{{.Server.Version}}' 2>&1); then
    case $answer in
    *"permission denied"*)
        fail "you may not use Docker: add yourself to the group docker (sudo usermod -aG docker $(id -un)), then log in again." ;;
    esac
    advice="start it (sudo systemctl start docker, or Docker Desktop)"
    [ -z "${DOCKER_CONTEXT:-}" ] || advice="correct or unset DOCKER_CONTEXT=$DOCKER_CONTEXT"
    [ -z "${DOCKER_HOST:-}" ] || advice="correct or unset DOCKER_HOST=$DOCKER_HOST"
    say "${answer##*$'\n'}" >&2
    fail "the Docker daemon does not answer: $advice."
fi
docker compose version &>/dev/null && exit

advice="install Docker's Compose plugin yourself: https://docs.docker.com/compose/install/linux/"
command -v apt-get >/dev/null || fail "Docker has no Compose v2: $advice"
say "Docker has no Compose v2; taking Debian's into your Docker plugins"
make_work_folder
find_debian || fail "no mirror of Debian among this host's package sources answers; $advice"
fetch_debian docker-compose || fail "Debian's package could not be downloaded; $advice"
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
mkdir -p "$plugins"
# Under its own name only once it is whole: an interrupted copy must not pass for a plugin.
cp "$work/docker-compose/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/.compose-$$"
mv "$plugins/.compose-$$" "$plugins/docker-compose"
docker compose version >/dev/null || fail "Debian's Compose does not run here; $advice"
