#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: sanitized
# A function host against everybody: programs that break the protocol, write without end, fork, ignore SIGTERM or never
# read; garbage from the network; a full disk; kill -9 of the host at any moment of starting an instance; instances
# that are given up; limits (over a plain folder in place of the kernel's); old logs. A function beside it all goes on.
# Over loopback and Unix sockets; needs jq and python3, root for the full disk alone.
#
# usage: fnhost_hostile.sh BUILD_DIR [options of run.sh, which mean nothing here]
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/fnhost.sh"

rogue() { # rogue ID MODE [MORE JSON]: the function is called as the mode
	say "run $1 $2 1 {\"command\":[\"python3\",\"$dir/rogue.py\",\"$2\"],\"concurrency\":4,\"timeout_ms\":1000,\"drain_ms\":200${3:+,$3}}"
}
no_process() { ! pgrep -f "$1" >/dev/null; }
end_all() { pgrep -f "$1" | while read -r pid; do kill -TERM "$pid" 2>/dev/null; done; }
echo_works() { load beside --count 200 --outstanding 4 --expect-no-errors; }
limits_of() { echo "$(<"$folder/fn-$1/cpu.weight") $(<"$folder/fn-$1/memory.max") $(<"$folder/fn-$1/pids.max")"; }
cp "$here/rogue.py" "$dir"/
folder=$dir/cgroup
mkdir "$folder"
echo "cpu memory pids" >"$folder/cgroup.controllers"

platform_start
host_start --cgroup "$folder" --logs-kept 3
instance e1 echo 4 '"resources":{"cpu_milli":250,"memory":67108864}'
expect "a good function runs" soon 10 ready e1

echo "limits"
leaf=$folder/fn-e1
expect "it has a group of its own, which its program has entered" same "$(cat "$leaf/cgroup.procs")" 0
expect "with its limits" same "$(limits_of e1)" "25 67108864 1024"
expect "the control plane is told so" grep -q '"limits":"cpu,memory,pids"' "$dir/platform.log"
echo "oom_kill 1" >"$leaf/memory.events"
kill -KILL "$(of e1 .pid)"
expect "an end for want of memory is told as such" soon 5 is e1 .reason "out of memory: it needed more than its limit of 64 MiB"
expect "and counted" soon 3 counted instances_out_of_memory 1
expect "it comes back" soon 5 ready e1
kill -KILL "$(of e1 .pid)"
expect "another end is not taken for one" soon 5 is e1 .reason "it ended by itself"
soon 5 ready e1

echo "replies that are none"
for mode in good twice strange items code zero garbage half flood silent; do rogue "r-$mode" $mode; done
for mode in good twice strange items code zero garbage half flood silent; do
	expect "$mode is ready" soon 10 ready "r-$mode"
	load "call-$mode" --functions $mode --count 8 --outstanding 2 --timeout-ms 5000
	expect "each call to it ends, and in time" same "$(result "call-$mode" '(.calls + .errors_total) - (.errors.timeout // 0)')" 8
done
expect "well-behaved ones are answered" same "$(result call-good .calls)" 8
expect "of two answers the first counts" at_least "$(result call-twice .calls)" 1
load stream --functions stream:flood --count 2 --credit 4 --timeout-ms 5000
expect "a stream of more than was asked for ends" same "$(result stream '(.calls + .errors_total) - (.errors.timeout // 0)')" 2
expect "the good one beside them felt nothing" echo_works
for mode in good twice strange items code zero garbage half flood silent; do say "gone r-$mode"; done
expect "they go" soon 15 gone r-silent

echo "programs that are none"
for mode in flap noise blind deaf closes loud; do rogue "p-$mode" $mode '"queue":4'; done
expect "one that speaks garbage each time is ended" soon 20 is p-flap .reason "its connection broke again and again"
expect "one that is never ready is not taken for ready" same "$(of p-noise .ready) $(of p-blind .ready) $(of p-deaf .ready)" "false false false"
expect "nor is one that closes its socket" same "$(of p-closes .ready)" false
expect "one that writes without end gets there" soon 20 ready p-loud
expect "its log is bounded" at_most "$(cat "$dir"/state/logs/p-loud.log* | wc -c)" 32768
expect "the good one felt nothing" echo_works
expect "and the host needs no more memory for them" at_most "$(rss_kib "$host")" 300000
for mode in flap noise blind deaf closes loud; do say "gone p-$mode"; done
for mode in flap noise blind deaf closes loud; do expect "$mode goes" soon 15 gone "p-$mode"; done
expect "and nothing of them stays" soon 5 no_process "$dir/rogue.py [fnbdcl]"

