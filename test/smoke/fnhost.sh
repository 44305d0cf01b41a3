#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A function host alone, with a control plane and a gateway that are fakes: calls, a full queue, crashes, hangs,
# deadlines, kill -9 of the host and of a shim under load, drains, calls between functions, logs. Over loopback and
# Unix sockets; needs jq, not root.
#
# usage: fnhost.sh BUILD_DIR [options of run.sh, which mean nothing here]
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
for program in fnhost/penstock-fnhost tools/gen/penstock-gen test/smoke/fake-platform fnhost/demo/demo-faulty; do
	[ -x "$build/$program" ] || { echo "$build/$program is not there: build it first" >&2; exit 2; }
done
command -v jq >/dev/null || { echo "jq is missing: apt install jq" >&2; exit 2; }

. "${0%/*}/lib/fnhost.sh"

sixteen() { [ "$(called)" = 16 ]; }

platform_start
host_start

echo "calls"
instance e1 echo 4
instance f1 faulty 4 '"queue":64,"timeout_ms":5000'
instance c1 count 2
expect "instances become ready" soon 10 ready e1
expect "all of them" soon 10 ready c1
soon 10 ready f1
expect "request-response" load rr --connections 2 --outstanding 8 --count 3000 --expect-no-errors
expect "routing metadata alone will do" load routing --metadata routing --count 100 --expect-no-errors
expect "fire-and-forget" load fnf --kind fnf --outstanding 4 --count 200 --expect-no-errors
expect "streams with small credits" load stream --functions stream:count:300 --credit 7 --outstanding 2 --count 40 --expect-no-errors
expect "streams without end to their credit" load wide --functions stream:count:20000 --credit 1000000 --count 4 --expect-no-errors
expect "cancelled streams" load cancel --functions stream:count:5000 --outstanding 2 --cancel 1 --count 50 --expect-no-errors
expect "5 MB there and back" load large --size 5m --outstanding 2 --count 6 --expect-no-errors
load nobody --functions nosuch --count 3
expect "an unknown function is REJECTED" same "$(errors_like nobody 'REJECTED: no such function here')" 3
load failing --functions 'faulty:error 0x301 so it is' --count 2
expect "a function's own error comes through" same "$(errors_like failing '0x301: so it is')" 2
one faulty "call echo there and back"
expect "a function calls another through host and gateway" answered "reply there and back"
one faulty "call nosuch x"
expect "and hears of its end" answered "error 0x202 no such function here"
one faulty left
expect "it inherits the deadline" at_most "${answer#reply }" 5000000
expect "which runs" at_least "${answer#reply }" 4000000

expect "all this is counted" soon 3 counted calls 3000
for name in calls_no_function=3 outward=2 gateways_accepted=5 load_pushes=10 instances_spawned=3 assigns_applied=5; do
	expect "$name or more" soon 3 counted "${name%=*}" "${name#*=}"
done

