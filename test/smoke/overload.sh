#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A function with a queue of 128 under ten times its capacity, through the whole appliance: the memory of gateway, host
# and instance stays flat, the excess is REJECTED at once and counted on gateway and host, and calls that are taken wait
# no longer than the queue is. Bounds come from what the function was seen to serve, not from a clock.
# smoke: alone
. "${0%/*}/lib.sh"

queue=128
places=2
service_ms=10

smoke_measures_memory
smoke_open
stack_start_controlplane
stack_start_dataplane
manifest_gateway | smoke_apply
stack_wait_dataplane
host_start n1 7880
smoke_apply <<YAML
apiVersion: penstock/v1
kind: Function
metadata: {name: faulty}
spec:
  command: [demo-faulty]
  scale: {min: 1, concurrency: $places}
  resources: {cpu_milli: 10, memory: 16Mi}
  call: {timeout_ms: 60000, queue: $queue}
YAML
status() { penstock get function faulty -o json | jq "$1"; }
status_is() { [ "$(status "$1")" = "$2" ]; }
expect "the function is ready" wait_for 15 "faulty" - status_is .status.ready 1
stack_wait_route faulty
instance_pid=$(penstock get instances -o json | jq -r '.[0].status.pid')

# overload SECONDS: ten times what its places could serve at best.
overload() {
	load_start "$1" --connections 4 --rate $((10 * places * 1000 / service_ms)) --timeout-ms 60000 --quiet \
		--functions "faulty:spin $service_ms"
}
rejected() { load_get '[.errors | to_entries[] | select(.key | startswith("REJECTED: queue full")) | .value] | add // 0'; }
gateway_rejected() { stats '[.services[] | select(.route == "faulty") | .calls.rejected] | add // 0'; }
host_rejected() { status .status.calls.rejected; }
own_refusals() {
	stats '[.counters["relay.drop_queue_full", "relay.drop_calls_full", "relay.drop_no_target"] // 0] | add'
}
same() { [ "$("$1")" = "$2" ]; }

# The first one makes every process take what it takes at most.
overload 8
load_wait || true
expect "overload is answered REJECTED" test "$(rejected)" -gt 0
drained() { status_is '.status.queued + .status.running' 0; }
expect "and ends" wait_for 20 "an empty queue" - drained
counted() { [ "$(gateway_rejected)" -ge "$(rejected)" ] && [ "$(host_rejected)" -ge "$(rejected)" ]; }
expect "gateway and host have counted it" wait_for 10 "the counts" - counted
sleep 2  # two reports
gateway_before=$(gateway_rejected)
host_before=$(host_rejected)
own_before=$(own_refusals)

rss_all() { echo "$(rss_kib "$stack_dataplane_pid") $(rss_kib "${host_pid[n1]}") $(rss_kib "$instance_pid")"; }
# How long a call that is refused takes, in us, by the command line: the most of several.
refused_us() {
	local start end said
	start=$(date +%s%N)
	said=$(penstock call faulty -d pid --timeout 60s 2>&1) && return 0
	end=$(date +%s%N)
	[[ $said != "REJECTED: queue full"* ]] || echo $(((end - start) / 1000))
}
overload 12
sleep 1
rss_all >"$stack_run/rss.log"
status .status.queued >"$stack_run/queued.log"
for _ in 1 2 3 4 5 6 7 8 9; do
	refused_us >>"$stack_run/refused.log"
	sleep 1
	rss_all >>"$stack_run/rss.log"
	status .status.queued >>"$stack_run/queued.log"
done
load_wait || true

# Flat: nine seconds and tens of thousands of calls later no more than at the first second, but for a little.
grown() { awk -v at="$1" 'NR == 1 { first = $at } { if ($at > most) most = $at } END { print most - first }' "$stack_run/rss.log"; }
expect "the gateway's memory is flat ($(grown 1) KiB more)" test "$(grown 1)" -lt 4096
expect "the host's memory is flat ($(grown 2) KiB more)" test "$(grown 2)" -lt 4096
expect "the instance's memory is flat ($(grown 3) KiB more)" test "$(grown 3)" -lt 4096
expect "the queue is full" test "$(sort -n "$stack_run/queued.log" | tail -n 1)" -gt $((queue / 2))
expect "and never longer" test "$(sort -n "$stack_run/queued.log" | tail -n 1)" -le "$queue"

ok=$(load_get .calls)
excess=$(rejected)
say "  $ok calls were taken, $excess refused; p50 $(load_get '.p50_us | floor') us, p99 $(load_get '.p99_us | floor') us"
expect "most are refused" test "$excess" -gt "$ok"
expect "for no other reason" test "$(load_get .errors_total)" = "$excess"
expect "some were seen to be refused from outside" test -s "$stack_run/refused.log"
command_line=$(wc -l <"$stack_run/refused.log")
expect "the gateway counts them" wait_for 10 "the gateway's count" - same gateway_rejected \
	$((gateway_before + excess + command_line))
expect "the host counts them" wait_for 10 "the host's count" - same host_rejected \
	$((host_before + excess + command_line))
expect "the gateway itself refused none" test \
	"$(own_refusals)" = "$own_before"

# A call that is taken finds at most the queue and the places before it. What they take follows from what was served.
wait_us=$(load_get "($queue + $places) * 1e6 / .calls_per_s | floor")
say "  the whole queue takes $wait_us us"
expect "p99 of those taken is bounded by the queue" test "$(load_get '.p99_us | floor')" -lt $((3 * wait_us))
refused=$(sort -n "$stack_run/refused.log" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
expect "who is refused does not wait for the queue ($refused us)" test "$refused" -lt "$wait_us"
expect "the queue empties" wait_for 20 "an empty queue" - drained
smoke_end
