#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Instances of jobs on a function host alone, with a control plane that is a fake: payload, environment, exit status,
# stopping, kill -9 of the host before, while and after they run, logs. Over Unix sockets; needs jq, not root.
#
# usage: fnhost_jobs.sh BUILD_DIR [options of run.sh, which mean nothing here]
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
. "${0%/*}/lib/fnhost.sh"

spec() { # spec SCRIPT [MORE JSON]
	jq -cn --arg script "$1" \
		"{kind: \"job\", command: [\"bash\", \"-c\", \$script], group: \"main\", index: 3, drain_ms: 400${2:+, $2}}"
}
job() { say "run $1 tiles 7 $(spec "${@:2}")"; } # job ID SCRIPT [MORE JSON]
output() { grep -qsxF -- "$2" "$dir/state/logs/$1.log"; }
ended() { is "$1" '"\(.state) \(.exit.code) \(.exit.signal) \(.reason)"' "$2"; }
kill_host() {
	kill -KILL "$host"
	wait "$host" 2>/dev/null
}
begun() { grep -c begun "$dir/state/logs/$1.log"; }
recorded() { [ -d "$dir/state/instances/$1" ]; }
still() { # still SECONDS COMMAND...: all that time
	local until=$((SECONDS + $1))
	shift
	while [ $SECONDS -le $until ]; do
		"$@" || return 1
		sleep 0.3
	done
}
forgotten() { gone "$1" && ! recorded "$1"; }

folder=$dir/cgroup
mkdir "$folder"
echo "cpu memory pids" >"$folder/cgroup.controllers"
platform_start

# Nothing is written by instances below --state, which is in memory.
memory=$(mktemp -d /dev/shm/penstock-fnhost.XXXXXX)
disk=$(($(stat -fc '%b * %S' /var/tmp)))
host_start --cgroup none --state "$memory"
told() { grep -q "^setup .*$1" "$dir/platform.log"; }
expect "the disk that is told of is the one of /var/tmp" soon 10 told "\"disk\":$disk,"
kill -TERM "$host"
wait "$host"
rm -rf "$memory"
host_start --cgroup "$folder"

echo "what a job is given"
# shellcheck disable=SC2016
job p1 'echo "in: $(cat)"; echo "file: $(cat "$PENSTOCK_PAYLOAD") $(stat -c %a "$PENSTOCK_PAYLOAD")"
	echo "$PENSTOCK_JOB $PENSTOCK_NAMESPACE $PENSTOCK_GROUP $PENSTOCK_INDEX $PENSTOCK_META_SCENE_NAME $PENSTOCK_META_Level"
	echo "$PENSTOCK_INSTANCE $PENSTOCK_META_LEVEL $LEVEL $HOME ${PENSTOCK_SOCKET:-no socket}"' \
	'payload: "c2NlbmUgNw==", meta: {"scene-name": "alps", "Level": "9"}, env: {LEVEL: "x", HOME: "/tmp", PENSTOCK_JOB: "y"}'
expect "it ends, and all is well" soon 10 ended p1 "exited 0 0 "
expect "the payload is its standard input" output p1 "in: scene 7"
expect "and a file for it alone" output p1 "file: scene 7 400"
expect "it is told who it is and its metadata" output p1 "tiles default main 3 alps "
expect "and its environment" output p1 "p1 9 x /tmp no socket"
# shellcheck disable=SC2016
job p2 'read -r line || echo "at end, ${PENSTOCK_PAYLOAD:-no file}"; cat /proc/self/cgroup >/dev/null; exit 7'
expect "without one there is neither" soon 10 ended p2 "failed 7 0 exit status 7"
expect "which it sees" output p2 "at end, no file"
expect "it is not started again" is p2 .restarts 0
expect "and is counted" soon 3 counted jobs_failed 1
expect "as is what is through" counted jobs_completed 1
expect "none is a function" same "$(report '.functions | length')" 0
job s1 'kill -SEGV $$'
expect "a signal is told" soon 10 ended s1 "failed 0 11 killed by signal 11 (SIGSEGV)"
say 'run s2 tiles 7 {"kind": "job", "command": ["/nonexistent"]}'
expect "a program that is not there" soon 10 ended s2 \
	"failed null null the program could not be started: No such file or directory"
expect "has no exit status" is s2 .exit null
say 'run s3 tiles 7 {"kind": "job", "command": ["x"], "payload": "no base64"}'
expect "nonsense is counted" soon 3 counted assigns_invalid 1
expect "and told as failed" soon 3 is s3 .state failed
expect "without having begun" test ! -e "$dir/state/logs/s3.log"
say 'run s4 tiles 7 {"kind": "job", "runtime": "oci", "command": ["x"]}'
expect "what this host cannot run is refused with a reason" soon 3 is s4 .reason \
	"refused: this host does not know how to run the runtime oci: a newer penstock-fnhost may"
