#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: sanitized
# penstock-gen serve and load, end to end over loopback and a Unix socket. Usage: gen.sh BUILD_DIR
set -u
gen=${1:?the build directory}/tools/gen/penstock-gen
dir=$(mktemp -d)
failed=0
server=

finish() {
	[ -n "$server" ] && kill -KILL "$server" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

fail() {
	echo "FAILED: $*"
	[ -s "$dir/log" ] && sed 's/^/    /' "$dir/log"
	failed=$((failed + 1))
}

# Starts a server on a port of the kernel's choice; sets tcp and unix.
serve() {
	: >"$dir/out"
	"$gen" serve --listen "127.0.0.1:0,unix:$dir/sock" "$@" >"$dir/out" 2>"$dir/err" &
	server=$!
	for _ in $(seq 100); do
		[ "$(grep -c '^listening on ' "$dir/out")" = 2 ] && break
		kill -0 $server 2>/dev/null || break
		sleep 0.05
	done
	tcp=$(sed -n 's/^listening on \(127.*\)/\1/p' "$dir/out")
	unix=unix:$dir/sock
	if [ -z "$tcp" ]; then
		fail "serve $* did not start: $(cat "$dir/err")"
		exit 1
	fi
}

# Ends it; it must leave with 0.
stop() {
	kill -TERM $server
	wait $server || fail "serve left with $?: $(cat "$dir/err")"
	! grep -q 'Sanitizer\|runtime error' "$dir/err" || fail "serve: $(cat "$dir/err")"
	server=
}

# expect CODE NAME ARGUMENTS...: runs load.
expect() {
	local code=$1 name=$2
	shift 2
	timeout 60 "$gen" load --quiet "$@" >"$dir/log" 2>&1
	local got=$?
	[ $got = "$code" ] || fail "$name: exit code $got instead of $code"
	! grep -q 'Sanitizer\|runtime error' "$dir/log" || fail "$name: a sanitizer spoke up"
}

# shown NAME PATTERN: the last output matches.
shown() {
	grep -Eq -- "$2" "$dir/log" || fail "$1: no line matches '$2'"
}

serve
expect 0 "closed loop" --to "$tcp" --connections 4 --outstanding 16 --count 20000 --expect-no-errors
shown "closed loop" '^calls +20000 '
expect 0 "threads" --to "$tcp" --connections 4 --threads 2 --outstanding 4 --count 5000 --expect-no-errors
shown "threads" '^calls +5000 '
expect 0 "open loop" --to "$unix" --connections 2 --rate 2000 --duration 1 --expect-no-errors
expect 0 "every function" --to "$tcp" --connections 3 --outstanding 3 --count 300 --expect-no-errors \
	--functions echo=3,sink,fnf:sink,count:5,stream:count:300,delay:2,size:200000,stream:echo --credit 7
expect 1 "errors" --to "$tcp" --functions "error:0x301 why" --count 3
shown "errors" '^ +3 0x301: why$'
expect 1 "unknown route" --to "$tcp" --functions nosuch --count 2
shown "unknown route" '^ +2 INVALID: no such route: nosuch$'
expect 1 "expect no errors" --to "$tcp" --functions "echo=5,error" --count 100 --expect-no-errors
expect 0 "routing, names" --to "$tcp" --metadata routing --namespace ns --functions echo@3 --count 10 \
	--expect-no-errors
expect 0 "credit 1" --to "$tcp" --functions stream:count:2000 --credit 1 --count 2 --expect-no-errors
expect 0 "cancel" --to "$tcp" --outstanding 4 --functions stream:count:500 --cancel 1 --count 200 \
	--expect-no-errors
shown "cancel" '^cancelled +200$'
expect 0 "15 MB" --to "$unix" --outstanding 2 --size 15m --count 6 --expect-no-errors
expect 0 "15 MB, small fragments" --to "$tcp" --size 15m --fragment 1000 --count 1 --expect-no-errors
expect 0 "one frame" --to "$tcp" --size 1m --fragment never --count 10 --expect-no-errors
expect 0 "slow upload" --to "$tcp" --functions sink --size 500k --slow 1m --count 1 --expect-no-errors
expect 0 "idle" --to "$tcp" --connections 500 --idle --duration 0.5
expect 0 "2000 connections" --to "$tcp" --connections 2000 --threads 2 --count 20000 --expect-no-errors
expect 0 "vanish" --to "$tcp" --connections 3 --outstanding 4 --vanish 50 --reconnect --duration 0.5
shown "vanish" '^ +[0-9]+ lost: the connection broke after sending$'
expect 1 "vanish for good" --to "$tcp" --vanish 50 --duration 0.5
expect 0 "stops reading" --to "$tcp" --connections 2 --outstanding 2 --functions size:200000 \
	--stop-reading 1m --fault-connections 1 --duration 0.5 --timeout-ms 300
shown "stops reading" '^ +[0-9]+ timeout$'
expect 0 "json" --to "$tcp" --count 50 --functions echo,count --json "$dir/json"
python3 - "$dir/json" <<'PY' || fail "json: not as documented"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["calls"] == 50 and r["errors"] == {} and len(r["functions"]) == 2
assert 0 < r["p50_us"] <= r["p99_us"] <= r["p999_us"] <= r["p9999_us"] and r["calls_per_s"] > 0
PY
# No coordinated omission: while the server stands still for 0.4 of 2 s, calls go on being due.
timeout 60 "$gen" load --quiet --to "$tcp" --rate 500 --duration 2 --json "$dir/json" >"$dir/log" 2>&1 &
load=$!
sleep 0.8
kill -STOP $server
sleep 0.4
kill -CONT $server
wait $load || fail "stall: load left with $?"
python3 - "$dir/json" <<'PY' || fail "stall: the latency does not show it"
import json, sys
r = json.load(open(sys.argv[1]))
assert r["p90_us"] > 100e3 and r["max_us"] > 300e3 and r["calls"] > 800, r
PY
expect 2 "no address" --count 1
expect 2 "unknown option" --to "$tcp" --nosuch 1
expect 2 "bad mix" --to "$tcp" --functions echo=0
stop
expect 1 "refused" --to "$tcp" --count 1
shown "refused" '^cannot connect: Connection refused$'

# A delayed reply and the drain: calls in flight at SIGTERM are still answered.
serve --delay-us 300000
timeout 60 "$gen" load --quiet --to "$tcp" --count 4 --outstanding 4 --expect-no-errors >"$dir/log" 2>&1 &
load=$!
sleep 0.15
stop
wait $load || fail "drain: calls in flight were not answered"

serve --close-after 20 --threads 2
expect 0 "server closes" --to "$tcp" --connections 2 --outstanding 2 --reconnect --duration 0.5
shown "server closes" '^ +[0-9]+ lost: the connection broke after sending$'
stop
serve --no-read
expect 1 "server never reads" --to "$tcp" --outstanding 4 --size 1m --count 4 --timeout-ms 300
shown "server never reads" '^ +4 timeout$'
stop
serve --stop-reading-after 1m
expect 0 "server stops reading" --to "$tcp" --size 100k --duration 0.5 --timeout-ms 300
shown "server stops reading" '^ +[0-9]+ timeout$'
stop

# A server that comes back: dialled again until it is there.
serve
port=${tcp##*:}
timeout 60 "$gen" load --quiet --to "$tcp" --outstanding 4 --reconnect --duration 3 >"$dir/log" 2>&1 &
load=$!
sleep 0.7
kill -KILL $server
wait $server 2>/dev/null
"$gen" serve --listen "127.0.0.1:$port" >"$dir/out" 2>"$dir/err" &
server=$!
wait $load || fail "reconnect: load left with $?"
shown "reconnect" '^lost +1 connections$'
stop

[ $failed = 0 ] && echo "gen: all as expected"
exit $((failed > 0))
