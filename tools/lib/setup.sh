# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Gets a machine ready: rights, packages, build, huge pages. Needs base.sh; $root is the project.
# shellcheck disable=SC2154

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root: it installs packages and makes a network namespace" \
		"sudo $0${*:+ $*}"
}

need_debian() {
	command -v apt-get >/dev/null || die "this script knows Debian's apt-get only" \
		"install what tools/packages lists by hand, then run it with --no-install"
	# shellcheck source=/dev/null
	. /etc/os-release
	[ "${VERSION_ID:-0}" = 12 ] ||
		warn "made for Debian 12; this is ${PRETTY_NAME:-unknown}, so package names may differ"
}

need_tun() {
	[ -c /dev/net/tun ] || die "there is no /dev/net/tun, so no tap port can be made" \
		"modprobe tun (in a container: start it with --device /dev/net/tun)"
}

# packages_of GROUP...: the names that tools/packages lists under these groups.
packages_of() {
	local group
	for group; do
		awk -v group="$group" '$1 == group { print $2 }' "$root/tools/packages"
	done
}

# install_packages GROUP...: what is missing of them. Set no_install to only be told.
install_packages() {
	local name missing=() log
	while read -r name; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)" = installed ] ||
			missing+=("$name")
	done < <(packages_of "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	[ -z "${no_install:-}" ] || die "not installed: ${missing[*]}" "apt-get install ${missing[*]}"
	need_debian
	step "Installing ${#missing[@]} packages (a few minutes at most): ${missing[*]}"
	log=$(mktemp)
	if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
		--no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		die "apt-get failed; all it said is in $log" "apt-get install ${missing[*]}"
	fi
	rm -f "$log"
}

# build DIR [MESON OPTIONS]: sets up once, then compiles what changed; of it only what build_only names,
# paths in DIR as ninja takes them.
build_only=()

build() {
	local dir=$1 log=$1/build.log
	shift
	if ! [ -e "$dir/build.ninja" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		if ! meson setup "$dir" "$root" "$@" >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			die "meson setup failed; all it said is in $log"
		fi
	fi
	if ! ninja -C "$dir" "${build_only[@]}" >"$log" 2>&1; then
		{ grep -B 3 -A 15 -E '^FAILED|ERROR:' "$log" || cat "$log"; } | tail -n 40 >&2
		die "the build failed; all it said is in $log"
	fi
}

# --- huge pages ---
# hugepages_take N: N more huge pages of 2 MiB, given back at the end; what others took stays theirs. Fails
# where N are not to be had. hugepages_note (if set) is a file that tells the run after a kill -9.

hugepages_dir=/sys/kernel/mm/hugepages/hugepages-2048kB
hugepages_note=

hugepages_free() { cat $hugepages_dir/free_hugepages 2>/dev/null || echo 0; }

# hugepages_change BY: prints by how much the number of pages has changed. Others may change it at the same time:
# whoever does holds a lock on it.
hugepages_change() {
	local number=$hugepages_dir/nr_hugepages had want lock
	exec {lock}<"$number"
	flock "$lock"
	had=$(<"$number")
	want=$((had + $1))
	echo $((want > 0 ? want : 0)) >"$number" 2>/dev/null || true
	echo $(($(<"$number") - had))
	exec {lock}<&-
}

hugepages_give_back() {
	hugepages_change $((-$1)) >/dev/null
	[ -z "$hugepages_note" ] || rm -f "$hugepages_note"
}

hugepages_take() {
	local want=$1 got=0
	if [ -w $hugepages_dir/nr_hugepages ]; then
		got=$(hugepages_change "$want")
		if [ "$got" -gt 0 ]; then
			undo_push hugepages_give_back "$got"
			[ -z "$hugepages_note" ] || echo "$got" >"$hugepages_note"
		fi
	fi
	[ "$got" -ge "$want" ] || [ "$(hugepages_free)" -ge "$want" ]
}