long=$(printf 'r%.0s' {1..39})üü
say "run s5 tiles 7 {\"kind\": \"job\", \"runtime\": \"$long\", \"command\": [\"x\"]}"
expect "also when that has a long name" soon 3 is s5 .reason \
	"refused: this host does not know how to run what it is given: a newer penstock-fnhost may"
say "again all"
job s6 'exit 0'
expect "another snapshot with the same" soon 10 is s6 .state exited
expect "does not end it" is s5 .state failed
all_told
expect "and is no reason to refuse it again" same "$(counter instances_refused)" 3
say "stop s4"
say "never s7 tiles 7 {\"kind\": \"job\", \"runtime\": \"oci\", \"command\": [\"x\"]}"
expect "to stop what it cannot run it need not know how" soon 10 is s7 .state exited
expect "what was refused has failed all the same" is s4 .state failed
for id in s3 s4 s5 s6 s7; do say "gone $id"; done

echo "reports"
# Of the newest connection.
first_report() { awk '/^setup / { n = 1; first = "" } n && /^report / { first = substr($0, 8); n = 0 } END { print first }' "$dir/platform.log"; }
news() { grep '^report ' "$dir/platform.log" | grep -v '"counters"' | cut -c8- | jq -s 'map(.instances | length)' | jq "$1"; }
expect "a change is told at once" at_least "$(news 'map(select(. > 0)) | length')" 1
expect "without all others" at_most "$(news max)" 3
before=$(grep -c '^setup ' "$dir/platform.log")
say "drop host"
came_back() { [ "$(grep -c '^setup ' "$dir/platform.log")" -gt "$before" ] && [ -n "$(first_report)" ]; }
expect "the host comes back" soon 10 came_back
ids() { jq -c '[.instances[].id] | sort'; }
expect "and tells of all first" same "$(first_report | ids)" "$(report . | ids)"

echo "a service"
mkfifo "$dir/v1"
# shellcheck disable=SC2016
job v1 'echo "begun $$"; read -r line <"$FIFO"; exit "$line"' "restart: true, env: {FIFO: \"$dir/v1\"}"
expect "is ready when it runs" soon 10 ready v1
echo 0 >"$dir/v1"
expect "what ends is started again" soon 10 is v1 .restarts 1
expect "and ready" soon 10 ready v1
echo 5 >"$dir/v1"
expect "also after an error" soon 10 is v1 .restarts 2
expect "which is told, also when it runs again" is v1 .reason "exit status 5"
# The code is told as long as it does not.
told_code() { grep '^report ' "$dir/platform.log" | cut -c8- | jq -c ".instances[] | select(.id == \"$1\" and .exit.code == $2)"; }
expect "and has been with its code" test -n "$(told_code v1 5)"
soon 10 ready v1
say "gone v1"
expect "it ends when it is not wanted any more" soon 10 gone v1

echo "limits"
mkfifo "$dir/m1" "$dir/a1" "$dir/a2"
# shellcheck disable=SC2016
job m1 'echo begun; read -r line <"$FIFO"; kill -KILL $$' "env: {FIFO: \"$dir/m1\"}, resources: {memory: 67108864}"
expect "it runs" soon 10 output m1 begun
expect "in a group of its own" same "$(<"$folder/fn-m1/memory.max")" 67108864
echo "oom_kill 1" >"$folder/fn-m1/memory.events"
echo >"$dir/m1"
expect "an end for want of memory is told as such" soon 10 ended m1 "failed 0 9 out of memory: it needed more than its limit of 64 MiB"

echo "stopping"
job t1 'trap "echo asked; exit 3" TERM; echo begun; while :; do sleep 0.05; done'
job t2 'trap "echo asked" TERM; echo begun; while :; do sleep 0.05; done'
for id in t1 t2; do expect "$id runs" soon 10 output $id begun; done
expect "and is ready as such" soon 3 ready t1
say "stop t1"
say "stop t2"
expect "one that ends on SIGTERM has stopped, and not failed" soon 10 ended t1 "exited 3 0 stopped"
expect "which is told apart from an end of its own" is t1 .stopped true
expect "one that does not is killed" soon 10 ended t2 "exited 0 9 stopped: killed, since it had not ended 400 ms after SIGTERM"
expect "it had been asked" output t2 asked
expect "both are counted" soon 3 counted jobs_stopped 2
say "never n1 tiles 7 $(spec 'echo begun')"
expect "one that was to stop before it was there" soon 3 is n1 .state exited
job n1 'echo begun'
job n2 'echo begun'
expect "never begins" soon 10 ended n2 "exited 0 0 "
expect "so it has no log" test ! -e "$dir/state/logs/n1.log"

