# shellcheck shell=bash
# Sourced by what takes packages from Debian.

. "$(dirname "$0")/../lib.sh"

# A temporary folder that is gone afterwards, whatever ends the script.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Says what cannot be had, and the reason that apt or docker gives, without our temporary folder.
fail_at() {
    local reason
    reason=$(grep -shiE -m 1 '^E:|error' "$work/log" || tail -n 1 "$work/log") || :
    fail "$1: ${reason//"$work/"/}"
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
fetch_debian() {
    (cd "$work" && apt-get -c apt.conf download "$1" && dpkg -x "$1"_*.deb "$1") &>"$work/log"
}
