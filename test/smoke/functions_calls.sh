#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Functions call functions: `tiles` on one host calls `thumbnail`, whose instances are on another, so the calls go from
# host to gateway to host. What a call inherits, circles, and a gateway that dies in the middle. Hosts serve only
# gateways that know their token.
. "${0%/*}/lib.sh"

# manifest NAME INSTANCES MILLI COMMAND
manifest() {
	printf -- '---\napiVersion: penstock/v1\nkind: Function\nmetadata: {name: %s}\nspec:\n' "$1"
	printf '  command: [%s]\n  scale: {min: %s, concurrency: 64}\n' "$4" "$2"
	printf '  resources: {cpu_milli: %s, memory: 16Mi}\n  call: {timeout_ms: 60000, queue: 256}\n' "$3"
}

ready() { [ "$(penstock get function "$1" -o json | jq .status.ready)" = "$2" ]; }
# nodes_of FUNCTION: where its instances are.
nodes_of() {
	penstock get instances -o json |
		jq -r "[.[] | select(.spec.function == \"$1\") | .spec.node] | unique | join(\" \")"
}
counter() { stats ".counters[\"relay.$1\"] // 0"; }
at_least() { [ "$(counter "$1")" -ge "$2" ]; }
says() { [ "$(penstock call "${@:2}" 2>&1)" = "$1" ]; }
log_has() { penstock logs "$1" | grep -q "$2"; }

smoke_open
echo "only gateways know this" >"$stack_run/token"
stack_args+=(--gateway-token-file "$stack_run/token")
stack_start_controlplane
stack_start_dataplane
manifest_gateway | smoke_apply
stack_wait_dataplane

# n1 is full with `tiles` and `faulty`, so that `thumbnail` can only be on n2.
host_start n1 7880 --cpu 1000 --gateway-token-file "$stack_run/token"
{
	manifest tiles 1 500 demo-tiles
	manifest faulty 1 500 demo-faulty
} | smoke_apply
expect "tiles is ready" wait_for 15 "tiles" - ready tiles 1
expect "faulty is ready" wait_for 15 "faulty" - ready faulty 1
host_start n2 7881 --cpu 1000 --gateway-token-file "$stack_run/token"
{
	manifest thumbnail 2 100 demo-thumbnail
	manifest sleeper 1 100 demo-faulty
} | smoke_apply
expect "thumbnail is ready" wait_for 15 "thumbnail" - ready thumbnail 2
expect "sleeper is ready" wait_for 15 "sleeper" - ready sleeper 1
expect "tiles is on n1 alone" test "$(nodes_of tiles)" = n1
expect "thumbnail is on n2 alone" test "$(nodes_of thumbnail)" = n2
stack_wait_route thumbnail
smoke_pools_note

expect_status "a host refuses who does not know the token" 1 penstock call faulty --to 127.0.0.1:7880 -d pid

# An image in, its tiles' thumbnails out; 16 calls between the hosts.
"$stack_build/fnhost/demo/demo-picture" draw "$stack_run/picture.jpg" 800 600 >/dev/null
before=$(counter calls_nested)
expect "tiles answers" penstock call tiles -f "$stack_run/picture.jpg" -o "$stack_run/small.jpg" --timeout 60s
same_picture() {
	[[ $("$stack_build/fnhost/demo/demo-picture" compare "$stack_run/picture.jpg" "$stack_run/small.jpg") = "512 x 384 "* ]]
}
expect "with the same picture, smaller" same_picture
expect "hosts tell the gateway their load" wait_for 5 "a load" - at_least loads_told 1
expect "in a form that it understands" test "$(counter loads_invalid)" = 0
expect "by 16 calls through the gateway" wait_for 5 "16 calls" - at_least calls_nested $((before + 16))

# What is inherited, and what comes back.
expect "an error comes back as it was" says "0x301: no" faulty -d "call sleeper error 0x301 no"
expect "a refusal, too" says "REJECTED: no such function: nothing" faulty -d "call nothing at all"
left=$(penstock call faulty --timeout 20s -d "call sleeper left")
expect "the time left is inherited: $left us" test "${left:-0}" -gt 0 -a "${left:-0}" -lt 20000000
circle=$(for _ in $(seq 40); do printf 'call faulty '; done)
said=$(penstock call faulty -d "${circle}pid" 2>&1 || true)
expect "a circle ends: $said" test "${said#REJECTED: functions call functions too deep}" != "$said"
expect "and is counted" wait_for 5 "the count" - at_least drop_too_deep 1
smoke_pools_settle

# The gateway dies while a function waits for another. An event's function does not end with who asked for it.
faulty_id=$(penstock get instances -o json | jq -r '.[] | select(.spec.function == "faulty") | .metadata.name')
sleeping() { [ "$(stats '[.gateways[].workers[].calls_in_flight] | add')" -ge "${1:-1}" ]; }
penstock call faulty --fnf -d "try sleeper sleep 120000"
expect "the nested call is under way" wait_for 10 "the call" - sleeping
kill -KILL "$stack_dataplane_pid"
expect "the function is told CANCELED" wait_for 10 "the function's log" - log_has "$faulty_id" "sleeper ended with 0x203"
stack_start_dataplane
stack_wait_dataplane
again() { says 120 faulty -d "call sleeper sleep 120"; }
expect "with the gateway back, functions call again" wait_for 20 "a nested call" - again
smoke_end
