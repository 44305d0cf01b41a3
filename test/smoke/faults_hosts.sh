#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Function hosts on machines of their own (namespaces, one link to the control plane and one to the gateway each): who
# may join, a host cut off from the control plane alone, which goes on serving, a node that is lost and returns. Each
# call is counted.
. "${0%/*}/lib.sh"

lease=3

host_ns() { printf '%s-%s' "$stack_ns" "$1"; }

# machine_make NAME NUMBER: 10.78.N.2 reaches the control plane at 10.78.N.1, the gateway reaches 10.79.N.2.
machine_make() {
	local ns
	ns=$(host_ns "$1")
	netns_make "$ns"
	ip -n "$stack_ns" link add "c$2" type veth peer name control netns "$ns"
	ip -n "$stack_ns" link add "d$2" type veth peer name data netns "$ns"
	ip -n "$stack_ns" address add "10.78.$2.1/24" dev "c$2"
	ip -n "$stack_ns" address add "10.79.$2.1/24" dev "d$2"
	ip -n "$ns" address add "10.78.$2.2/24" dev control
	ip -n "$ns" address add "10.79.$2.2/24" dev data
	ip -n "$stack_ns" link set "c$2" up
	ip -n "$stack_ns" link set "d$2" up
	ip -n "$ns" link set control up
	ip -n "$ns" link set data up
	printf '%032x\n' "$2" >"$stack_run/machine-$1"
}

# host_start LIFE NAME MACHINE NUMBER [FLAGS]: as a host of that machine; its log is LIFE.log, its pid host_pid[LIFE].
# Not every system has a machine-id to mount upon: the host sees a copy of /etc that has.
host_start() {
	local life=$1 name=$2 machine=$3 number=$4
	shift 4
	# shellcheck disable=SC2016
	process_start "$stack_run/$life.log" ip netns exec "$(host_ns "$machine")" unshare -m bash -c \
		'set -e; etc=$(mktemp -d "$0.XXXXXX"); cp -a /etc/. "$etc"; cp "$0" "$etc/machine-id"
		mount --bind "$etc" /etc; exec "$@"' "$stack_run/machine-$machine" \
		"$(stack_program penstock-fnhost)" --config /dev/null --name "$name" --control "10.78.$number.1:7879" \
		--listen "10.79.$number.2:7880" --state "$stack_run/fnhost-$life" \
		--functions "$stack_build/fnhost/demo" --shim "$(stack_program penstock-shim)" "$@"
	host_pid[$life]=$process_pid
}

function_manifest() {
	printf -- '---\napiVersion: penstock/v1\nkind: Function\nmetadata: {name: echo}\nspec:\n'
	printf '  command: [demo-echo]\n  scale: {min: %s, max: 100, concurrency: 8}\n' "$1"
	printf '  resources: {cpu_milli: 10, memory: 16Mi}\n  call: {timeout_ms: 5000, queue: 1024}\n'
}

settled() {
	[ "$(penstock get function echo -o json |
		jq -c '[.status.instances, .status.ready, .status.stopping]')" = "[$1,$1,0]" ]
}
node_state() { [ "$(penstock get node "$1" -o json | jq -r .status.state)" = "$2" ]; }
on_node() { penstock get instances -o json | jq "[.[] | select(.spec.node == \"$1\")] | length"; }
on_node_is() { [ "$(on_node "$1")" = "$2" ]; }
# Processes of the function on a machine, not its shims.
processes() {
	local pid count=0
	for pid in $(ip netns pids "$(host_ns "$1")"); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != demo-echo ] || count=$((count + 1))
	done
	echo "$count"
}
processes_are() { [ "$(processes "$1")" = "$2" ]; }
logged() { grep -q "$2" "$stack_run/$1.log"; }
events_are() { [ "$(penstock events --json | grep refused | grep -c "$1")" = "$2" ]; }
no_errors() { load_wait && [ "$(load_get .errors_total)" = 0 ]; }
load_runs() { kill -0 "$load_pid" 2>/dev/null; }
served_by() { penstock explain route echo | grep -qE "^$1 "; }
served_by_alone() { served_by "$1" && ! served_by "$2"; }

