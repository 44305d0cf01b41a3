#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# Jobs on two hosts: batch jobs with outputs and exit statuses, dispatched and periodic ones, one on every host; hosts
# and the control plane killed with -9 meanwhile: nothing is lost, nothing runs twice. No gateway: nobody is called.
. "${0%/*}/lib.sh"

# job_apply NAME SCRIPT [MORE OF THE SPEC, a line each]: $RUN is this test's directory.
job_apply() {
	{
		printf -- '---\napiVersion: penstock/v1\nkind: Job\nmetadata: {name: %s}\nspec:\n' "$1"
		printf '  resources: {cpu_milli: 10, memory: 16Mi}\n  env: {RUN: "%s"}\n' "$stack_run"
		printf '  command: [bash, -c, %s]\n' "$(jq -cn --arg s "$2" '$s')"
		[ $# -lt 3 ] || printf '  %s\n' "${@:3}"
	} | smoke_apply
}

status() { penstock get job "$1" -o json | jq -r ".status | $2"; }
status_is() { [ "$(status "$1" "$2")" = "$3" ]; }
# All it ever had.
instances() { penstock get instances --of "$1" --ended -o json | jq -r "$2"; }
instances_are() { [ "$(instances "$1" "$2")" = "$3" ]; }
# What the job's instances have written, in order: the lines without who wrote them.
output() { penstock logs job "$1" | sed 's/^[^|]*| //' | sort; }
output_is() { [ "$(output "$1")" = "$2" ]; }
# How many instances have noted in the file that they began, and whether one did twice.
begun() { sort "$stack_run/begun-$1" 2>/dev/null | wc -l; }
begun_is() { [ "$(begun "$1")" = "$2" ]; }
begun_once() { begun_is "$1" "$2" && [ "$(sort -u "$stack_run/begun-$1" | wc -l)" = "$2" ]; }
# Begins with a note, and goes on when the file go-NAME is there.
# shellcheck disable=SC2016
note='echo "$PENSTOCK_INDEX" >>"$RUN/begun-$PENSTOCK_JOB"'
# shellcheck disable=SC2016
gate='while [ ! -e "$RUN/go-$PENSTOCK_JOB" ]; do sleep 0.05; done'
# As on a system without a machine id.
n2_start() {
	# shellcheck disable=SC2016
	host_in=(unshare -m bash -c 'mount --bind /dev/null /etc/machine-id; exec "$@"' sh)
	host_start n2 7881
	host_in=()
}

smoke_no_huge=1
smoke_open
stack_start_controlplane
host_start n1 7880
n2_start
expect "both nodes are ready" wait_for 15 "n1" - node_ready n1
expect "the second, too" wait_for 15 "n2" - node_ready n2

# These take their time: more of them at the end.
# shellcheck disable=SC2016
job_apply fails "$note"'; echo "in vain"; exit 7' 'count: 1'
# shellcheck disable=SC2016
job_apply minutely 'echo "$PENSTOCK_JOB" >>"$RUN/begun-minutely"' 'schedule: {cron: ["* * * * *"]}'

# The examples: a batch job.
strips_output() {
	local i
	for i in 0 1 2 3 4 5 6 7; do
		echo "strip $i: rows $((i * 512)) to $((i * 512 + 511))"
		seq $((i * 512)) $((i * 512 + 511)) | sha256sum
	done | sort
}
examples=$root/docs/examples/jobs.yaml
penstock apply -f "$examples" >/dev/null
expect "no job is called as a function of the examples" test -z \
	"$(grep -ho '{name: [a-z0-9-]*' "$root"/docs/examples/{functions,jobs}.yaml | sort | uniq -d)"
expect "a job of 8 is complete" wait_for 20 "the job" - status_is strips '"\(.state) \(.complete)"' "complete 8"
expect "each has exited with 0" instances_are strips '[.[] | select(.status.state == "exited" and .status.exit.code == 0)] | length' 8
expect "their output is kept" output_is strips "$(strips_output)"
expect "both hosts took part" instances_are strips '[.[].spec.node] | unique | length' 2
expect_status "it is done once: the same manifest changes nothing" 0 penstock apply -f "$examples"
expect "so it has 8 instances still" instances_are strips length 8

job_apply poem 'printf "one\n\n42"' 'count: 1'
expect "a job of one is complete" wait_for 20 "the job" - status_is poem .state complete
expect "of it each byte is shown, and the end of the line" test "$(penstock logs job poem | od -c)" = "$(printf 'one\n\n42\n' | od -c)"

# One that fails.
expect "one that fails is to be tried again" wait_for 20 "the failure" - status_is fails .state failing
expect "its exit status is told" instances_are fails '.[0].status | "\(.state) \(.exit.code) \(.reason)"' "failed 7 exit status 7"
expect "and when it is tried again" test -n "$(penstock explain job fails | grep 'it begins at')"
fails_on=$(instances fails '.[0].spec.node')

# A dispatched one.
expect "a template does not run by itself" status_is scene .state template
child=$(penstock run job scene --meta scene=alps --meta cloud-max=20 -d 'B02 B03' --token one -o json | jq -r .job)
expect "a dispatch makes a job" wait_for 20 "the child" - status_is "$child" .state complete
expect "which has the payload on its standard input, and the metadata" \
	output_is "$child" "$(printf 'band B02\nband B03\nscene alps, at most 20 %% of clouds')"
expect "the same token makes no other" test "$(penstock run job scene --meta scene=alps -d x --token one -o json |
	jq -c '[.job, .created]')" = "[\"$child\",false]"
expect_status "without what it asks for it is refused" 1 penstock run job scene -d x
expect_status "and without a payload" 1 penstock run job scene --meta scene=alps
expect "and says why" test -n "$(penstock run job scene -d x 2>&1 | grep '"scene" is required')"
# shellcheck disable=SC2016
job_apply bytes 'cmp - "$PENSTOCK_PAYLOAD" && sha256sum <"$PENSTOCK_PAYLOAD"; stat -c %a "$PENSTOCK_PAYLOAD"' 'template: {}'
head -c 16384 /dev/urandom >"$stack_run/payload"
child=$(penstock run job bytes --file "$stack_run/payload" -o json | jq -r .job)
expect "a payload of any bytes" wait_for 20 "the child" - status_is "$child" .state complete
expect "is there as a file for it alone, too" output_is "$child" "$({ sha256sum <"$stack_run/payload"; echo 400; } | sort)"

# On every host, and again there when it ends.
# shellcheck disable=SC2016
job_apply everywhere "$note"'; trap "exit 0" TERM; while :; do sleep 0.05; done' 'type: system'
expect "a system job runs on every host" wait_for 20 "the system job" - status_is everywhere .ready 2
expect "once on each" instances_are everywhere '[.[].spec.node] | sort | join(" ")' "n1 n2"
victim=$(instances everywhere '.[0].status.pid')
kill -KILL "$victim"
expect "one that is killed comes back on its host" \
	wait_for 20 "its restart" - instances_are everywhere '[.[] | select(.status.ready) | .status.restarts] | add' 1
expect "as another process" test "$(instances everywhere '.[0].status.pid')" != "$victim"

# Both hosts are killed while they run a job; some instances end before they are back.
# shellcheck disable=SC2016
job_apply survives "$note; [ \$PENSTOCK_INDEX -lt 3 ] || $gate"'; echo "tile $PENSTOCK_INDEX"' 'count: 6'
expect "a job has begun" wait_for 20 "its instances" - begun_is survives 6
wait_for 20 "three ends" - status_is survives .complete 3
for host in n1 n2; do kill -KILL "${host_pid[$host]}"; done
touch "$stack_run/go-survives"
three_ended() { [ "$(grep -l '^exited 0 0' "$stack_run"/fnhost-n?/instances/*/status | wc -l)" -ge 3 ]; }
wait_for 20 "ends without a host" - three_ended
host_start n1 7880
n2_start
expect "it is completed over kill -9 of its hosts" wait_for 20 "its end" - status_is survives '"\(.state) \(.complete)"' "complete 6"
expect "by the instances that had begun" begun_once survives 6
expect "none of which failed" instances_are survives '[.[].status.exit.code] | add' 0
expect "all output is there" output_is survives "$(seq -f 'tile %.0f' 0 5)"
expect "also of what had ended before" output_is strips "$(strips_output)"
expect "what runs all the time still does" wait_for 20 "the system job" - status_is everywhere .ready 2
expect "and was not started again" test "$(sort "$stack_run/begun-everywhere" | wc -l)" = 3

# The control plane is killed while jobs come, run and end.
# shellcheck disable=SC2016
job_apply wave "$note"'; sleep 0.$((RANDOM % 10)); echo "tile $PENSTOCK_INDEX"' 'count: 60'
for n in 1 2 3 4; do
	sleep "0.$((RANDOM % 4))"
	penstock run job scene --meta "scene=s$n" -d x --token "wave-$n" -o json | jq -r .job >>"$stack_run/children"
	controlplane_restart
done
expect "a job is completed over kill -9 of the control plane" \
	wait_for 30 "its end" - status_is wave '"\(.state) \(.complete)"' "complete 60"
expect "each of its instances ran, and once" begun_once wave 60
expect "all output is there" wait_for 20 "the hosts" - output_is wave "$(seq -f 'tile %.0f' 0 59 | sort)"
for n in 1 2 3 4; do
	child=$(sed -n "${n}p" "$stack_run/children")
	expect "what was dispatched is there ($n)" wait_for 20 "the child" - status_is "$child" .state complete
	expect "and is the same by its token" \
		test "$(penstock run job scene --meta scene=x -d y --token "wave-$n" -o json | jq -r .job)" = "$child"
done
expect "how instances ended before is still known" instances_are strips \
	'[.[] | select(.status.state == "exited" and .status.exit.code == 0)] | length' 8
expect "also of one that failed" \
	instances_are fails '[.[] | select(.status.state == "failed" and .status.exit.code == 7)] | length > 0' true

# Deleted while it runs.
# shellcheck disable=SC2016
job_apply endless "$note"'; trap "touch $RUN/asked; exit 0" TERM; while :; do sleep 0.05; done'
expect "a job runs" wait_for 20 "it" - begun_is endless 1
penstock delete job endless >/dev/null
expect "a deleted one is asked to end" wait_for 20 "its end" - test -e "$stack_run/asked"
penstock delete job everywhere >/dev/null
none_run() { [ "$(penstock get instances -o json | jq length)" = 0 ] && ! pgrep -f "$stack_run/fnhost-n./logs" >/dev/null; }

# What takes its time.
expect "what has failed is tried again" wait_for 60 "the second try" - begun_is fails 2
second_node() { [ "$(instances fails '[.[].spec.node] | unique | length')" = 2 ]; }
expect "elsewhere than on $fails_on" wait_for 20 "the second node" - second_node
launched() { [ "$(status minutely .launch.launches)" -ge 1 ]; }
expect "the periodic job was launched" wait_for 75 "the next minute" - launched
launches_ran() { begun_once minutely "$(status minutely .launch.launches)"; }
expect "once each time, over all that went on" wait_for 20 "what was launched" - launches_ran
penstock delete job fails >/dev/null
expect "in the end nothing runs" wait_for 20 "the end of all instances" - none_run
smoke_end
