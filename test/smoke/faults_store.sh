#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The disk below the control plane: syncs that fail once, in different places, or for ever; a disk that is full. The
# API says what, where and what to do; nothing acknowledged is lost; when the disk is well again all goes on without a
# restart; a control plane that cannot store does not spin. Needs curl; root only for the full disk.
#
# usage: faults_store.sh BUILD_DIR [options of run.sh, which mean nothing here]
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
daemon=$build/controlplane/penstock-controlplane
fault_module=$build/test/crash/crash-fault.so
for file in "$daemon" "$fault_module"; do
	[ -e "$file" ] || { echo "$file is not there: build it first" >&2; exit 2; }
done
command -v curl >/dev/null || { echo "curl is missing: apt install curl" >&2; exit 2; }

. "${0%/*}/lib/control.sh"
fault=$dir/fault

answers() { call "$1" "$2" && is "$3"; }
put() { call PUT "/v1/endpoints/$1" -d "{\"spec\":{\"addresses\":[\"10.0.0.1:${2:-1}\"],\"routes\":[\"$1\"]}}"; }
takes() { put "$@" && is 201; }
function_put() { call PUT /v1/functions/default/echo -d "{\"spec\":{\"command\":[\"echo\"],\"scale\":{\"min\":$1,\"max\":9}}}"; }

wait_for() { # wait_for COMMAND...: within 20 s
	local i
	for ((i = 0; i < 200; i++)); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

healthy() { call GET /v1/health && is 200; }
alive() { kill -0 "$pid" 2>/dev/null; }

start() { # start STATE
	CRASH_FAULT=$fault LD_PRELOAD=$fault_module "$daemon" --config /dev/null --control "$sock" \
		--peer "$dir/peer.sock" --state "$1" --metrics off 2>>"$dir/daemon.log" &
	pid=$!
	wait_for healthy
}

restart() { # restart STATE: after a kill
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	start "$1"
}

ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
failures() { local text; text=$(grep -o '"errors":[0-9]*' "$dir/body"); echo "${text##*:}"; }

# All names that were acknowledged, and no other, are there.
acked=()
exactly_acked() {
	local name n
	for name in "${acked[@]}"; do
		answers GET "/v1/endpoints/$name" 200 || { echo "  $name is missing"; return 1; }
	done
	call GET '/v1/endpoints?limit=5000'
	n=$(grep -o '"kind":"Endpoint"' "$dir/body" | wc -l)
	[ "$n" = ${#acked[@]} ] || { echo "  $n endpoints instead of ${#acked[@]}"; return 1; }
}

echo "a sync that fails once"
expect "it starts" start "$dir/state"
takes first && acked+=(first)
# A sync for each change, and those of what the scheduler makes of it.
for n in 0 1 2 3 4; do
	echo "$n 1" >"$fault"
	refused=
	for k in 1 2 3 4 5 6; do
		put "once$n-$k"
		if is 201; then
			acked+=("once$n-$k")
		elif is 500 && says "$dir/state"; then
			refused=1
		else
			expect "an answer that is neither yes nor a sentence" false
		fi
	done
	expect "after $n that pass: the change is refused with a sentence that names the place" test -n "$refused"
	expect "and what comes next is taken" takes "next$n"
	acked+=("next$n")
done
expect "nothing else is there" exactly_acked
restart "$dir/state"
expect "nor after kill -9" exactly_acked

echo "syncs that fail for ever"
function_put 2
expect "a function is taken" is 201
wait_for healthy
# The change is stored, what the scheduler makes of it no more: it waits, and is tried again.
echo "1 -1" >"$fault"
function_put 3
expect "a change is taken" is 200
for k in 1 2 3; do put "never$k"; done
expect "changes are refused" is 500
expect "with what is wrong" says "Input/output error"
expect "where" says "$dir/state"
expect "and what to do" says "dmesg"
call GET /v1/health
expect "health says so" is 503
expect "with where" says "$dir/state"
expect "what is there is still shown" answers GET /v1/endpoints/first 200
call GET /v1/health
before=$(failures) ticks=$(ticks)
sleep 2
call GET /v1/health
tries=$(($(failures) - before)) ticks=$(($(ticks) - ticks))
echo "  in two seconds $tries tries and $ticks hundredths of a second of CPU"
expect "it tries again by itself" test "$tries" -ge 1
expect "and does not spin" test "$tries" -le 40
rm "$fault"
expect "the disk is well: it goes on by itself" wait_for healthy
expect "without a restart" alive
expect "and takes changes" takes after
acked+=(after)
expect "exactly what was acknowledged is there" exactly_acked
restart "$dir/state"
expect "after kill -9, too" exactly_acked
call GET /v1/functions/default/echo
expect "with the last change of the function" says '"min":3'
kill -TERM "$pid"
wait "$pid"
expect "it ends with 0" test $? = 0
pid=

echo "a full disk"
if [ "$(id -u)" = 0 ] && mkdir -p "$dir/small" && mount -t tmpfs -o size=2m tmpfs "$dir/small" 2>/dev/null; then
	mounted=$dir/small
	acked=()
	start "$dir/small/state"
	function_put 2
	takes before && acked+=(before)
	head -c 4m /dev/zero >"$dir/small/filler" 2>/dev/null
	for ((i = 0; i < 300; i++)); do
		takes "f$i" || break
		acked+=("f$i")
	done
	expect "a change is refused with 507" is 507
	expect "which says where" says "$dir/small/state"
	expect "and what to do" says "free some space"
	# A smaller change may still fit after one that did not, and then the store is well: until nothing does.
	fill=0
	nothing_fits() { function_put $((4 + fill++ % 2)) && is 507 && answers GET /v1/health 503; }
	expect "health says so" wait_for nothing_fits
	before=$(failures)
	sleep 1
	call GET /v1/health
	expect "it does not spin" test $(($(failures) - before)) -le 20
	rm "$dir/small/filler"
	expect "with space it goes on by itself" takes again
	acked+=(again)
	expect "health is good again" wait_for healthy
	expect "exactly what was acknowledged is there" exactly_acked
	restart "$dir/small/state"
	expect "after kill -9, too" exactly_acked
	kill -TERM "$pid"
	wait "$pid"
	pid=
else
	echo "  skipped: it needs root and a tmpfs"
fi

sanitizer() { ! grep -hE 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:' "$dir"/*.log; }
expect "no sanitizer spoke up" sanitizer
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