echo "kill -9 of the host"
# shellcheck disable=SC2016
job a1 'echo begun; read -r line <"$FIFO"; echo "$line"; exit 4' "env: {FIFO: \"$dir/a1\"}"
# shellcheck disable=SC2016
job a2 'echo begun; read -r line <"$FIFO"; echo "$line"' "env: {FIFO: \"$dir/a2\"}"
job a3 'trap "echo asked; exit 0" TERM; echo begun; while :; do sleep 0.05; done'
job a4 'trap "exit 3" TERM; echo begun; while :; do sleep 0.05; done'
for id in a1 a2 a3 a4; do soon 10 output $id begun; done
soon 10 ready a4
pid=$(of a4 .pid)
kill_host
echo "while it was away" >"$dir/a1"
expect "what runs ends without it" soon 10 grep -q "^exited 4 0" "$dir/state/instances/a1/status"
touch "$dir/state/instances/a3/stop" # it was told to, and had no time to say so
touch "$dir/state/instances/a4/stop" # it had said so
kill -TERM "$pid"
expect "what was stopped ends without it, too" soon 10 grep -q "^exited 3 0" "$dir/state/instances/a4/status"
# A record without a shim: it was killed in between.
for id in w1 w2; do
	job $id 'echo begun'
	mkdir "$dir/state/instances/$id"
	jq -cn --arg id $id '{id: $id, namespace: "default", function: "tiles", version: 7, desired: "run",
		spec: {kind: "job", command: ["bash", "-c", "echo begun"]}}' >"$dir/state/instances/$id/spec.json"
done
touch "$dir/state/instances/w2/stop"
# A part of one: it was being written, or removed.
mkdir "$dir/state/instances/w3"
touch "$dir/state/instances/w3/"{payload,spec.json.new,lock}
before=$(grep -c '^report ' "$dir/platform.log")
host_start --cgroup "$folder"
reported() { [ "$(grep -c '^report ' "$dir/platform.log")" -gt "$before" ]; }
expect "a new host" soon 10 reported
expect "tells how it ended meanwhile" soon 10 ended a1 "failed 4 0 exit status 4"
expect "and how others had before" ended p1 "exited 0 0 "
expect "with the reason" ended m1 "failed 0 9 out of memory: it needed more than its limit of 64 MiB"
expect "and the status" ended p2 "failed 7 0 exit status 7"
expect "it goes on with what runs" soon 10 is a2 .state running
echo "adopted" >"$dir/a2"
expect "to its end" soon 10 ended a2 "exited 0 0 "
expect "it goes on with stopping" soon 10 ended a3 "exited 0 0 stopped"
expect "and says SIGTERM first" output a3 asked
expect "what was stopped before has not failed" soon 3 ended a4 "exited 3 0 stopped"
expect "what was not begun is begun" soon 10 output w1 begun
expect "but if it was to stop" soon 3 is w2 .state exited
expect "it is not" test ! -e "$dir/state/logs/w2.log"
expect "of half a record nothing is left" test ! -e "$dir/state/instances/w3"
for id in a1 a2 a3; do expect "$id was begun once" same "$(begun $id)" 1; done

echo "logs"
say "logs a1 1"
expect "of what has ended can be read" soon 3 grep -q "^log while it was away" "$dir/platform.log"
heard() { grep -qxE "(log )?$1" "$dir/platform.log"; }
job r1 'seq -f "line %g" 3000'
soon 10 ended r1 "exited 0 0 "
expect "of a log that was rotated there is the part before" test -s "$dir/state/logs/r1.log.1"
say "logs r1 2000"
expect "and the lines asked for begin in it" soon 3 heard "line 1001"
expect "go on in the newer one" soon 3 heard "line (2999|3000)"
expect "and are no more than that" test "$(heard "line 1000"; echo $?)" = 1
mkfifo "$dir/r2"
# shellcheck disable=SC2016
job r2 'echo begun; read -r line <"$FIFO"; seq -f "word %g" 3000' "env: {FIFO: \"$dir/r2\"}"
soon 10 output r2 begun
say "logs r2 1 follow"
soon 3 heard begun
echo >"$dir/r2"
expect "who follows hears the last words, also when the log is rotated at the end" soon 10 heard "word (2999|3000)"
for id in p1 p2 s1 s2 m1 t1 t2 n1 n2 a1 a2 a3 a4 r1 r2 w1 w2; do say "gone $id"; done
for id in p1 p2 a1 a3 w2; do expect "$id is forgotten when the control plane says so" soon 5 forgotten $id; done
expect "its output is not" output a2 adopted
say "logs a2 1"
expect "and can be read" soon 3 grep -q "^log adopted" "$dir/platform.log"
kill -TERM "$host"
wait "$host"
host_start --cgroup "$folder" --logs-kept 2
logs_left() { [ "$(find "$dir/state/logs" -name '*.log' | wc -l)" = 2 ]; }
expect "but has its limits" soon 5 logs_left
expect "and what they cost is counted" soon 3 counted logs_removed 5

