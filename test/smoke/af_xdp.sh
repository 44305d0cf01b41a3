#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The gateway's network on a veth pair by af_xdp, which copies there: small messages, and enough bytes that every
# packet buffer has been sent many times.
. "${0%/*}/lib.sh"
smoke_open
grep -q '^XDP ' /proc/net/protocols || smoke_skip "this kernel has no AF_XDP"

probe() { stack_in "$(stack_program probe)" "$@"; }

gateway_ns=$stack_ns-gw
netns_make "$gateway_ns"
ip -n "$stack_ns" link add "$stack_link" type veth peer name eth1 netns "$gateway_ns"
ip -n "$stack_ns" address add "$stack_host/24" dev "$stack_link"
ip -n "$stack_ns" link set "$stack_link" up
ip -n "$gateway_ns" link set eth1 up
# A packet between the two is never on a wire: without this it has no checksum.
probe plain "$stack_link"

# DPDK's driver never deletes the area that it shares with the kernel.
printf 'leak:xsk_umem__create\n' >"$stack_run/leaks"
export LSAN_OPTIONS=suppressions=$stack_run/leaks:print_suppressions=0 ASAN_OPTIONS=fast_unwind_on_malloc=0

# What one page holds of buffers depends on the size of pages.
exchange() {
	local echo_pid
	say "- $1"
	shift
	process_start "$stack_run/gateway.log" ip netns exec "$gateway_ns" "$(stack_program dataplane-echo)" \
		--config /dev/null --file-prefix "$stack_ns" --port p0=net_af_xdp0,iface=eth1 --workers 1 \
		--address "$stack_gateway/24" --route "default=$stack_host" --listen "$stack_port" "$@"
	echo_pid=$process_pid
	wait_for 10 "the listener" "$echo_pid" netns_open "$stack_ns" "$stack_gateway" "$stack_port"
	expect "ping is answered" probe ping "$stack_gateway" 100
	expect "messages of 32 bytes go back and forth" probe rtt "$stack_gateway" "$stack_port" 1000
	expect "256 MB both ways at once, every byte compared" \
		probe echo "$stack_gateway" "$stack_port" 256000000
	process_stop "$echo_pid"
}

exchange "small pages" --no-huge
if [ -z "$smoke_no_huge" ]; then exchange "huge pages"; fi
smoke_end
