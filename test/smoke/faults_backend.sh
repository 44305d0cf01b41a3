#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Backends with faults: one that dies in the middle of calls and comes back, one that stops reading. Calls in
# flight get CANCELED, unsent ones REJECTED, new ones succeed after the reconnect, other functions' calls
# never notice.
. "${0%/*}/lib.sh"
smoke_measures_memory
smoke_start

smoke_backend 7002 --delay-us 20000
manifest_endpoint mortal '[mortal.]' "$stack_host:7002" | smoke_apply
stack_wait_call mortal.echo
smoke_pools_note

gen=$(stack_program penstock-gen)
gate=$stack_gateway:$stack_port

# Only the two answers that the interface allows for a lost backend.
only_lost_errors() {
	jq -e '[.errors | keys[] | select((startswith("CANCELED") or startswith("REJECTED")) | not)]
		| length == 0' "$1" >/dev/null
}
has_error() { jq -e --arg code "$2" '[.errors | keys[] | select(startswith($code))] | length > 0' "$1" >/dev/null; }

process_start "$stack_run/mortal.log" ip netns exec "$stack_ns" "$gen" load --to "$gate" --connections 4 \
	--outstanding 16 --duration 12 --quiet --functions mortal.echo --json "$stack_run/mortal.json"
mortal_load=$process_pid
load_start 12 --connections 2 --rate 1000 --quiet --expect-no-errors
sleep 3
kill -KILL "${smoke_backend_pid[7002]}"
sleep 2
smoke_backend 7002 --delay-us 20000
wait "$mortal_load" || true
expect "calls of other functions never notice" load_wait
expect "calls in flight get CANCELED" has_error "$stack_run/mortal.json" CANCELED
expect "calls that were not sent get REJECTED" has_error "$stack_run/mortal.json" REJECTED
expect "and nothing else goes wrong" only_lost_errors "$stack_run/mortal.json"
jq -c .errors "$stack_run/mortal.json"
expect "new calls succeed after the reconnect" test "$(penstock call mortal.echo -d back)" = back
smoke_pools_settle

# A backend that accepts and reads nothing: its queue fills and is refused, others go on.
smoke_backend 7003 --no-read
manifest_endpoint deaf '[deaf.]' "$stack_host:7003" | smoke_apply
before=$(rss_kib "$stack_dataplane_pid")
process_start "$stack_run/deaf.log" ip netns exec "$stack_ns" "$gen" load --to "$gate" --connections 4 \
	--rate 5000 --duration 15 --quiet --size 20000 --functions deaf.sink --timeout-ms 60000 \
	--json "$stack_run/deaf.json"
deaf_load=$process_pid
load_start 12 --connections 2 --rate 1000 --quiet --expect-no-errors
expect "others never notice a backend that stops reading" load_wait
mid=$(rss_kib "$stack_dataplane_pid")
sleep 2
after=$(rss_kib "$stack_dataplane_pid")
say "  resident: $before KiB before, $mid after 12 s, $after after 14 s"
expect "memory is bounded" test $((mid - before)) -lt 400000
expect "memory is flat" test $((after - mid)) -lt 20000
process_stop "$deaf_load" 3
expect "its queue being full is told" \
	test "$(stats '[.. | objects | .["relay.drop_queue_full"]? | numbers] | add // 0')" -gt 0
smoke_pools_settle 20
smoke_end