echo "images"
python3 - "$dir/scene.png" <<'PY'
import random, struct, sys, zlib
w, h = 1600, 1200
random.seed(1)
noise = [random.randrange(24) for _ in range(w)]
rows = b"".join(b"\0" + bytes(v for x in range(w) for v in
    (x * 200 // w + noise[x], y * 200 // h + noise[(x + y) % w], (x * y) % 251)) for y in range(h))
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
open(sys.argv[1], "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))
PY
say 'run t1 thumbnail 1 {"command":["demo-thumbnail","--box=64"],"concurrency":4,"queue":64}'
say 'run t2 tiles 1 {"command":["demo-tiles","--grid=4"],"concurrency":1,"queue":8}'
soon 10 ready t1
soon 10 ready t2
say "file tiles $dir/scene.png $dir/tiles.jpg"
jpeg_size() { # prints WxH of a JPEG
	python3 - "$1" <<'PY'
import struct, sys
d = open(sys.argv[1], "rb").read()
at = 2
while d[at + 1] not in (0xC0, 0xC2):
    at += 2 + struct.unpack(">H", d[at + 2:at + 4])[0]
h, w = struct.unpack(">HH", d[at + 5:at + 9])
print(f"{w}x{h}")
PY
}
expect "tiles are cut, made small by another function and put together" soon 20 test -s "$dir/tiles.jpg"
expect "to one JPEG of their size" same "$(jpeg_size "$dir/tiles.jpg")" 256x192
called() { report '.functions[] | select(.function == "thumbnail") | .calls.ok'; }
expect "by 16 calls through host and gateway" soon 3 sixteen
say "gone t1"
say "gone t2"

echo "a full queue"
instance q1 faulty 2 '"queue":4'
instance s1 sha256 1 '"queue":128'
say "gone f1"
soon 10 ready q1
expect "the old instance is gone" soon 10 gone f1
sleep 0.3
load full --functions 'faulty:sleep 300' --outstanding 20 --count 20
expect "what finds no place is REJECTED at once" at_least "$(errors_like full 'REJECTED: queue full')" 13
expect "what found one is answered" at_least "$(result full .calls)" 6
expect "and counted" soon 3 counted calls_queue_full 13

echo "deadlines"
say "gone q1"
instance h1 faulty 2 '"queue":8,"timeout_ms":300'
soon 10 ready h1
sleep 0.5
load hang --functions 'faulty:hang' --outstanding 2 --count 2
expect "a call that hangs ends at its deadline" same "$(errors_like hang 'CANCELED: deadline')" 2
expect "in time" at_most "$(result hang '.max_us // 400000 | floor')" 450000
expect "CANCEL reaches the function" soon 3 logged "hang was cancelled" h1
load spin --functions 'faulty:spin 1500' --outstanding 2 --count 2
load behind --functions 'faulty:sleep 1' --outstanding 4 --count 4
expect "who still runs keeps his place: others wait, and not for ever" same "$(errors_like behind 'REJECTED: deadline')" 4
sleep 1.5
expect "both kinds are counted" soon 3 counted calls_deadline_running 4
expect "the second, too" soon 3 counted calls_deadline_waiting 4
expect "then the place is free again" load after --functions 'faulty:sleep 1' --count 4 --expect-no-errors

echo "a crash"
say "gone h1"
instance h2 faulty 2 '"queue":8,"timeout_ms":20000'
soon 10 ready h2
soon 10 gone h1
load beside --connections 2 --outstanding 2 --duration 3 --expect-no-errors & beside=$!
load crash_sleepers --functions 'faulty:sleep 3000' --outstanding 1 --count 1 & sleepers=$!
one_runs() { [ "$(report '[.functions[] | select(.function == "faulty") | .running] | add')" = 1 ]; }
soon 5 one_runs
pid=$(of h2 .pid)
one faulty crash
wait $sleepers
expect "the call that crashed is CANCELED" answered "error 0x203"
expect "and so is the one beside it in that instance" same "$(errors_like crash_sleepers CANCELED)" 1
expect "it comes back" soon 5 ready h2
expect "as another process" test "$(of h2 .pid)" != "$pid"
expect "counted" is h2 .restarts 1
lost_both() { [ "$(counter calls_lost_with_instance)" = 2 ]; }
expect "and so are the calls that were lost" soon 3 lost_both
expect "and works" load works --functions 'faulty:sleep 1' --count 4 --expect-no-errors
wait $beside
expect "other functions felt nothing" same $? 0
for _ in 1 2 3; do one faulty "exit 3"; soon 5 ready h2; done
one faulty "exit 3"
expect "each time it waits longer" soon 1 is h2 .reason "it ended by itself"
expect "its exit status is known" is h2 .exit.code 3
none_live() { one faulty pid; [[ $answer = "error 0x202 no live instance"* ]]; }
expect "meanwhile calls are REJECTED" none_live
expect "and counted" soon 3 counted calls_no_instance 1
expect "until it is back" soon 10 ready h2
say "run bad1 bad 1 {\"runtime\":\"process\",\"command\":[\"/nonexistent\"]}"
expect "a program that is not there is a failure with a reason" soon 5 is bad1 .reason "the program could not be started: No such file or directory"
say "gone bad1"

echo "kill -9 of the host"
pid=$(of e1 .pid)
load killed --connections 2 --outstanding 4 --duration 4 --reconnect & loading=$!
sleep 1
kill -KILL "$host"
wait "$host" 2>/dev/null
expect "the instance lives on" alive "$pid"
sleep 0.3
host_start
expect "it is taken up" soon 5 is e1 .ready true
took_up() { [ "$(counter instances_adopted)" = 4 ]; }
expect "with all others" soon 5 took_up
all_told
expect "and none was started" same "$(counter instances_spawned)" 0
expect "it is the same process" is e1 .pid "$pid"
wait $loading
expect "calls went on" at_least "$(result killed .calls)" 1000
expect "what was lost had been in flight" at_most "$(errors_like killed '^lost')" 8
expect "and work as before" load again --count 1000 --outstanding 4 --expect-no-errors

echo "a clean restart of the host"
kill -TERM "$host"
wait "$host"
expect "it leaves with 0" same $? 0
host_start
expect "its instances are taken up again" soon 5 took_up
all_told
expect "and none was started" same "$(counter instances_spawned)" 0
soon 5 ready e1
expect "the same process still" is e1 .pid "$pid"

echo "what ended while the host was away"
kill -KILL "$host"
wait "$host" 2>/dev/null
kill -KILL "$(of c1 .pid)"
host_start
one_start() { [ "$(counter instances_spawned)" = 1 ]; }
expect "is noticed, and that alone is started" soon 10 one_start
expect "and runs" soon 5 ready c1

echo "a shim is killed"
shim=$(pgrep -f "penstock-shim $dir/state/instances/e1 ")
kill -KILL "$shim"
expect "its program dies with it" soon 3 dead "$pid"
expect "and is replaced" soon 5 is e1 .restarts 1
expect "by one that works" soon 5 ready e1
load shimless --count 100 --expect-no-errors
expect "for calls" same $? 0

echo "drains"
instance d1 faulty 4 '"queue":64,"drain_ms":3000'
soon 10 ready d1
say "gone h2"
sleep 0.5
instance d2 faulty 4 '"queue":64,"drain_ms":3000'
soon 10 ready d2
load drained --functions 'faulty:sleep 40' --outstanding 6 --duration 3 --expect-no-errors & loading=$!
sleep 1
say "stop d1"
expect "an instance that is stopped ends" soon 4 is d1 .state exited
expect "by itself" is d1 .exit.signal 0
wait $loading
expect "and no call was lost" same $? 0
load slowly --functions 'faulty:spin 2500' --count 1 & loading=$!
sleep 0.3
say "stop d2"
wait $loading
expect "a call that takes long within drain_ms is answered" same "$(result slowly .calls)" 1
expect "and then it ends" soon 4 is d2 .state exited

echo "logs"
instance l1 faulty 2
soon 10 ready l1
one faulty "log one line"
expect "what a function writes is kept" soon 3 logged "one line" l1
say "logs l1 1"
expect "and can be asked for" soon 3 grep -q "^log one line" "$dir/platform.log"
load chatty --functions 'faulty:log abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz' --count 400 --expect-no-errors
expect "and is bounded" at_most "$(stat -c %s "$dir/state/logs/l1.log")" 16384
expect "with the part before" test -s "$dir/state/logs/l1.log.1"

echo "overload"
instance o1 faulty 2 '"queue":128'
say "gone l1"
soon 10 ready o1
sleep 0.3
load warm --functions 'faulty:spin 10' --rate 1500 --duration 1
before=$(rss_kib "$host")
load over --functions 'faulty:spin 10' --rate 2000 --duration 4
expect "ten times the capacity: the excess is REJECTED" at_least "$(errors_like over 'REJECTED: queue full')" 4000
# A call that is taken finds at most the queue and the two places before it; what they take follows from what was served.
expect "who is taken waits no longer than the queue" at_most "$(result over '.p99_us | floor')" \
	"$(result over '3 * (128 + 2) * 1e6 / .calls_per_s | floor')"
expect "and memory stays" at_most "$(($(rss_kib "$host") - before))" 4096

echo "leaving"
load last --functions 'faulty:spin 2500' --count 1 & loading=$!
runs_one() { [ "$(report '[.functions[].running] | add')" = 1 ]; }
expect "a call runs" soon 5 runs_one
kill -TERM "$host"
drains() { one faulty "sleep 1"; answered "error 0x202 draining"; }
expect "a host that leaves refuses new calls" soon 2 drains
expect "and counts them" soon 2 counted calls_draining 1
wait $loading
expect "the one that ran is answered" same "$(result last .calls)" 1
wait "$host"
expect "the host leaves with 0" same $? 0
quiet() { ! grep -rqE 'Sanitizer|runtime error' "$dir"/*.log "$dir"/state/logs; }
expect "no sanitizer spoke up" quiet
host=
exec 5>&-
echo "fnhost: $passed passed, $failed failed"
[ "$failed" = 0 ]
