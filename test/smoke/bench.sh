#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# smoke: alone
# tools/bench runs, writes results of the documented form, compares them, and leaves nothing behind.
# Figures are not judged here: others use the machine of a test.
. "${0%/*}/lib.sh"
smoke_open

bench() { "$root/tools/bench" "$@"; }
leftovers() { { ip netns list; ls /run/dpdk 2>/dev/null; } | grep -cE '^(penstock-)?bench-' || true; }

if [ -n "$smoke_no_huge" ]; then
	smoke_skip "the benchmark needs huge pages"
fi
before=$(leftovers)
for result in a b; do
	expect "gateway, the quick way: $result" bench gateway --quick --repeats 2 --only penstock --no-install \
		--build "$stack_build" --json "$stack_run/$result.json"
done
expect "its result is as documented" jq -e '.benchmark == "gateway" and (.machine | has("cpu")) and
	([.runs[] | .subject == "penstock" and .load == 1 and .calls_per_s > 0 and .cpu_us_per_call > 0 and
	.p50_us <= .p99_us and .calls_per_s_min <= .calls_per_s and .calls_per_s <= .calls_per_s_max and
	.frames_per_send > 0] | all) and ([.runs[].case] | sort) == ["rr32-c8x1", "rr32-c8x64"]' "$stack_run/a.json"
expect "two results are compared" bench compare "$stack_run/a.json" "$stack_run/b.json"
expect_status "what is no result is refused" 1 bench compare "$stack_run/a.json" /dev/null
expect_status "an unknown benchmark is refused" 2 bench nosuch
expect_status "so is what is no benchmark but a part of one" 2 bench results
if command -v perf >/dev/null && command -v nm >/dev/null; then
	expect "the profile, the quick way" bench profile --quick --no-install --build "$stack_build" \
		--json "$stack_run/profile.json"
	expect "it tells cycles by part of the program" jq -e '[.runs[] | .cycles_per_call > 0 and
		.sampled_idle_share < 1 and .["kernel cycles_per_call"] > 0] | all and length == 2' \
		"$stack_run/profile.json"
fi
expect "nothing is left behind" test "$(leftovers)" -le "$before"
smoke_end
