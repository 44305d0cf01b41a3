#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Large messages: 1 MB and 15 MB both ways, to backends that reassemble and to ones that do not; a slow upload of 15 MB
# shares one upstream connection with small calls and does not delay them.
. "${0%/*}/lib.sh"
smoke_start

no_errors() { load_wait && [ "$(load_get .errors_total)" = 0 ]; }

smoke_backend 7005 --fragment never
{
	printf -- '---\napiVersion: penstock/v1\nkind: Endpoint\nmetadata: {name: whole}\n'
	printf 'spec: {addresses: ["%s:7005"], routes: ["whole."], fragments: false}\n' "$stack_host"
	manifest_endpoint large '["large."]' "$stack_host:7000"
} | smoke_apply
stack_wait_call whole.echo
stack_wait_call large.echo
smoke_pools_note

for mb in 1 15; do
	for route in large whole; do
		load_start 60 --connections 2 --outstanding 1 --count 8 --size $((mb * 1000000)) --quiet \
			--functions "$route.echo" --expect-no-errors --timeout-ms 30000
		expect "$mb MB both ways, to $route" no_errors
	done
done
load_start 60 --connections 1 --outstanding 1 --count 4 --size 15000000 --quiet --fragment never \
	--functions large.echo --expect-no-errors --timeout-ms 30000
expect "15 MB in one frame of the client" no_errors
smoke_pools_settle

# What follows is about one upstream connection, and a connection is one worker's: more would only make it
# a matter of chance whether the two clients meet on one.
if [ "$stack_workers" -gt 1 ]; then
	process_stop "$stack_dataplane_pid" 15
	stack_workers=1
	stack_start_dataplane
	stack_wait_dataplane
	stack_wait_call large.echo
	smoke_pools_note
fi

counter() { stats ".counters[\"$1\"] // 0"; }
arrives() { [ $(($(counter tcp.bytes_in) - arrived)) -gt 2000000 ]; }
reported() { [ "$(counter relay.calls)" = $((calls + 2001 + more)) ]; }

# The small calls alone, then beside the upload.
small() {
	load_start 60 --connections 1 --count 1000 --rate 400 --quiet --functions large.echo \
		--expect-no-errors
	expect "$1" no_errors
	p99=$(load_get '.p99_us | floor')
}
calls=$(counter relay.calls)
small "1,000 small calls alone"
alone=$p99
arrived=$(counter tcp.bytes_in)
dialled=$(counter relay.upstream_dialled)
# 15 seconds of upload, 2.5 of small calls.
process_start "$stack_run/upload.log" ip netns exec "$stack_ns" "$(stack_program penstock-gen)" load \
	--to "$stack_gateway:$stack_port" --connections 1 --outstanding 1 --count 1 --size 15000000 \
	--slow 1000000 --functions large.sink --expect-no-errors --timeout-ms 120000 --quiet
upload=$process_pid
wait_for 60 "the upload" "$upload" arrives
small "1,000 small calls beside a slow upload of 15 MB"
beside=$p99
expect "they all ended before the upload did" process_lives "$upload"
# All of it goes upstream at once when its last byte has come: small calls go on over that.
more=0
failed=0
while process_lives "$upload"; do
	load_start 60 --connections 1 --count 400 --rate 400 --quiet --functions large.echo --expect-no-errors
	no_errors || failed=$((failed + 1))
	more=$((more + 400))
done
expect "$more more until it is over, and past its end" test "$failed" = 0
upload_rc=0
wait "$upload" || upload_rc=$?
expect "the upload succeeds" test "$upload_rc" = 0
wait_for 10 "a report of the gateway" "$stack_dataplane_pid" reported
expect "both were on the connection that the first small calls had made" \
	test "$(counter relay.upstream_dialled)" = "$dialled"
# Told, not judged: time on a shared machine is no matter for a test. tools/bench upload judges.
say "  p99 of the small calls: $alone us alone, $beside us beside the upload: $((beside * 100 / alone)) %"
smoke_pools_settle
smoke_end
