#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Functions on two hosts behind a gateway: deployed, called, scaled from 1 to 20 and back, rolled out and drained under
# load without a lost call; a host and the control plane killed with -9; logs.
. "${0%/*}/lib.sh"

function_manifest() {
	printf -- '---\napiVersion: penstock/v1\nkind: Function\nmetadata: {name: echo}\nspec:\n'
	printf '  command: [demo-echo]\n  scale: {min: %s, max: 100, concurrency: 8}\n' "$1"
	printf '  resources: {cpu_milli: 10, memory: 16Mi}\n  call: {timeout_ms: 5000, queue: 1024}\n'
	printf '  env: {LEVEL: %s}\n' "$2"
}

ready() { [ "$(penstock get function echo -o json | jq .status.ready)" = "$1" ]; }
settled() {
	[ "$(penstock get function echo -o json |
		jq -c '[.status.instances, .status.ready, .status.stopping]')" = "[$1,$1,0]" ]
}
node_state() { [ "$(penstock get node "$1" -o json | jq -r .status.state)" = "$2" ]; }
versions() { penstock get instances -o json | jq -r '[.[] | .spec.version] | unique | join(" ")'; }
no_errors() { load_wait && [ "$(load_get .errors_total)" = 0 ]; }
# Processes of the function itself, not its shims.
processes() {
	local pid count=0
	for pid in $(ip netns pids "$stack_ns"); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != demo-echo ] || count=$((count + 1))
	done
	echo "$count"
}
# id and pid of what runs.
running() { penstock get instances -o json | jq -r '.[] | "\(.metadata.name) \(.status.pid)"' | sort; }
on_node() { penstock get instances -o json | jq "[.[] | select(.spec.node == \"$1\")] | length"; }

smoke_open
stack_start_controlplane
stack_start_dataplane
manifest_gateway | smoke_apply
stack_wait_dataplane
host_start n1 7880
host_start n2 7881
expect "both nodes are ready" wait_for 15 "n1" - node_state n1 ready
expect "the second, too" wait_for 15 "n2" - node_state n2 ready

function_manifest 1 a | smoke_apply
stack_wait_call echo
expect "a call comes back" test "$(penstock call echo -d hello)" = hello
smoke_pools_note

# From 1 to 20 and back under load.
load_start 7 --connections 4 --outstanding 8 --quiet --expect-no-errors
sleep 1
penstock scale echo 20 >/dev/null
expect "20 instances are ready" wait_for 20 "20 instances" - settled 20
penstock scale echo 1 >/dev/null
expect "19 of them stop" wait_for 20 "1 instance" - settled 1
expect "no call is lost by scaling" no_errors

# A new version under load.
penstock scale echo 4 >/dev/null
expect "4 instances" wait_for 20 "4 instances" - settled 4
before=$(versions)
load_start 6 --connections 4 --outstanding 8 --quiet --expect-no-errors
sleep 1
function_manifest 4 b | smoke_apply
new_version() { [ "$(versions)" = $((before + 1)) ] && settled 4; }
expect "the new version takes over" wait_for 20 "the new version" - new_version
expect "no call is lost by the rollout" no_errors

# A node is drained under load.
load_start 5 --connections 4 --outstanding 8 --quiet --expect-no-errors
sleep 1
penstock drain n1 >/dev/null
drained() { [ "$(on_node n1)" = 0 ] && settled 4; }
expect "the drained node is empty" wait_for 20 "the drain" - drained
expect "no call is lost by the drain" no_errors
penstock drain n1 --undo >/dev/null
penstock scale echo 8 >/dev/null
expect "it takes instances again" wait_for 20 "8 instances" - settled 8
expect "of which some are there" test "$(on_node n1)" -gt 0

# A host is killed and comes back: its instances are adopted, not started again.
running >"$stack_run/running-before.log"
load_start 5 --connections 4 --outstanding 8 --quiet
sleep 1
kill -KILL "${host_pid[n1]}"
sleep 0.5
host_start n1 7880
load_wait || true
expect "8 instances again" wait_for 20 "8 instances" - settled 8
running >"$stack_run/running-after.log"
expect "they are the same processes" cmp -s "$stack_run/running-before.log" "$stack_run/running-after.log"
expect "calls in flight there were CANCELED or REJECTED, none hung" \
	test "$(load_get '[.errors | to_entries[] | select(.key | test("timeout|after sending")) | .value] | add // 0')" = 0
jq -c .errors "$stack_run/load.json"

# The control plane is killed in the middle of changes: what was acknowledged is there, nothing runs twice.
load_start 12 --connections 4 --outstanding 8 --quiet --expect-no-errors
for n in 3 12 5 9 2 7; do
	penstock scale echo $n >/dev/null
	sleep 0.0$((RANDOM % 10))
	kill -KILL "$stack_controlplane_pid"
	sleep 0.2
	stack_start_controlplane
	expect "scaled to $n, as was acknowledged" \
		test "$(penstock get function echo -o json | jq .spec.scale.min)" = "$n"
done
expect "7 instances" wait_for 30 "7 instances" - settled 7
alone() { [ "$(processes)" = "$(running | wc -l)" ]; }
expect "and as many processes" wait_for 15 "as many processes" - alone
expect "no call is lost over the kills" no_errors
jq -c .errors "$stack_run/load.json"

expect "explain tells the hosts" test -n "$(penstock explain route echo | grep -E '^n[12] ')"
id=$(penstock get instances -o json | jq -r '.[0].metadata.name')
expect "and why an instance is there" test -n "$(penstock explain instance "$id" | grep 'Placed by')"
expect_status "logs can be read" 0 penstock logs "$id"
smoke_pools_settle
penstock delete function echo >/dev/null
none_left() { [ "$(processes)" = 0 ]; }
expect "a deleted function leaves no process" wait_for 20 "the end of all instances" - none_left
smoke_end
