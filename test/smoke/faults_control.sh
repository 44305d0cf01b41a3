#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The control plane is killed with -9 and restarted under load: no call is lost, nothing is forgotten. A thousand changes
# of the table under full load lose no call. The gateway stopped while calls run drains.
. "${0%/*}/lib.sh"
smoke_start

no_errors() { load_wait && [ "$(load_get .errors_total)" = 0 ]; }
resources() { penstock get endpoints -o name; penstock get gateways -o name; penstock get functions -o name; }

# Killed and restarted, three times.
printf -- '---\napiVersion: penstock/v1\nkind: Function\nmetadata: {name: thumb}\nspec: {runtime: process, command: [thumb]}\n' |
	smoke_apply
resources >"$stack_run/before.log"
load_start 9 --connections 8 --outstanding 8 --quiet --expect-no-errors
for _ in 1 2 3; do
	sleep 1
	kill -KILL "$stack_controlplane_pid"
	sleep 0.5
	stack_start_controlplane
done
resources >"$stack_run/after.log"
expect "no call is lost over three kills of the control plane" no_errors
expect "nothing is forgotten" cmp -s "$stack_run/before.log" "$stack_run/after.log"
smoke_backend 7004
manifest_endpoint late '[late.]' "$stack_host:7004" | smoke_apply
expect "changes arrive after the restart" stack_wait_call late.echo

# A thousand changes: of the called service's own targets, and of others that come and go.
changes() {
	local i
	for ((i = 0; i < 250; i++)); do
		manifest_endpoint demo '[echo, count, delay, error]' "$stack_host:7000"
		manifest_endpoint "come$i" "[come$i, \"come$i.\"]" "$stack_host:7001"
		manifest_endpoint demo '[echo, count, delay, error]' "$stack_host:7001" "$stack_host:7000"
		manifest_endpoint "come$i" "[gone$i]" "$stack_host:7000"
	done
}
changes >"$stack_run/changes.yaml"
load_start 25 --connections 8 --outstanding 64 --quiet --expect-no-errors
applied=$(date +%s)
expect "a thousand changes are taken" penstock apply -f "$stack_run/changes.yaml" -o name >/dev/null
say "  in $(($(date +%s) - applied)) s"
expect "a thousand changes of the table lose no call" no_errors
expect "the last change holds" test "$(penstock call gone249 -d x 2>&1 | head -c 8)" != "REJECTED"
smoke_pools_settle

# SIGTERM while calls run: what is in flight is answered, new calls are refused, the process ends by itself.
load_start 10 --connections 4 --outstanding 8 --quiet --functions delay:200
sleep 2
kill -TERM "$stack_dataplane_pid"
gone() { ! process_lives "$stack_dataplane_pid"; }
expect "the gateway drains within 5 s" wait_for 5 "the drain" - gone
drained=0
wait "$stack_dataplane_pid" || drained=$?
expect "it ends with status 0" test "$drained" = 0
process_stop "$load_pid" 3
cut_off() {
	jq -r '[.errors | to_entries[] | select(.key | test("^CANCELED|after sending|timeout")) | .value] | add // 0' \
		"$stack_run/load.json"
}
expect "no call in flight was cut off" test "$(cut_off)" = 0
jq -c .errors "$stack_run/load.json"
smoke_end