echo "kill -9 of a shim"
job k1 'echo begun; sleep 60'
expect "a job runs" soon 10 output k1 begun
shim=$(pgrep -f "penstock-shim $dir/state/instances/k1 ")
pid=$(of k1 .pid)
kill -KILL "$shim"
expect "it dies with its shim" soon 3 dead "$pid"
expect "and has failed" soon 10 ended k1 "failed 0 9 killed by signal 9 (SIGKILL)"

echo "kill -9 of the host at any moment of a job"
for n in $(seq 0 11); do
	job "x$n" "echo x >>$dir/starts-x$n; sleep 0.02; echo end"
	sleep "0.0$(printf %02d $((n * 5)))"
	kill_host
	host_start --cgroup "$folder"
	soon 10 ended "x$n" "exited 0 0 "
	expect "$((n * 5)) ms after it was told: it ran once, to its end" \
		same "$(of "x$n" .state) $(wc -l <"$dir/starts-x$n") $(grep -c end "$dir/state/logs/x$n.log")" "exited 1 1"
	say "gone x$n"
done

echo "places"
mkfifo "$dir/c1" "$dir/c4"
expect "the control plane is told how many there are" grep -q '"capacity":{[^}]*"instances":1024' "$dir/platform.log"
kill -TERM "$host"
wait "$host"
before=$(grep -c '^report ' "$dir/platform.log")
host_start --cgroup "$folder" --instances 2
soon 10 reported
# shellcheck disable=SC2016
job c1 'echo begun; read -r line <"$FIFO"' "env: {FIFO: \"$dir/c1\"}"
job c2 'echo begun; sleep 60'
job c3 'echo begun'
expect "what exceeds them waits for a while" soon 5 is c3 '"\(.state) \(.reason)"' \
	"starting all places of this host are taken: it waits for one"
expect "and is refused" soon 20 is c3 '"\(.state) \(.reason)"' "failed refused: all places of this host are taken"
expect "and counted" soon 3 counted instances_refused 1
expect "it has not begun" test ! -e "$dir/state/logs/c3.log"
soon 10 output c1 begun
echo >"$dir/c1"
expect "the one ends" soon 10 is c1 .state exited
# shellcheck disable=SC2016
job c4 'trap "read -r line <\"$FIFO\"; exit 3" TERM; echo begun; while :; do sleep 0.05; done' \
	"env: {FIFO: \"$dir/c4\"}, drain_ms: 60000"
expect "what has ended takes no place" soon 10 output c4 begun
# What the control plane tells to stop has given its place back in its plan, whichever word comes first.
say "stop c4"
job c5 'echo begun; sleep 60'
expect "what is to follow one that is stopping waits" soon 10 is c5 '"\(.state) \(.reason)"' \
	"starting all places of this host are taken: it waits for one"
expect "longer than what is refused" still 10 is c5 .state starting
expect "while the other one has its time" is c4 .state stopping
expect "and has not begun" test ! -e "$dir/state/logs/c5.log"
echo >"$dir/c4"
expect "until that one has ended" soon 10 output c5 begun
expect "as it was asked to" ended c4 "exited 3 0 stopped"
job c6 'echo begun'
job c7 'echo begun'
soon 10 is c7 .state starting
say "stop c7"
expect "what is not wanted any more does not wait" soon 10 ended c7 "exited 0 0 "
say "stop c2"
expect "a place that is given back later is taken, too" soon 10 output c6 begun
all_told
expect "nothing of it was refused" same "$(counter instances_refused)" 1

kill -TERM "$host"
wait "$host"
expect "the host leaves with 0" same $? 0
quiet() { ! grep -rqE 'Sanitizer|runtime error' "$dir"/*.log "$dir/state/logs"; }
expect "no sanitizer spoke up" quiet
host=
exec 5>&-
echo "fnhost_jobs: $passed passed, $failed failed"
[ "$failed" = 0 ]
