#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults of functions and of a host, through the whole appliance, each call counted: a function that crashes in the
# middle of calls, one that hangs, one that never becomes ready, and a host that is killed with -9 under load.
. "${0%/*}/lib.sh"

declare -A load_pid_of=()
sleepers=24
host_lives=0

host_start() { # host_start NAME PORT
	host_lives=$((host_lives + 1))
	process_start "$stack_run/$1.$host_lives.log" ip netns exec "$stack_ns" "$(stack_program penstock-fnhost)" --config /dev/null \
		--name "$1" --control "unix:$stack_run/peer.sock" --listen "127.0.0.1:$2" --state "$stack_run/fnhost-$1" \
		--functions "$stack_build/fnhost/demo" --shim "$(stack_program penstock-shim)"
	host_pid[$1]=$process_pid
}

function_manifest() { # function_manifest NAME PROGRAM INSTANCES CONCURRENCY TIMEOUT_MS
	printf -- '---\napiVersion: penstock/v1\nkind: Function\nmetadata: {name: %s}\nspec:\n' "$1"
	printf '  command: [%s]\n  scale: {min: %s, max: 100, concurrency: %s}\n' "$2" "$3" "$4"
	printf '  resources: {cpu_milli: 10, memory: 16Mi}\n  call: {timeout_ms: %s, queue: 256}\n' "$5"
}

# --- what there is ---

function_is() { [ "$(penstock get function "$1" -o json | jq -c "$2")" = "$3" ]; }
settled() { function_is "$1" '[.status.instances, .status.ready, .status.stopping]' "[$2,$2,0]"; }
instances() { # instances FUNCTION FILTER
	penstock get instances -o json | jq -r "[.[] | select(.spec.function == \"$1\")] | $2"
}
on_node() { instances "$1" "[.[] | select(.spec.node == \"$2\")] | length"; }
# node, id, pid of what runs.
running() {
	penstock get instances -o json | jq -r '.[] | select(.spec.function != "broken")
		| "\(.spec.node) \(.metadata.name) \(.status.pid)"' | sort
}
node_state() { [ "$(penstock get node "$1" -o json | jq -r .status.state)" = "$2" ]; }
# What the gateway says it has at the hosts: "N1 N2".
at_hosts() {
	penstock get gateway gw1 -o json | jq -r '[(":7880", ":7881") as $port
		| [.status.targets[] | select(.address | endswith($port)) | .in_flight] | add // 0] | join(" ")'
}
all_at_hosts() { at_hosts | awk -v all="$sleepers" '{ exit $1 + $2 != all }'; }
calls_run() { function_is "$1" .status.running "$2"; }
# Calls that a host says it has lost with instances of a function, in all its lives.
lost_on() { # lost_on NODE FUNCTION
	cat "$stack_run/$1".*log | grep -oE "default/$2: [0-9]+ calls were lost" | awk '{ n += $2 } END { print n + 0 }'
}
restarts() { instances "$1" '[.[].status.restarts] | add'; }
function_logs() { penstock logs "$1" 2>/dev/null; }
failed_ones() { penstock get function "$1" -o json | jq .status.failed; }

# --- loads, several at once ---

load_begin() { # load_begin NAME FLAGS...
	local name=$1
	shift
	process_start "$stack_run/$name.log" ip netns exec "$stack_ns" "$(stack_program penstock-gen)" load --quiet \
		--to "$stack_gateway:$stack_port" --json "$stack_run/$name.json" "$@"
	load_pid_of[$name]=$process_pid
}
load_end() { wait "${load_pid_of[$1]}" || true; }
load_of() { jq -r "$2" "$stack_run/$1.json"; }
errors_like() { load_of "$1" "[.errors | to_entries[] | select(.key | test(\"$2\")) | .value] | add // 0"; }
same() {
	[ "$1" = "$2" ] || { say "        $1, not $2"; return 1; }
}

# The calls of crowd: each connection holds its share of them.
crowd_begin() { # crowd_begin NAME MS
	load_begin "$1" --functions "faulty:sleep $2" --connections 4 --outstanding $((sleepers / 4)) --count $sleepers \
		--timeout-ms 30000
	expect "$sleepers calls run" wait_for 10 "the calls" - calls_run faulty $sleepers
}

smoke_open
stack_start_controlplane
stack_start_dataplane
manifest_gateway | smoke_apply
stack_wait_dataplane
host_start n1 7880
host_start n2 7881
wait_for 10 "n1" - node_state n1 ready
wait_for 10 "n2" - node_state n2 ready
{
	function_manifest faulty demo-faulty 2 16 20000
	function_manifest echo demo-echo 2 8 5000
	function_manifest hang demo-faulty 1 4 500
	function_manifest broken /bin/false 1 1 500
} | smoke_apply
expect "two instances run" wait_for 10 "2 instances" - settled faulty 2
expect "one on each host" same "$(on_node faulty n1) $(on_node faulty n2)" "1 1"
wait_for 10 "echo" - settled echo 2
wait_for 10 "hang" - settled hang 1
stack_wait_call echo
faulty_answers() { penstock call faulty -d pid; }
wait_for 15 "faulty" - faulty_answers

