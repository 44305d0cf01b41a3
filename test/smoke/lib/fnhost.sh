# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of a function host alone share: the host between a control plane and a gateway that are fakes
# (fake_platform.c). Needs $build; makes $dir, which goes at the end with all that runs below it.
# shellcheck disable=SC2154,SC2034

dir=$(mktemp -d "${TMPDIR:-/tmp}/penstock-fnhost.XXXXXX")
port=$((20000 + $$ % 20000))
to=127.0.0.1:$port
host=
platform=
passed=0
failed=0

# Resident memory of a process in KiB.
rss_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }

cleanup() {
	local pid
	disown -a
	for pid in $host $platform $(cat "$dir"/shims 2>/dev/null); do
		kill -KILL "$pid" 2>/dev/null
	done
	if [ "$failed" != 0 ] && [ -n "${SMOKE_LOGS:-}" ]; then
		cp "$dir"/*.log "$dir"/*.json "$SMOKE_LOGS"/ 2>/dev/null
		cp -r "$dir"/state/logs "$SMOKE_LOGS"/ 2>/dev/null
	fi
	rm -rf "$dir"
}
trap 'note_shims; cleanup' EXIT
trap 'exit 1' INT TERM

expect() { # expect SENTENCE COMMAND...
	local sentence=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "  ok    $sentence"
	else
		failed=$((failed + 1))
		echo "  WRONG $sentence ($*)"
		tail -n 5 "$dir/host.log" | sed 's/^/        /'
	fi
}

# Within SECONDS, COMMAND turns true.
soon() {
	local until=$((SECONDS + $1))
	shift
	while [ $SECONDS -le $until ]; do
		"$@" && return 0
		sleep 0.03
	done
	return 1
}

# --- the processes ---

# The shims are children of init; they are known by their records.
note_shims() {
	local record
	for record in "$dir"/state/instances/*; do
		pgrep -f "penstock-shim $record " >>"$dir/shims"
	done
}

host_start() {
	"$build/fnhost/penstock-fnhost" --config /dev/null --name n1 --control "unix:$dir/peer.sock" --listen "$to" \
		--state "$dir/state" --functions "$build/fnhost/demo" --log-bytes 16k "$@" 2>>"$dir/host.log" &
	host=$!
}

say() { echo "$*" >&5; }

instance() { # instance ID FUNCTION CONCURRENCY [MORE JSON]
	say "run $1 $2 1 {\"runtime\":\"process\",\"command\":[\"demo-$2\"],\"concurrency\":$3${4:+,$4}}"
}

# The newest report that names all, with what those behind it have told since, through jq.
report() {
	awk '/^report / { if (/"counters"/) n = 0; line[n++] = substr($0, 8) } END { for (i = 0; i < n; i++) print line[i] }' \
		"$dir/platform.log" | jq -rs ".[0] + {instances: map(.instances[]) | group_by(.id) | map(last)} | $1" 2>/dev/null
}
# After the next report that names all. What is to be counted no further is looked at behind it.
all_told() {
	local before
	before=$(grep -c '^report .*"counters"' "$dir/platform.log")
	soon 5 told_more "$before"
}
told_more() { [ "$(grep -c '^report .*"counters"' "$dir/platform.log")" -gt "$1" ]; }
of() { report ".instances[] | select(.id == \"$1\") | $2"; }
is() { [ "$(of "$1" "$2")" = "$3" ]; }
counter() { report ".counters[\"host.$1\"]"; }
ready() { is "$1" .ready true; }
gone() { [ "$(of "$1" .id)" = "" ]; }
counted() { at_least "$(counter "$1")" "$2"; }

# --- calls ---

load() { # load NAME FLAGS...: its result in $dir/NAME.json
	local name=$1
	shift
	timeout 60 "$build/tools/gen/penstock-gen" load --quiet --to "$to" --json "$dir/$name.json" "$@" \
		>"$dir/$name.log" 2>&1
}
result() { jq -r "$2" "$dir/$1.json" 2>/dev/null; }
errors_like() { result "$1" "[.errors | to_entries[] | select(.key | test(\"$2\")) | .value] | add // 0"; }
one() { # one FUNCTION DATA: through the fake gateway; the answer in $answer
	local before
	before=$(grep -cE '^(reply|error|lost)' "$dir/platform.log")
	say "call $1 $2"
	soon 6 more_answers "$before"
	answer=$(grep -E '^(reply|error|lost)' "$dir/platform.log" | tail -n 1)
}
more_answers() { [ "$(grep -cE '^(reply|error|lost)' "$dir/platform.log")" -gt "$1" ]; }
answered() { [[ $answer = "$1"* ]]; }
at_least() { [ "${1:-0}" -ge "$2" ] 2>/dev/null; }
at_most() { [ "${1:-999999999}" -le "$2" ] 2>/dev/null; }
same() { [ "$1" = "$2" ]; }
alive() { kill -0 "$1" 2>/dev/null; }
dead() { ! kill -0 "$1" 2>/dev/null; }
logged() { grep -q -- "$1" "$dir/state/logs/$2.log"; }

# The fakes; the host is started by host_start.
platform_start() {
	mkfifo "$dir/commands"
	"$build/test/smoke/fake-platform" "unix:$dir/peer.sock" "$to" <"$dir/commands" >"$dir/platform.log" \
		2>"$dir/platform-err.log" &
	platform=$!
	exec 5>"$dir/commands"
}
