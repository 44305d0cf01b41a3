#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the smoke tests and counts: run.sh BUILD_DIR [--workers N] [--no-huge] [--only NAME]
# [--leave-out MARK] [--lanes N] [--logs DIR]; N at a time. As root. The last line is "N passed, N failed". Scripts
# may have lines `# smoke: MARK`: once (only with the release build: with the sanitized one it shows nothing new),
# sanitized (only with that one: it shows all the other does), alone (beside no other: it compares times).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
limit=300  # seconds for one script

usage() {
	echo "usage: run.sh BUILD_DIR [--workers N] [--no-huge] [--only NAME] [--leave-out MARK] [--lanes N] [--logs DIR]" >&2
	exit 2
}

[ $# -ge 1 ] && [ -d "$1" ] || usage
build=$1
shift
options=()
only=
lanes=1
leave_out=()
logs=$(mktemp -d "${TMPDIR:-/tmp}/penstock-smoke.XXXXXX")
while [ $# -gt 0 ]; do
	case $1 in
	--workers) options+=(--workers "${2:?}"); shift ;;
	--no-huge) options+=(--no-huge) ;;
	--only) only=${2:?}; shift ;;
	--leave-out) leave_out+=(-e "^# smoke: ${2:?}\$"); shift ;;
	--lanes) lanes=${2:?}; shift ;;
	--logs) logs=${2:?}; shift ;;
	*) usage ;;
	esac
	shift
done

passed=0
failed=0

# One script, its output and how it ended in its folder of the logs.
run_one() {
	local script=$1 folder=$2 rc=0 start=$SECONDS
	mkdir -p "$folder"
	SMOKE_LOGS=$folder timeout -k 30 "$limit" bash "$script" "$build" "${options[@]}" >"$folder/output" 2>&1 || rc=$?
	echo "$rc $((SECONDS - start))" >"$folder/ended"
}

# Counts and tells of one that has ended.
tell_one() {
	local name=$1 folder=$logs/$1 rc seconds
	read -r rc seconds <"$folder/ended"
	if [ "$rc" = 0 ]; then
		passed=$((passed + 1))
		printf 'ok    smoke %s (%s s)\n' "$name" "$seconds"
		rm -rf "${folder:?}"
	elif [ "$rc" = 77 ]; then
		printf '      smoke %s was %s\n' "$name" "$(grep '^not run' "$folder/output")"
		rm -rf "${folder:?}"
	else
		failed=$((failed + 1))
		printf 'WRONG smoke %s (%s s); its logs are in %s\n' "$name" "$seconds" "$folder"
		tail -n 25 "$folder/output" | sed 's/^/      /'
	fi
}

# run_all LANES SCRIPT...: so many at a time.
run_all() {
	local lanes=$1 script pid
	declare -A running=()
	shift
	for script in "$@" ""; do
		while [ ${#running[@]} -ge "$lanes" ] || { [ -z "$script" ] && [ ${#running[@]} -gt 0 ]; }; do
			wait -n -p pid "${!running[@]}" || true
			tell_one "${running[$pid]}"
			unset "running[$pid]"
		done
		if [ -n "$script" ]; then
			run_one "$script" "$logs/$(basename "$script" .sh)" &
			running[$!]=$(basename "$script" .sh)
		fi
	done
}

together=()
alone=()
for script in "$here"/*.sh; do
	name=$(basename "$script" .sh)
	[ "$name" != run ] && [ "$name" != lib ] || continue
	[ -z "$only" ] || [ "$name" = "$only" ] || continue
	if [ ${#leave_out[@]} != 0 ] && grep -q "${leave_out[@]}" "$script"; then continue; fi
	if grep -q '^# smoke: alone$' "$script"; then alone+=("$script"); else together+=("$script"); fi
done
run_all "$lanes" "${together[@]}"
run_all 1 "${alone[@]}"
rmdir "$logs" 2>/dev/null || true
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
