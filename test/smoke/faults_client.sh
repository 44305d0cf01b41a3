#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Clients with faults: garbage, valid traffic cut at every byte, one that vanishes, 1,000 at once, one
# that stops reading. Others' calls go on, memory stays flat, the pools fill up again.
. "${0%/*}/lib.sh"
smoke_start

hostile=$(stack_program hostile)
gate=$stack_gateway:$stack_port
calls_go_on() { load_wait && [ "$(load_get .errors_total)" = 0 ]; }

load_start 20 --connections 2 --rate 500 --quiet --expect-no-errors
expect "valid traffic cut at every byte" stack_in timeout 60 "$hostile" cut "$gate"
expect "random bytes" stack_in timeout 60 "$hostile" garbage "$gate" 1500 7
expect "valid traffic with bytes changed" stack_in timeout 60 "$hostile" mutate "$gate" 1500 8
expect "others never notice" calls_go_on
smoke_pools_settle

# A thousand at once, each with calls.
load_start 5 --connections 1000 --outstanding 1 --quiet --expect-no-errors
expect "1,000 connections at once" calls_go_on
smoke_pools_settle

# Vanishing: the address goes away with the calls in flight; neither FIN nor RST is ever sent.
ip -n "$stack_ns" address add 10.77.0.9/24 dev "$stack_link"
process_start "$stack_run/vanish.log" ip netns exec "$stack_ns" "$hostile" hold "$gate" 20 1 10.77.0.9
vanished=$process_pid
# A handshake that is cut is none of a client: it lingers for the three minutes that TCP grants a SYN.
wait_for 20 "20 connections of a client that is to vanish" "$vanished" grep -q '^hold: 20' "$stack_run/vanish.log"
ip -n "$stack_ns" address delete 10.77.0.9/24 dev "$stack_link"
load_start 8 --connections 2 --rate 500 --quiet --expect-no-errors
expect "others never notice a client that vanishes" calls_go_on
smoke_pools_settle 20
process_stop "$vanished" 2

# Big replies to a client that reads nothing of them.
before=$(rss_kib "$stack_dataplane_pid")
process_start "$stack_run/lazy.log" ip netns exec "$stack_ns" "$(stack_program penstock-gen)" load \
	--to "$gate" --connections 10 --outstanding 16 --duration 12 --quiet --stop-reading 4096 \
	--functions size:1000000 --timeout-ms 60000
lazy=$process_pid
load_start 8 --connections 2 --rate 500 --quiet --expect-no-errors
expect "others never notice a client that stops reading" calls_go_on
mid=$(rss_kib "$stack_dataplane_pid")
sleep 3
after=$(rss_kib "$stack_dataplane_pid")
held() { smoke_pools | awk '/block_bytes/ { sum += $4 } END { print sum }'; }
expect "its replies wait in the gateway" test "$(held)" -gt 10000000
say "  resident: $before KiB before, $mid after 8 s, $after after 11 s"
expect "memory is bounded while it does not read" test $((mid - before)) -lt 400000
expect "memory is flat while it does not read" test $((after - mid)) -lt 20000
process_stop "$lazy" 2
smoke_pools_settle 20
smoke_end
