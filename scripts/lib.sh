# shellcheck shell=bash
# Sourced by the scripts beside it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Without these, Ctrl-C in a command that takes it for a failure would not end the script.
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "$(basename "$0" .sh): $*"; }

fail() {
    say "$*" >&2
    exit 1
}

# $work is a temporary folder that is gone afterwards, whatever ends the script.
make_work_folder() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# Sets up $work/apt.conf and $work/sources.list for Debian trixie: packages can then be
# downloaded while the host's own package lists, sources and packages stay as they are.
find_debian() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri
    [ -r "$keyring" ] || return
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
    # shellcheck disable=SC2016  # apt expands it, not the shell
    for uri in $(apt-get indextargets --format '$(REPO_URI)' 'Component: main' | sort -u); do
        echo "deb [signed-by=$keyring] $uri trixie main" >"$work/sources.list"
        apt-get -c "$work/apt.conf" update --error-on=any &>"$work/log" && return
    done
    return 1
}

# Unpacks a package into $work/PACKAGE.
fetch_debian() {
    (cd "$work" && apt-get -c apt.conf download "$1" && dpkg -x "$1"_*.deb "$1") &>"$work/log"
}

# Prints the base image's name, as Compose finds it. The project's own name, which Compose may
# have no letters for, does not matter.
base_image() {
    docker compose --project-name any config --format json |
        "${PYTHON:-python3}" -c 'import json, sys
print(json.load(sys.stdin)["services"]["server"]["build"]["args"]["PYTHON_IMAGE"])'
}
