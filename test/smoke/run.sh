#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the smoke tests one after the other and counts: run.sh BUILD_DIR [--workers N] [--no-huge]
# [--only NAME] [--leave-out MARK] [--logs DIR]. As root. The last line is "N passed, N failed". Scripts
# may have a line `# smoke: MARK`: once (only with the release build: with the sanitized one it shows nothing new),
# sanitized (only with that one: it shows all the other does).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
limit=300  # seconds for one script

usage() {
	echo "usage: run.sh BUILD_DIR [--workers N] [--no-huge] [--only NAME] [--leave-out MARK] [--logs DIR]" >&2
	exit 2
}

[ $# -ge 1 ] && [ -d "$1" ] || usage
build=$1
shift
options=()
only=
leave_out=()
logs=$(mktemp -d "${TMPDIR:-/tmp}/penstock-smoke.XXXXXX")
while [ $# -gt 0 ]; do
	case $1 in
	--workers) options+=(--workers "${2:?}"); shift ;;
	--no-huge) options+=(--no-huge) ;;
	--only) only=${2:?}; shift ;;
	--leave-out) leave_out+=(-e "^# smoke: ${2:?}\$"); shift ;;
	--logs) logs=${2:?}; shift ;;
	*) usage ;;
	esac
	shift
done

passed=0
failed=0
for script in "$here"/*.sh; do
	name=$(basename "$script" .sh)
	[ "$name" != run ] && [ "$name" != lib ] || continue
	[ -z "$only" ] || [ "$name" = "$only" ] || continue
	if [ ${#leave_out[@]} != 0 ] && grep -q "${leave_out[@]}" "$script"; then continue; fi
	mkdir -p "$logs/$name"
	start=$SECONDS
	rc=0
	SMOKE_LOGS=$logs/$name timeout -k 30 "$limit" bash "$script" "$build" "${options[@]}" \
		>"$logs/$name/output" 2>&1 || rc=$?
	if [ $rc = 0 ]; then
		passed=$((passed + 1))
		printf 'ok    smoke %s (%s s)\n' "$name" $((SECONDS - start))
		rm -rf "${logs:?}/$name"
	elif [ $rc = 77 ]; then
		printf '      smoke %s was %s\n' "$name" "$(grep '^not run' "$logs/$name/output")"
		rm -rf "${logs:?}/$name"
	else
		failed=$((failed + 1))
		printf 'WRONG smoke %s (%s s); its logs are in %s\n' "$name" $((SECONDS - start)) "$logs/$name"
		tail -n 25 "$logs/$name/output" | sed 's/^/      /'
	fi
done
rmdir "$logs" 2>/dev/null || true
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