smoke_open
machine_make m1 1
machine_make m2 2
head -c 24 /dev/urandom | base64 >"$stack_run/token"
head -c 24 /dev/urandom | base64 >"$stack_run/wrong"
printf 'sha256:%s\n' "$(head -n 1 "$stack_run/token" | tr -d '\n' | sha256sum | cut -d ' ' -f 1)" >"$stack_run/hash"
stack_cp_args=(--peer-tcp 0.0.0.0:7879 --token-file "$stack_run/hash" --lease "$lease")
stack_start_controlplane
stack_start_dataplane
manifest_gateway | smoke_apply
stack_wait_dataplane

# --- who may join ---

host_start n1-none n1 m1 1
host_start n2-wrong n2 m2 2 --token-file "$stack_run/wrong"
expect "a host without the token is told so" wait_for 15 "its log" - logged n1-none "join token is missing or wrong"
expect "so is one with another token" wait_for 15 "its log" - logged n2-wrong "join token is missing or wrong"
expect "there is an event of each" wait_for 10 "two events" - events_are "join token" 2
expect "neither is a node" test "$(penstock get nodes -o json | jq length)" = 0
process_stop "${host_pid[n1-none]}"
process_stop "${host_pid[n2-wrong]}"
host_start n1 n1 m1 1 --token-file "$stack_run/token"
expect "with the token it is a node" wait_for 15 "n1" - node_state n1 ready
host_start n1-double n1 m2 2 --token-file "$stack_run/token"
expect "another machine's host of the same name is refused" \
	wait_for 15 "its log" - logged n1-double "held by another host"
expect "and there is an event" wait_for 10 "an event" - events_are "held by another" 1
expect "the first one stays" node_state n1 ready
process_stop "${host_pid[n1-double]}"
host_start n2 n2 m2 2 --token-file "$stack_run/token"
expect "with a name of its own it joins" wait_for 15 "n2" - node_state n2 ready

function_manifest 4 | smoke_apply
stack_wait_call echo
expect "4 instances" wait_for 20 "4 instances" - settled 4
there=$(on_node n1)
expect "on both nodes" test "$there" -gt 0 -a "$there" -lt 4
smoke_pools_note

# --- cut off from the control plane alone ---

load_start 19 --connections 4 --outstanding 8 --quiet --expect-no-errors
sleep 1
ip -n "$stack_ns" link set c1 down
expect "the node is down after its lease" wait_for 25 "the end of the lease" - node_state n1 down
expect "its instances are replaced" wait_for 15 "4 on n2" - on_node_is n2 4
expect "which are ready" wait_for 15 "4 instances" - settled 4
expect "those that are cut off go on" processes_are m1 "$there"
expect "calls go to the others now" wait_for 5 "n2 alone" - served_by_alone n2 n1
expect "calls went on all the time" load_runs
ip -n "$stack_ns" link set c1 up
expect "the node returns" wait_for 20 "n1" - node_state n1 ready
expect "the doubles are stopped" wait_for 20 "no process" - processes_are m1 0
expect "no call is lost" no_errors
[ "$(load_get .errors_total)" = 0 ] || jq -c .errors "$stack_run/load.json"

# --- lost altogether: calls that are there are lost with it, all others are not ---

penstock scale echo 8 >/dev/null
expect "8 instances" wait_for 20 "8 instances" - settled 8
expect "some of them on n1" test "$(on_node n1)" -gt 0
load_start 12 --connections 4 --outstanding 8 --quiet
sleep 1
ip -n "$stack_ns" link set d1 down
ip -n "$stack_ns" link set c1 down
expect "the node is down" wait_for 25 "the end of the lease" - node_state n1 down
expect "all instances run elsewhere" wait_for 15 "8 on n2" - on_node_is n2 8
expect "and are ready" wait_for 15 "8 instances" - settled 8
expect "calls are answered" test "$(penstock call echo -d on)" = on
load_wait || true
expect "of the 32 calls at a time only those at the lost node failed" test "$(load_get .errors_total)" -le 64
jq -c .errors "$stack_run/load.json"
ip -n "$stack_ns" link set d1 up
ip -n "$stack_ns" link set c1 up
expect "it returns" wait_for 20 "n1" - node_state n1 ready
expect "without doubles" wait_for 20 "no process" - processes_are m1 0
penstock scale echo 10 >/dev/null
expect "new instances go there again" wait_for 20 "10 instances" - settled 10
expect "and are called" wait_for 5 "n1" - served_by n1
smoke_pools_settle
smoke_end