say "A function that crashes in the middle of calls"
load_begin beside --functions echo --connections 2 --outstanding 4 --duration 6 --expect-no-errors
running >"$stack_run/before-crash.list"
crowd_begin crowd 4000
crash_status=0
penstock call faulty -d crash >"$stack_run/crash.out" 2>&1 || crash_status=$?
expect "the call that crashed fails (status $crash_status)" test "$crash_status" = 1
expect "with CANCELED" grep -q CANCELED "$stack_run/crash.out"
load_end crowd
lost=$(errors_like crowd 'CANCELED: lost with')
expect "$lost of $sleepers calls beside it are CANCELED, no other error" same "$(load_of crowd .errors_total)" "$lost"
expect "all others are answered" same "$(load_of crowd .calls)" "$((sleepers - lost))"
expect "some were in the instance that crashed, some in the other" test "$lost" -gt 0 -a "$lost" -lt "$sleepers"
lost_calls=$(printf '%s\n' "$(lost_on n1 faulty)" "$(lost_on n2 faulty)" | sort -n | xargs)
expect "one host has lost these and the one that crashed, the other none" same "$lost_calls" "0 $((lost + 1))"
expect "one instance was started again, once" wait_for 10 "the restart" - settled faulty 2
expect "and it alone" same "$(restarts faulty) $(restarts echo) $(restarts hang)" "1 0 0"
running >"$stack_run/after-crash.list"
expect "all other processes are the same" same "$(comm -13 "$stack_run/before-crash.list" "$stack_run/after-crash.list" | wc -l)" 1
expect "its log tells the end" grep -q "signal 11" "$stack_run"/n?.*.log
load_end beside
expect "no call of another function fails ($(load_of beside .calls) calls)" same "$(load_of beside .errors_total)" 0

say "A function that hangs"
hang_cancelled() { [ "$(function_logs hang | grep -c "hang was cancelled")" = 8 ]; }
load_begin hang --functions hang:hang --connections 2 --outstanding 2 --count 8
load_end hang
expect "its callers hear of the deadline, not of a time-out of their own" same "$(errors_like hang deadline)" 8
expect "and of nothing else" same "$(load_of hang '[.errors_total, .calls] | @csv')" "8,0"
expect "CANCEL reaches the function, each time" wait_for 5 "its log" - hang_cancelled
expect "it goes on" same "$(penstock call hang -d 'sleep 1')" 1
expect "as the same process" same "$(restarts hang)" 0

say "A host that is killed"
running >"$stack_run/before-kill.list"
crowd_begin crowd 6000
expect "the gateway tells where they are" wait_for 4 "its report" - all_at_hosts
n1_runs=$(at_hosts | cut -d' ' -f1)
load_begin steady --functions echo --connections 2 --outstanding 4 --duration 8 --reconnect
kill -KILL "${host_pid[n1]}"
still() { awk '{ print $3 }' "$1" | while read -r pid; do kill -0 "$pid" || exit 1; done; }
expect "all instances go on" still "$stack_run/before-kill.list"
load_end crowd
lost=$(errors_like crowd CANCELED)
expect "$lost of $sleepers calls are CANCELED: those that the gateway had there" same "$lost" "$n1_runs"
expect "all others are answered" same "$(load_of crowd '[.calls, .errors_total] | @csv')" "$((sleepers - lost)),$lost"
host_start n1 7880
expect "the host is back" wait_for 10 "n1" - node_state n1 ready
expect "with its instances" wait_for 10 "2 instances" - settled faulty 2
settled_echo() { settled echo 2; }
wait_for 10 "echo" - settled_echo
running >"$stack_run/after-kill.list"
expect "they are the same processes" cmp "$stack_run/before-kill.list" "$stack_run/after-kill.list"
expect "which were taken up" grep -qE "took up [1-9][0-9]* running instances" "$stack_run/n1.$host_lives.log"
load_end steady
expect "of the load on echo, some are CANCELED or REJECTED, none hang" \
	same "$(load_of steady .errors_total)" "$(errors_like steady 'CANCELED|REJECTED')"
expect "no more than were under way" test "$(errors_like steady CANCELED)" -le 8
load_begin again --functions echo --connections 2 --outstanding 4 --count 1000 --expect-no-errors
load_end again
expect "calls work as before" same "$(load_of again .calls)" 1000

say "A function that never becomes ready"
gave_up() { [ "$(failed_ones broken)" -ge 1 ]; }
expect "is given up" wait_for 20 "the end of patience" - gave_up
expect "with a sentence" grep -q "given up after 8 starts: it ended by itself" "$stack_run/controlplane.log"
smoke_end
