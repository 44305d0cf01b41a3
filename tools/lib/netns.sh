# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Network namespaces, so that the machine's own network stays as it is. Needs base.sh.

# netns_make NAME: with loopback up; removed at the end.
netns_make() {
	ip netns add "$1"
	undo_push netns_remove "$1"
	ip -n "$1" link set lo up
}

netns_remove() {
	if [ -e "/run/netns/$1" ]; then
		ip netns delete "$1"
	fi
}

netns_has_link() { ip -n "$1" link show dev "$2"; }

# netns_open NAME ADDRESS PORT: does somebody accept connections there?
netns_open() {
	timeout 1 ip netns exec "$1" bash -c "exec 3<>/dev/tcp/$2/$3"
}

# netns_tap NAME LINK ADDRESS PID: sets up the kernel's side of a tap port that process PID makes.
# The kernel's side gets another MAC address than the port, which would answer for it otherwise.
netns_tap() {
	wait_for 20 "the tap port $2" "$4" netns_has_link "$1" "$2" || return 1
	ip -n "$1" link set dev "$2" address 02:50:53:00:00:01
	# The kernel drops what the gateway has not fetched yet; its own 500 packets are less than one burst of
	# a few connections that send 64 KiB each.
	ip -n "$1" link set dev "$2" txqueuelen 5000
	ip -n "$1" address add "$3" dev "$2"
	ip -n "$1" link set dev "$2" up
}
