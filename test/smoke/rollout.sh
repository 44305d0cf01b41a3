#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# A function's new versions: canaries that wait over a kill -9 of the control plane, scaling meanwhile, promotion,
# pause and resume; a version that fails is taken back and not tried again. No gateway: nobody is called.
. "${0%/*}/lib.sh"

# function_apply LEVEL [COMMAND]
function_apply() {
	smoke_apply <<-EOF
		apiVersion: penstock/v1
		kind: Function
		metadata: {name: echo}
		spec:
		  command: ${2:-[demo-echo]}
		  scale: {min: 4, max: 10}
		  resources: {cpu_milli: 10, memory: 16Mi}
		  update: {canary: 1, max_parallel: 2, auto_revert: true}
		  env: {LEVEL: $1}
	EOF
}

# How many run of which version, as "4x1 1x2".
running() {
	penstock get instances -o json | jq -r '[.[] | select(.status.state == "running")] | group_by(.spec.version) |
		map("\(length)x\(.[0].spec.version)") | join(" ")'
}
running_are() { [ "$(running)" = "$1" ]; }
echo_ids() { penstock get instances -o json | jq -r '.[] | select(.spec.function == "echo") | .metadata.name' | sort; }

# deployment FILTER
deployment() { penstock get function echo -o json | jq -r ".status.deployment | $1"; }
deployment_is() { [ "$(deployment "$1")" = "$2" ]; }
state_is() { deployment_is .state "$1"; }

smoke_no_huge=1
smoke_open
stack_start_controlplane
host_start n1 7880
host_start n2 7881
expect "both nodes are ready" wait_for 15 "n1" - node_ready n1
expect "the second, too" wait_for 15 "n2" - node_ready n2

function_apply a
expect "4 of the first version" wait_for 20 "4 instances" - running_are 4x1
expect "it is stable" wait_for 10 "its deployment" - state_is successful

function_apply b
expect "one canary beside them" wait_for 20 "the canary" - running_are "4x1 1x2"
expect "which waits" wait_for 10 "its report" - deployment_is .waits_for_promotion true
before=$(echo_ids)
controlplane_restart
expect "over a restart, too" wait_for 20 "its report" - deployment_is .waits_for_promotion true
expect "and the others" wait_for 20 "the hosts' reports" - running_are "4x1 1x2"
expect "nothing else has begun" test "$(echo_ids)" = "$before"
penstock scale echo 6 >/dev/null
expect "scaled meanwhile, by the old version" wait_for 20 "6 and the canary" - running_are "6x1 1x2"
penstock rollout promote function echo >/dev/null
expect "promoted, the new one takes over" wait_for 30 "the new version" - running_are 6x2
expect "and is stable" wait_for 10 "its deployment" - state_is successful
expect_status "nothing is left to be promoted" 1 penstock rollout promote function echo

function_apply c
expect "a canary again" wait_for 20 "the canary" - deployment_is .waits_for_promotion true
penstock rollout pause function echo >/dev/null
expect "paused" state_is paused
expect_status "what is paused is not promoted" 1 penstock rollout promote function echo
penstock rollout resume function echo >/dev/null
penstock rollout promote function echo >/dev/null
expect "resumed, it goes on to its end" wait_for 30 "the third version" - state_is successful

# It ends at once: the version before comes back under a number of its own.
function_apply d '[bash, -c, "exit 3"]'
reverted() { [ "$(deployment .version)" -gt 4 ] && state_is successful; }
expect "a version that fails is taken back" wait_for 30 "the version before" - reverted
back=$(deployment .version)
expect "under a new number" wait_for 10 "the hosts' word" - running_are "4x$back"
controlplane_restart
penstock scale echo 8 >/dev/null
expect "scaling does not try it again" wait_for 30 "8 instances" - running_are "8x$back"
expect "nor does a restart" deployment_is .version "$back"

function_apply e
expect "another version is another try" wait_for 30 "its canary" - deployment_is .waits_for_promotion true
penstock rollout promote function echo >/dev/null
taken() { [ "$(deployment .version)" -gt "$back" ] && state_is successful; }
expect "and takes over" wait_for 30 "the last version" - taken

penstock delete function echo >/dev/null
none_run() { [ "$(penstock get instances -o json | jq length)" = 0 ]; }
expect "in the end nothing runs" wait_for 20 "the end of all instances" - none_run
smoke_end
