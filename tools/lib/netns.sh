# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Network namespaces, so that the machine's own network stays as it is. Needs base.sh.
# shellcheck disable=SC2154

netns_note=  # a file (if set) that keeps the names of those that were made, for the run after a kill -9

# netns_make NAME: with loopback up; removed at the end.
netns_make() {
	[ -z "$netns_note" ] || printf '%s\n' "$1" >>"$netns_note"
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

# netns_bridge NAME LINK: a switch in NAME.
netns_bridge() {
	ip -n "$1" link add "$2" type bridge ||
		die "the kernel makes no bridge" "modprobe bridge (it is in Debian's own kernels)"
	ip -n "$1" link set "$2" up
}

# netns_plug NAME ADDRESS SWITCH LINK PORT: a cable from NAME, there eth0 with the address, to the bridge
# LINK in the namespace SWITCH, there PORT. Both ends are made where they belong, never in the machine's
# own network.
netns_plug() {
	ip -n "$3" link add "$5" type veth peer name eth0 netns "$1"
	ip -n "$3" link set "$5" master "$4" up
	ip -n "$1" address add "$2" dev eth0
	ip -n "$1" link set eth0 up
}

netns_port_ready() { grep -q ' port: p0: ' "$1"; }

# netns_tap NAME LINK ADDRESS PID [MADE_IN]: sets up the kernel's side of a tap port that process PID
# makes, in NAME; if the process runs in the namespace MADE_IN, it is moved here, as one end of a cable
# would be. (Not before the process says that the port is ready: each queue is opened by the interface's
# name, where the process runs.)
# The kernel's side gets another MAC address than the port, which would answer for it otherwise.
netns_tap() {
	local made_in=${5:-$1}
	wait_for 20 "the tap port $2" "$4" netns_has_link "$made_in" "$2" || return 1
	if [ "$made_in" != "$1" ]; then
		wait_for 20 "the port p0" "$4" netns_port_ready "${process_log[$4]}" || return 1
		ip -n "$made_in" link set dev "$2" netns "$1"
	fi
	ip -n "$1" link set dev "$2" address 02:50:53:00:00:01
	# The kernel drops what the gateway has not fetched yet; its own 500 packets are less than one burst of
	# a few connections that send 64 KiB each.
	ip -n "$1" link set dev "$2" txqueuelen 5000
	ip -n "$1" address add "$3" dev "$2"
	ip -n "$1" link set dev "$2" up
}