echo "processes that will not end"
rogue s1 stubborn
rogue s2 forks
soon 10 ready s1
soon 10 ready s2
expect "20 processes were left by their parents" same "$(pgrep -cf "^[^ ]*python3 $dir/rogue.py forks")" 21
say "gone s1"
say "gone s2"
expect "who ignores SIGTERM is killed" soon 12 gone s1
expect "with all that it has started, wherever that went" soon 12 no_process "$dir/rogue.py forks"

echo "instances that are given up"
say 'run b1 broken 1 {"command":["/bin/false"]}'
say 'run b2 missing 1 {"command":["/nonexistent"]}'
given_up() { [[ "$(of "$1" .reason)" == "given up after 8 starts: $2" ]]; }
expect "one that ends at once has failed" soon 30 is b1 .state failed
expect "with a sentence" given_up b1 "it ended by itself"
expect "and one that is not there" soon 15 given_up b2 "the program could not be started: No such file or directory"
expect "both are counted" soon 3 counted instances_failed 2
starts=$(counter instances_spawned)
kill -KILL "$host"
wait "$host" 2>/dev/null
host_start --cgroup "$folder" --logs-kept 3
expect "the next host does not begin again" soon 5 is b1 .state failed
expect "and tells the same sentence" given_up b1 "it ended by itself"
all_told
expect "it started none" same "$(counter instances_spawned)" 0
expect "after $starts starts" at_least "$starts" 16
soon 5 ready e1
say "gone b1"
say "stop b2"
expect "told to go it is gone" soon 3 gone b1
expect "told to stop it has ended" soon 3 is b2 .state exited
say "gone b2"

echo "old logs"
for n in 1 2 3 4 5; do
	instance "o$n" echo 1
	soon 10 ready "o$n"
	say "gone o$n"
	soon 5 gone "o$n"
done
three_logs() { same "$(cd "$dir/state/logs" && echo [!e]*.log)" "o3.log o4.log o5.log"; }
expect "three logs are kept of instances that are gone, the newest" soon 5 three_logs
expect "and those of the living" test -e "$dir/state/logs/e1.log"

echo "garbage from the network"
before=$(rss_kib "$host")
python3 - "$port" <<'PY'
import random, socket, struct, sys, time
rng = random.Random(1)
def conn():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(0.2)
    return s
def frame(stream, kind, flags, body):
    data = struct.pack(">IH", stream, kind << 10 | flags) + body
    return len(data).to_bytes(3, "big") + data
mime = b"message/x.rsocket.composite-metadata.v0"
setup = frame(0, 1, 0, struct.pack(">HHII", 1, 0, 1000, 5000) + bytes([len(mime)]) + mime + b"\x18application/octet-stream")
held = []
for n in range(400):
    s = conn()
    try:
        kind = n % 8
        if kind == 0: s.sendall(rng.randbytes(rng.randrange(1, 20000)))
        elif kind == 1: s.sendall(b"\xff\xff\xff" + bytes(1000))
        elif kind == 2: s.sendall(setup + rng.randbytes(5000))
        elif kind == 3: s.sendall(b"".join(frame(rng.randrange(1, 50), rng.randrange(64), rng.randrange(1024),
            rng.randbytes(rng.randrange(200))) for _ in range(50)))
        elif kind == 4: s.sendall(setup + b"".join(frame(2 * i + 1, rng.choice([4, 5, 6]), 0x100,
            len(m := rng.randbytes(rng.randrange(60))).to_bytes(3, "big") + m + b"x") for i in range(50)))
        elif kind == 5: s.sendall(setup[:rng.randrange(len(setup))])
        elif kind == 6: s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        else: s.sendall(setup + frame(1, 6, 0, struct.pack(">I", 0)) + frame(3, 4, 0x80, b"half") * 3)
    except OSError: pass
    if n % 4: s.close()
    else: held.append(s)
time.sleep(0.5)
PY
expect "the host lives" alive "$host"
expect "and works" echo_works
expect "what was malformed is counted" soon 3 counted calls_invalid 1
expect "connections are given back" at_most "$(find "/proc/$host/fd" | wc -l)" 150
expect "and memory" at_most "$(($(rss_kib "$host") - before))" 65536

