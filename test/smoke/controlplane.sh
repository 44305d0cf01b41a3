#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: sanitized
# The control plane alone, over its sockets: every route, garbage, two instances, kill -9 in the middle of
# changes, a full disk, followers that leave, and a clean end. Needs curl; root only for the full disk.
#
# usage: controlplane.sh BUILD_DIR [options of run.sh, which mean nothing here]
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
daemon=$(cd "$1" && pwd)/controlplane/penstock-controlplane
[ -x "$daemon" ] || { echo "$daemon is not there: build it first" >&2; exit 2; }
command -v curl >/dev/null || { echo "curl is missing: apt install curl" >&2; exit 2; }

. "${0%/*}/lib/control.sh"
port=$((20000 + $$ % 20000))

put() { call PUT "$1" --data-binary "$2" "${@:3}"; }
header() { grep -qi "^$1" "$dir/headers"; }
answers() { call "$1" "$2" "${@:4}" && is "$3"; }
takes() { put "$1" "$2" "${@:4}" && is "$3"; }
endpoint() { printf '{"spec":{"addresses":["10.0.0.1:%s"],"routes":["%s"]}}' "$1" "$2"; }

start() { # start NAME [FLAGS]: sets pid; waits until it answers
	local name=$1 i
	shift
	"$daemon" --config /dev/null --control "$sock" --peer "$dir/peer.sock" --state "$dir/state" \
		--metrics "127.0.0.1:$port" "$@" 2>>"$dir/$name.log" &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		call GET /v1/health 2>/dev/null
		[ "$status" = 200 ] && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

ends_with() { # ends_with STATUS: the daemon, within 5 s
	local i rc=0
	for ((i = 0; i < 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -0 "$pid" 2>/dev/null && return 1
	wait "$pid" || rc=$?
	pid=
	[ "$rc" = "$1" ]
}

refuses() { # refuses STATUS TEXT FLAGS...: the daemon does not start and says TEXT
	local wanted=$1 text=$2 rc=0
	shift 2
	timeout 10 "$daemon" "$@" >"$dir/body" 2>&1 || rc=$?
	[ "$rc" = "$wanted" ] && grep -qF -- "$text" "$dir/body"
}

echo "flags and the start-up file"
expect "--help lists the flags" refuses 0 "--control" --help
expect "--version" refuses 0 "penstock-controlplane 0" --version
expect "an unknown flag is wrong usage" refuses 2 "unrecognized option" --nonsense
expect "so is an argument" refuses 2 "is not a flag" nonsense
expect "so is a bad level" refuses 2 "error, warn, info or debug" --log-level loud
expect "a start-up file that is not there" refuses 2 "No such file" --config "$dir/none.yaml"
printf 'control: x\nsttate: y\n' >"$dir/bad.yaml"
expect "an unknown name in it, with its line" refuses 2 "bad.yaml:2: unknown name 'sttate'" --config "$dir/bad.yaml"
printf 'control: [x\n' >"$dir/bad.yaml"
expect "what is not YAML" refuses 2 "bad.yaml:" --config "$dir/bad.yaml"
expect "a bad metrics address" refuses 1 "--metrics" --control "$dir/c.sock" --peer "$dir/p.sock" \
	--state "$dir/s1" --metrics nowhere
expect "no socket is left behind" test ! -e "$dir/c.sock"
touch "$dir/file"
expect "a control path that is a file" refuses 1 "is no socket" --control "$dir/file" --state "$dir/s1" --metrics off
expect "a state directory that is a file" refuses 1 "--state" --control "$dir/c.sock" --state "$dir/file/x" --metrics off
printf 'control: %s\nstate: %s\nlog-level: debug\nmetrics: off\n' "$sock" "$dir/nowhere" >"$dir/good.yaml"
expect "starts with a file, flags win" start first --config "$dir/good.yaml"
expect "the state is where the flag says" test -f "$dir/state/store.mdb"
expect "the control socket has mode 660" test "$(stat -c %a "$sock")" = 660
expect "the peer socket has mode 600" test "$(stat -c %a "$dir/peer.sock")" = 600

echo "two instances"
expect "the same socket is refused" refuses 1 "another control plane already runs" \
	--control "$sock" --peer "$dir/p2.sock" --state "$dir/s2" --metrics off
expect "the same state is refused" refuses 1 "another control plane already uses the state directory" \
	--control "$dir/c2.sock" --peer "$dir/p2.sock" --state "$dir/state" --metrics off
expect "the same peer socket is refused" refuses 1 "--peer" \
	--control "$dir/c2.sock" --peer "$dir/peer.sock" --state "$dir/s2" --metrics off
expect "the first goes on" answers GET /v1/health 200

echo "every route"
expect "PUT an endpoint" takes /v1/endpoints/orders "$(endpoint 7000 orders)" 201
expect "its version is the ETag" header 'ETag: "'
etag=$(sed -n 's/^[Ee][Tt]ag: \(.*\)\r$/\1/p' "$dir/headers")
expect "the same again changes nothing" takes /v1/endpoints/orders "$(endpoint 7000 orders)" 200
expect "GET it" answers GET /v1/endpoints/orders 200
expect "with defaults" says '"fragments":true'
expect "and the state of its addresses" says '"status":{"addresses":[{"address":"10.0.0.1:7000"'
expect "PATCH it" answers PATCH /v1/endpoints/orders 200 -d '{"metadata":{"labels":{"team":"shop"}}}'
expect "an old If-Match is refused" takes /v1/endpoints/orders "$(endpoint 1 orders)" 412 -H "If-Match: $etag"
expect "list endpoints by label" answers GET '/v1/endpoints?label=team=shop' 200
expect "finds it" says '"name":"orders"'
expect "a dry run says what would change" takes '/v1/endpoints/orders?dry_run=1' "$(endpoint 1 orders)" 200
expect "field by field" says '"field":"spec.addresses"'
expect "PUT a function" takes /v1/functions/default/echo '{"spec":{"command":["echo"]}}' 201
expect "GET it" answers GET /v1/functions/default/echo 200
expect "PATCH it" answers PATCH /v1/functions/default/echo 200 -d '{"spec":{"scale":{"max":3}}}'
expect "list functions" answers GET '/v1/functions?namespace=default' 200
expect "its route cannot be an endpoint's too" takes /v1/endpoints/x "$(endpoint 1 echo)" 409
expect "PUT a gateway" takes /v1/gateways/gw1 '{}' 201
expect "GET it" answers GET /v1/gateways/gw1 200
expect "it is not connected" says '"connected":false'
expect "PATCH it" answers PATCH /v1/gateways/gw1 200 -d '{"spec":{"listeners":[{"port":7879}]}}'
expect "list gateways" answers GET /v1/gateways 200
expect "no nodes yet" answers GET /v1/nodes 200
expect "as an empty list" says '"items":[]'
expect "nor this one" answers GET /v1/nodes/n1 404
expect "no instances yet" answers GET /v1/instances 200
expect "nor this one" answers GET /v1/instances/i1 404
expect "events" answers GET /v1/events 200
expect "name what happened" says '"type":"created","kind":"Function","namespace":"default","name":"echo"'
expect "stats" answers GET /v1/stats 200
expect "health" answers GET /v1/health 200
expect "names the gateway that is missing" says 'gateway gw1 is not connected'
expect "openapi.json" answers GET /v1/openapi.json 200
expect "is about 3.0" says '"openapi": "3.0.3"'
expect "metrics" answers GET /metrics 200
expect "count resources" says 'penstock_resources{kind="Endpoint"} 1'
curl -sS -m 5 "http://127.0.0.1:$port/metrics" >"$dir/body"
expect "metrics on their own port" says 'penstock_calls_total'
expect "which serves nothing else" test \
	"$(curl -s -m 5 -o "$dir/body" -w '%{http_code}' "http://127.0.0.1:$port/v1/endpoints")" = 404
expect "DELETE the function" answers DELETE /v1/functions/default/echo 200
expect "it is gone" answers GET /v1/functions/default/echo 404
expect "DELETE the gateway" answers DELETE /v1/gateways/gw1 200
expect "DELETE once more" answers DELETE /v1/gateways/gw1 404

echo "errors"
expect "an unknown field" takes /v1/gateways/gw1 '{"spec":{"limts":{}}}' 400
expect "is named, with what was meant" says 'did you mean limits?'
expect "a wrong value" takes /v1/gateways/gw1 '{"spec":{"listeners":[{"port":0}]}}' 400
expect "is named" says '"field":"spec.listeners[0].port"'
expect "not JSON" takes /v1/gateways/gw1 'spec: {}' 400
expect "an empty body" takes /v1/gateways/gw1 '' 400
expect "a wrong method" answers POST /v1/gateways/gw1 405
expect "with Allow" header 'Allow: GET, PUT, PATCH, DELETE'
expect "an unknown path" answers GET /v1/endpoint 404
expect "a parameter that is none" answers GET '/v1/endpoints?lable=x' 400
expect "HEAD" test "$(curl -s -I -m 5 --unix-socket "$sock" -o "$dir/headers" -w '%{http_code}' http://x/v1/health)" = 200

echo "garbage and limits"
head -c 1048577 /dev/zero | tr '\0' ' ' >"$dir/large"
expect "a body over 1 MiB" answers PUT /v1/gateways/gw1 413 -T "$dir/large"
head -c 1048000 /dev/zero | tr '\0' ' ' >"$dir/large"
printf '{}' >>"$dir/large"
expect "one just below" answers PUT /v1/gateways/gw1 201 -T "$dir/large"
expect "one in chunks" answers PUT /v1/gateways/gw1 200 -T "$dir/large" -H 'Transfer-Encoding: chunked'
head -c 1000000 /dev/zero | tr '\0' '[' >"$dir/large"
expect "a document of a million levels" answers PUT /v1/functions/default/deep 400 -T "$dir/large"
{ printf '{"spec":{"command":["x"],"env":{"A":"'; head -c 900000 /dev/zero | tr '\0' x; printf '"}}}'; } >"$dir/large"
expect "a value of 900 KB" answers PUT /v1/functions/default/large 400 -T "$dir/large"
expect "headers without end" answers GET /v1/health 431 -H "X: $(head -c 70000 /dev/zero | tr '\0' x)"
expect "an odd path" answers GET '/%00%ff/..//v1' 404
expect "an odd method" answers 'PURGE' /v1/health 405
garbage() ( # garbage BYTES: to the metrics port, which has the same HTTP code as the socket
	# A process of its own: the daemon may hang up in the middle, which is a SIGPIPE here.
	exec 9<>"/dev/tcp/127.0.0.1/$port" || exit 1
	printf '%b' "$1" >&9
	timeout 0.3 head -c 1000 <&9 >/dev/null
)
garbage 'GET\n\n'
garbage '\x00\x01\x02\xff\xfe'
garbage 'PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n'
garbage 'GET / HTTP/9.9\r\n\r\n'
garbage 'POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'
for _ in 1 2 3; do garbage "$(head -c 3000 /dev/urandom | od -An -tx1 | tr -d '\n' | sed 's/ /\\x/g')"; done
fds=()
for ((i = 0; i < 300; i++)); do
	exec {fd}<>"/dev/tcp/127.0.0.1/$port" && fds+=("$fd")
done
expect "300 idle connections on the metrics port do not touch the socket" answers GET /v1/health 200
for fd in "${fds[@]}"; do exec {fd}>&-; done
expect "the metrics port serves again" curl -sS -m 5 -o "$dir/body" "http://127.0.0.1:$port/metrics"

echo "followers"
ticks() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
curl -sS -N -m 60 --unix-socket "$sock" 'http://x/v1/events?follow=1&after=0' >"$dir/follow" 2>/dev/null &
children+=($!)
sleep 0.3
before=$(ticks)
sleep 2
after=$(ticks)
expect "a follower costs nothing while nothing happens" test $((after - before)) -le 2
put /v1/endpoints/seen "$(endpoint 1 seen)"
for ((i = 0; i < 20; i++)); do grep -q '"name":"seen"' "$dir/follow" && break; sleep 0.05; done
expect "it is told at once" grep -q '"type":"created","kind":"Endpoint","namespace":"default","name":"seen"' "$dir/follow"
kill "${children[0]}"
wait "${children[0]}" 2>/dev/null
children=()
mkdir "$dir/followers"
refused() { grep -lqF 'follow events already' "$dir"/followers/*; }
for ((i = 0; i < 100; i++)); do
	curl -sS -N -m 60 --unix-socket "$sock" 'http://x/v1/events?follow=1' >"$dir/followers/$i" 2>/dev/null &
	children+=($!)
	sleep 0.03
	refused && break
done
expect "of many followers one is refused, and told why" refused
expect "after the 64th" test "$i" -ge 63 -a "$i" -le 70
kill "${children[@]}" 2>/dev/null
wait "${children[@]}" 2>/dev/null
children=()
sleep 0.5
rm -f "$dir/follow"
curl -sS -N -m 60 --unix-socket "$sock" 'http://x/v1/events?follow=1' >"$dir/follow" 2>/dev/null &
children+=($!)
for ((i = 0; i < 30; i++)); do [ -s "$dir/follow" ] && break; sleep 0.1; done
expect "those that leave make room, with no event needed" grep -q '"seq":1,' "$dir/follow"

echo "a thousand changes"
for ((i = 0; i < 1000; i++)); do
	printf 'next\nunix-socket="%s"\nurl="http://x/v1/endpoints/k%d"\nrequest=PUT\noutput=/dev/null\nwrite-out="%%{http_code}\\n"\n' \
		"$sock" "$i"
	printf 'data="{\\"spec\\":{\\"addresses\\":[\\"10.0.0.1:%d\\"],\\"routes\\":[\\"k%d\\"]}}"\n' $((i + 1)) "$i"
done >"$dir/many"
begin=$(date +%s%N)
curl -sS -K "$dir/many" >"$dir/statuses" 2>"$dir/curl.err"
took=$((($(date +%s%N) - begin) / 1000000))
echo "  one after the other over one connection, each stored before it is answered: $took ms"
expect "all are taken" test "$(grep -c 201 "$dir/statuses")" = 1000
begin=$(date +%s%N)
curl -sS -Z --parallel-max 100 -K <(sed 's/10\.0\.0\.1/10.0.0.2/' "$dir/many") >"$dir/statuses" 2>"$dir/curl.err"
took=$((($(date +%s%N) - begin) / 1000000))
echo "  100 at a time: $took ms"
expect "all are taken" test "$(grep -c 200 "$dir/statuses")" = 1000
expect "they can be listed" answers GET '/v1/endpoints?limit=5000' 200
expect "and read" test "$(grep -o '"10.0.0.2:[0-9]*"]' "$dir/body" | wc -l)" = 1000
expect "a thousand deleted" test "$(sed 's/request=PUT/request=DELETE/; /^data/d' "$dir/many" |
	curl -sS -Z --parallel-max 50 -K - 2>/dev/null | grep -c 200)" = 1000

echo "a clean end"
kill -TERM "$pid"
expect "SIGTERM ends it with 0, although a client follows" ends_with 0
expect "the sockets are gone" test ! -e "$sock" -a ! -e "$dir/peer.sock"
wait "${children[@]}" 2>/dev/null
children=()

echo "kill -9 in the middle of changes"
start second || { echo "it does not start again"; exit 1; }
expect "a restart forgets nothing" answers GET /v1/endpoints/seen 200
call GET /v1/health
epoch=$(grep -o '"epoch":"[0-9a-f]*"' "$dir/body")
writer() { # writer NUMBER: counts up until nobody answers; the last acknowledged number in acked.NUMBER
	local n=0
	while [ "$(curl -s -m 5 --unix-socket "$sock" -X PUT -o /dev/null -w '%{http_code}' \
		-d "$(endpoint $((n % 60000 + 1)) "w$1")" "http://x/v1/endpoints/w$1" 2>/dev/null)" = 20"${3:-0}" ] ||
		[ "$n" = 0 ]; do
		echo "$n" >"$dir/acked.$1"
		n=$((n + 1))
		[ "$n" -lt 5000 ] || break
	done
}
lost=0
last_seq=0
for round in 1 2 3 4 5 6 7 8; do
	writers=()
	for w in 1 2 3; do
		rm -f "$dir/acked.$w"
		call DELETE "/v1/endpoints/w$w"
		writer "$w" 2>/dev/null &
		writers+=($!)
	done
	sleep "0.$((RANDOM % 5 + 2))"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	wait "${writers[@]}"
	start second || { echo "  WRONG it does not start after kill -9"; failed=$((failed + 1)); break; }
	for w in 1 2 3; do
		acked=$(cat "$dir/acked.$w" 2>/dev/null || echo -1)
		call GET "/v1/endpoints/w$w"
		found=$(grep -o '10\.0\.0\.1:[0-9]*' "$dir/body" | head -n 1)
		found=${found##*:}
		# The next one may be there too: it was stored when the answer was cut off.
		if [ "${found:-0}" != $((acked + 1)) ] && [ "${found:-0}" != $((acked + 2)) ]; then
			lost=$((lost + 1))
			echo "  round $round, writer $w: acknowledged $((acked + 1)), found ${found:-nothing}"
		fi
	done
	call GET /v1/health
	seq=$(grep -o '"seq":[0-9]*' "$dir/body" | head -n 1)
	[ "${seq#*:}" -ge "$last_seq" ] || lost=$((lost + 1))
	last_seq=${seq#*:}
done
expect "nothing acknowledged is lost over 8 kills" test "$lost" = 0
expect "the epoch is kept" says "$epoch"
call GET /v1/events
# shellcheck disable=SC2016
expect "the history has no gap" awk -F'[:,]' '
	/"seq"/ { if (last && $2 != last + 1) bad = 1; last = $2 } END { exit bad || !last }' "$dir/body"
kill -TERM "$pid"
expect "ends with 0" ends_with 0

echo "a full disk"
if [ "$(id -u)" = 0 ] && mkdir -p "$dir/small" && mount -t tmpfs -o size=2m tmpfs "$dir/small" 2>/dev/null; then
	mounted=$dir/small
	start third --state "$dir/small/state"
	put /v1/endpoints/before "$(endpoint 1 before)"
	head -c 4m /dev/zero >"$dir/small/filler" 2>/dev/null
	status=201
	for ((i = 0; i < 300; i++)); do
		put "/v1/endpoints/f$i" "$(endpoint 1 "f$i")"
		[ "$status" = 201 ] || break
	done
	stored=$i
	expect "the change that does not fit gets 507" is 507
	expect "and says what to do" says 'free some space'
	expect "it is not there" answers GET "/v1/endpoints/f$stored" 404
	expect "health says so" answers GET /v1/health 503
	expect "all before it are" answers GET /v1/endpoints/before 200
	put /v1/endpoints/again "$(endpoint 1 again)"
	expect "still 507" is 507
	rm "$dir/small/filler"
	expect "with space it goes on" takes "/v1/endpoints/f$stored" "$(endpoint 1 "f$stored")" 201
	expect "health is good again" answers GET /v1/health 200
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	start third --state "$dir/small/state"
	call GET '/v1/endpoints?limit=5000'
	expect "a restart has exactly what was acknowledged" test \
		"$(grep -o '"kind":"Endpoint"' "$dir/body" | wc -l)" = $((stored + 2))
	kill -TERM "$pid"
	expect "ends with 0" ends_with 0
	head -c 4m /dev/zero >"$dir/small/filler" 2>/dev/null
	expect "a new store on a full disk is refused with a sentence" refuses 1 "see whether the disk is full" \
		--control "$sock" --peer "$dir/peer.sock" --state "$dir/small/other" --metrics off
else
	echo "  skipped: it needs root and a tmpfs"
fi

echo "stale sockets"
"$daemon" --control "$sock" --peer "$dir/peer.sock" --state "$dir/state" --metrics off 2>>"$dir/fourth.log" &
pid=$!
sleep 0.5
kill -KILL "$pid"
wait "$pid" 2>/dev/null
expect "kill -9 leaves them" test -S "$sock" -a -S "$dir/peer.sock"
expect "they are replaced" start fourth
kill -INT "$pid"
expect "SIGINT ends it with 0, too" ends_with 0

echo "gateways over TCP"
expect "--peer with an address" start fifth --peer "127.0.0.1:$((port + 1))"
expect "listens there" bash -c "exec 9<>/dev/tcp/127.0.0.1/$((port + 1))"
expect "OpenMetrics for who asks" grep -q '^# EOF' <(curl -sS -m 5 -H 'Accept: application/openmetrics-text' \
	"http://127.0.0.1:$port/metrics")
kill -TERM "$pid"
expect "ends with 0" ends_with 0
expect "an address that is none" refuses 1 "--peer" --control "$dir/c.sock" --peer nowhere:1 --state "$dir/s3" --metrics off

sanitizer() { ! grep -hE 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:' "$dir"/*.log; }
expect "no sanitizer spoke up" sanitizer
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
