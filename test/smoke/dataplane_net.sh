#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The gateway's network against the kernel's own stack over a tap: ARP, ping, UDP, TCP both ways with every byte
# compared; 1 and 3 workers on one core; ends that leave nothing behind.
. "${0%/*}/lib.sh"

echo_pid=
probe() { stack_in "$(stack_program probe)" "$@"; }

# gateway_start LOG FLAGS...: the echo gateway with its kernel side set up. Sets echo_pid.
gateway_start() {
	local log=$stack_run/$1.log
	shift
	process_start "$log" ip netns exec "$stack_ns" "$(stack_program dataplane-echo)" --config /dev/null \
		--port "p0=net_tap0,iface=$stack_link" "${stack_args[@]}" \
		--address "$stack_gateway/24" --route "default=$stack_host" --listen "$stack_port" "$@"
	echo_pid=$process_pid
	netns_tap "$stack_ns" "$stack_link" "$stack_host/24" "$echo_pid"
	wait_for 10 "the listener" "$echo_pid" netns_open "$stack_ns" "$stack_gateway" "$stack_port"
}

ended_by() {
	local want=$1 got=0
	wait "$echo_pid" || got=$?
	[ "$got" = "$want" ]
}

no_link() { ! netns_has_link "$stack_ns" "$stack_link"; }

neighbour_state() { ip -n "$stack_ns" neighbour show "$stack_gateway" dev "$stack_link"; }
known() { neighbour_state | grep -Eq 'REACHABLE|DELAY|STALE|PROBE'; }

# CPU time of a process in ticks (10 ms).
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

idle_below() {
	local before
	sleep 1
	before=$(ticks "$echo_pid")
	sleep 3
	local used=$(($(ticks "$echo_pid") - before))
	say "        idle: $used of 300 ticks"
	[ "$used" -lt "$1" ]
}

# The gateway does not answer for an address that is not its own.
ping_absent() {
	! timeout 2 ip netns exec "$stack_ns" "$(stack_program probe)" ping 10.77.0.77 1 >/dev/null 2>&1
}

ended() { ! process_lives "$1"; }

exchange() {
	say "- $1"
	shift
	gateway_start "$@"
	expect "ping is answered" probe ping "$stack_gateway" 200
	expect "a ping that fills the MTU comes back unchanged" probe ping "$stack_gateway" 20 1472
	expect "the kernel knows the neighbour" known
	ip -n "$stack_ns" neighbour flush dev "$stack_link"
	expect "and finds it again after a flush" probe ping "$stack_gateway" 3
	expect "a closed UDP port says so" probe udp "$stack_gateway" 9
	expect "a closed TCP port refuses" probe closed "$stack_gateway" 9
	expect "an address that nobody has stays silent" ping_absent
	expect "messages of 32 bytes go back and forth" probe rtt "$stack_gateway" "$stack_port" 1000
	expect "64 MB both ways at once, every byte compared" \
		probe echo "$stack_gateway" "$stack_port" 64000000
	expect "100 connections of 400 kB" probe echo "$stack_gateway" "$stack_port" 400000 100
	expect "an idle gateway takes less than 2 % of a core" idle_below 6
	kill -TERM "$echo_pid"
	expect "SIGTERM ends it within a second" wait_for 1 "the end" - ended "$echo_pid"
	expect "with exit status 0" ended_by 0
	expect "and the interface is gone" no_link
}

# summed GROUP.NAME LOG: a counter of all workers, as the echo gateway logs it at its end.
summed() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) sum += $(i + 1) } END { print sum + 0 }' "$stack_run/$2.log"; }

# Each worker asks for each client's address, and the kernel's answers reach whichever queue they like.
neighbours() {
	local clients=20 asked i
	say "- 3 workers, clients of $clients addresses"
	gateway_start neighbours --workers 3 --cores 0
	for ((i = 1; i <= clients; i++)); do
		ip -n "$stack_ns" address add "10.77.0.$((100 + i))/32" dev "$stack_link"
		ip -n "$stack_ns" route replace "$stack_gateway/32" dev "$stack_link" src "10.77.0.$((100 + i))"
		probe echo "$stack_gateway" "$stack_port" 1000 16 >>"$stack_run/clients.log" || break
	done
	expect "all get their answers" test "$i" -gt "$clients"
	process_stop "$echo_pid"
	asked=$(summed net.arp_requests_out neighbours)
	say "        ARP requests of the three workers: $asked, given up: $(summed net.neighbours_failed neighbours)"
	# One in a second is repeated: where answers get lost between workers, most are.
	expect "no worker asks twice for an address" test "$asked" -le $((3 * clients + 3))
	expect "and none waits in vain" test "$(summed net.neighbours_failed neighbours)" = 0
}

smoke_open
exchange "1 worker" one --workers 1
exchange "3 workers on one core" three --workers 3 --cores 0
neighbours

say "- kill -9"
gateway_start killed --workers 2
kill -KILL "$echo_pid"
expect "it ends" wait_for 5 "the end" - ended "$echo_pid"
expect "and the interface is gone" wait_for 5 "the end of the interface" - no_link
gateway_start again --workers 1
expect "a new one serves at once" probe rtt "$stack_gateway" "$stack_port" 100
process_stop "$echo_pid"

smoke_end