echo "messages of a control plane gone mad"
for n in 1 2 3; do say 'run ../../etc x 1 {"command":["true"]}'; done
say 'run x1 ../x 1 {"command":["true"]}'
say 'run x2 x 1 {"command":"true"}'
say 'run x3 x 1 {}'
say 'stop nosuch'
say 'gone nosuch'
expect "they are refused, and counted" soon 3 counted assigns_invalid 6
expect "what has a name is told as failed, with a reason" soon 3 is x2 .state failed
expect "which names the host" same "$(of x3 .reason | cut -c1-47)" "refused: this host does not know how to run wha"
for n in x2 x3; do say "gone $n"; soon 3 gone $n; done
expect "nothing was made of them" same "$(cd "$dir/state/instances" && echo *)" e1

echo "kill -9 of the host while it starts instances"
mkdir "$dir/starts"
for n in 0 1 2 3 4 5 6 7 8 9; do
	say "run k$n sleeper$n 1 {\"command\":[\"sh\",\"-c\",\"echo x >>$dir/starts/k$n; exec $build/fnhost/demo/demo-echo\"]}"
	sleep "0.0$(printf %02d $((n * 3)))"
	kill -KILL "$host"
	wait "$host" 2>/dev/null
	host_start --cgroup "$folder" --logs-kept 3
	# What the host before it has reported may still stand there for a moment.
	runs_once() { [ "$(wc -l <"$dir/starts/k$n") $(of "k$n" .ready)" = "1 true" ]; }
	expect "$((n * 3)) ms after it was told: it was started once, and runs" soon 10 runs_once
done
# How many programs run, of all instances or one: other tests may run the same programs beside this one.
programs() { pgrep -f "penstock-shim $dir/state/instances/${1:-}" | while read -r shim; do pgrep -P "$shim"; done | wc -l; }
expect "as many programs run as instances" same "$(programs)" "$(report '.instances | length')"

kill -TERM "$host"
wait "$host"
expect "the host leaves with 0" same $? 0
end_all "penstock-shim $dir/state"
soon 5 no_process "penstock-shim $dir/state"

echo "a full disk"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	mkdir "$dir/small"
	unshare -m --propagation private sh -c "mount -t tmpfs -o size=256k none $dir/small && exec $build/fnhost/penstock-fnhost \
		--config /dev/null --name n1 --control unix:$dir/peer.sock --listen $to --state $dir/small/state --cgroup none \
		--functions $build/fnhost/demo" 2>>"$dir/host.log" &
	host=$!
	soon 5 ready e1
	for n in $(seq 60); do instance "d$n" echo 1; done
	no_room() { [ "$(report '[.instances[] | select(.reason | test("No space left"))] | length')" -ge 1 ]; }
	expect "what finds no room for its record is not started" soon 20 no_room
	some_fail() { [ "$(report '[.instances[] | select(.state == "failed" and (.reason | test("No space left")))] | length')" -ge 1 ]; }
	expect "and has failed in the end, so that it is placed elsewhere" soon 30 some_fail
	expect "others run" at_least "$(report '[.instances[] | select(.ready)] | length')" 1
	load cramped --count 200 --outstanding 4 --expect-no-errors
	expect "and answer" same "$(result cramped .calls)" 200
	kill -TERM "$host"
	wait "$host"
	expect "the host leaves with 0" same $? 0
	end_all "penstock-shim $dir/small"
else
	echo "  not run: it takes root to mount a small file system"
fi

echo "a host that is killed while an instance ends, and no control plane"
rm -rf "$dir/state"
host_start
instance z1 faulty 1 '"queue":4,"timeout_ms":20000,"drain_ms":15000'
instance z2 echo 1
soon 10 ready z1
soon 10 ready z2
load longest --functions 'faulty:spin 4000' --count 1 & loading=$!
z1_runs() { [ "$(report '[.functions[] | select(.function == "faulty") | .running] | add')" = 1 ]; }
expect "a call runs" soon 5 z1_runs
z1_ended() { [ "$(programs z1)" = 0 ]; }
expect "its program is there" same "$(programs z1)" 1
say "stop z1"
expect "its instance is told to stop" soon 5 is z1 .state stopping
kill -KILL "$platform" "$host"
wait "$platform" 2>/dev/null
platform=
wait "$host" 2>/dev/null
host_start
expect "the next host goes on to end it" soon 15 z1_ended
expect "and leaves the other alone" same "$(programs z2)" 1
wait $loading
kill -TERM "$host"
wait "$host"
quiet() { ! grep -rqE 'Sanitizer|runtime error' "$dir"/*.log "$dir"/state/logs; }
expect "no sanitizer spoke up" quiet
host=
echo "fnhost_hostile: $passed passed, $failed failed"
[ "$failed" = 0 ]
