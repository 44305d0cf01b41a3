#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line against a real control plane and a real RSocket server, without a gateway: every verb, every
# exit code, faults of manifests with their lines. Usage: cli.sh BUILD_DIR. Needs no root.
set -u
build=${1:?the build directory}
program=$build/tools/cli/penstock
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/penstock-cli.XXXXXX")
export PENSTOCK_SOCKET=$dir/control.sock
to=unix:$dir/server.sock
expected=0
failed=0
pids=()

finish() {
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

# check CODE NAME ARGUMENTS...: runs penstock; its output is in $dir/out and $dir/err.
check() {
	local code=$1 name=$2 got
	shift 2
	expected=$((expected + 1))
	timeout 60 "$program" "$@" <"$dir/in" >"$dir/out" 2>"$dir/err"
	got=$?
	: >"$dir/in"
	if [ $got != "$code" ] || grep -q 'Sanitizer\|runtime error' "$dir/err"; then
		wrong "$name: exit code $got instead of $code"
	fi
}

wrong() {
	echo "WRONG $*"
	sed 's/^/    out: /' "$dir/out" | head -n 20
	sed 's/^/    err: /' "$dir/err" | head -n 20
	failed=$((failed + 1))
}

# says PATTERN, complains PATTERN: a line of the last output.
says() {
	expected=$((expected + 1))
	grep -Eq -- "$1" "$dir/out" || wrong "no line matches '$1'"
}

complains() {
	expected=$((expected + 1))
	grep -Eq -- "$1" "$dir/err" || wrong "no complaint matches '$1'"
}

# start NAME FILE PROGRAM...: in the background, until FILE is there.
start() {
	local name=$1 file=$2
	shift 2
	"$@" >"$dir/$name.log" 2>&1 &
	pids+=($!)
	for _ in $(seq 200); do
		[ ! -S "$file" ] || return 0
		kill -0 $! 2>/dev/null || break
		sleep 0.05
	done
	echo "$name did not start:"
	cat "$dir/$name.log"
	exit 1
}

start_controlplane() {
	rm -f "$dir/control.sock"
	start controlplane "$dir/control.sock" "$build/controlplane/penstock-controlplane" \
		--control "$dir/control.sock" --peer "unix:$dir/peer.sock" --state "$dir/state" --metrics off \
		--config /dev/null
	controlplane=${pids[-1]}
}

: >"$dir/in"

# --- no control plane yet ---
check 3 "no socket" status
complains 'start penstock-controlplane'
check 3 "apply without a socket" apply -f "$root/test/fuzz/corpus/manifest/endpoint.yaml"
check 2 "no verb"
check 2 "unknown verb" gett
complains "did you mean 'get'"
check 0 "version" --version
check 0 "help" help apply

start_controlplane
check 0 "status of an empty control plane" status
says '^control plane +ok'
says '^gateways +0 of 0'

# --- manifests ---
cat >"$dir/all.yaml" <<'YAML'
# Three documents.
apiVersion: penstock/v1
kind: Endpoint
metadata:
  name: orders
  labels: {team: shop}
spec:
  addresses: ["10.77.0.1:7000"]
  routes: [orders, "person."]
---
apiVersion: penstock/v1
kind: Gateway
metadata: {name: gw1}
spec:
  ports: [{name: p0, addresses: [10.77.0.2/24, "fd77::2/64"]}]
---
apiVersion: penstock/v1
kind: Function
metadata: {name: thumbnail, namespace: imagery}
spec:
  command: [thumbnail]
  resources: {memory: 64Mi}
YAML
sed 's/routes:/roots:/; s/64Mi/64Mo/' "$dir/all.yaml" >"$dir/faulty.yaml"
check 1 "manifests with two faults" apply -f "$dir/faulty.yaml"
complains "^$dir/faulty.yaml:9: spec.roots"
complains "^$dir/faulty.yaml:22: spec.resources.memory"
complains 'nothing was applied'
check 0 "nothing of them is there" get endpoints -o name
[ ! -s "$dir/out" ] || wrong "something was applied"
check 0 "plan" plan -f "$dir/all.yaml"
says '^endpoint/orders created \(dry run\)'
says '^  \+ spec'
check 0 "plan changed nothing" get ep
complains 'There are no endpoints'
check 0 "apply" apply -f "$dir/all.yaml"
says '^endpoint/orders created$'
says '^gateway/gw1 created$'
says '^function/imagery/thumbnail created$'
check 0 "apply again" apply -f "$dir/all.yaml"
says '^endpoint/orders unchanged$'
sed 's/10.77.0.1:7000"/10.77.0.1:7000", "10.77.0.1:7001"/' "$dir/all.yaml" >"$dir/in"
check 0 "apply a change from standard input" apply -f -
says '^endpoint/orders configured$'
says '^gateway/gw1 unchanged$'
printf 'kind: Endpoint\nkind: Endpoint\n' >"$dir/in"
check 1 "a duplicate key" apply -f -
complains "^standard input:2:1: duplicate key"
printf 'a: &x 1\n' >"$dir/in"
check 1 "an anchor" apply -f -
check 1 "a file that is not there" apply -f "$dir/nothing.yaml"

# --- looking ---
check 0 "get" get endpoints
says '^NAME +ADDRESSES +ROUTES'
says '^orders +10.77.0.1:7000,10.77.0.1:7001 +orders,person\.'
check 0 "get wide" get gw -o wide
says '^gw1 +10.77.0.2/24,fd77::2/64 +7878 +not connected'
check 0 "get by label" get ep -l team=shop -o name
says '^endpoint/orders$'
check 0 "get by another label" get ep -l team=none -o name
[ ! -s "$dir/out" ] || wrong "a label that nothing has was found"
check 0 "get of a namespace" get functions -n imagery
says '^imagery +thumbnail'
check 1 "get what is not there" get ep nothing
check 1 "the wrong namespace" get fn thumbnail
check 0 "the right namespace" get fn imagery/thumbnail -o yaml
says '^  runtime: process$'
says '^    memory: "64Mi"$'
for noun in functions endpoints gateways; do
	for format in yaml json; do
		check 0 "get $noun -o $format" get $noun -o $format
		cp "$dir/out" "$dir/in"
		check 0 "what get shows as $format applies unchanged" apply -f -
		says ' unchanged$'
	done
done
check 0 "describe" describe endpoint orders
says '^Labels$'
says 'endpoint/orders updated'
check 0 "nodes" get nodes
check 0 "events" events
says 'function/thumbnail created'
check 0 "events behind one" events --after 2 --count 1 --json
says '^\{"seq":3,'
check 1 "events of the future" events --after 99999
check 0 "explain by prefix" explain route person.get
says 'by the longest prefix, person\.'
check 0 "explain a function" explain route imagery/thumbnail
check 1 "explain what nothing declares" explain route ordres
complains 'did you mean orders'
check 0 "stats" stats
says '0 calls/s'
check 0 "stats as JSON" stats --json
check 0 "top without a terminal" top --count 2 --interval 10ms
check 0 "status as JSON" status --json
check 1 "call without a gateway that listens" call orders --timeout 1s

# --- follow: an event arrives while it is waited for ---
timeout 30 "$program" events -f --after 0 --count 8 >"$dir/followed" 2>&1 &
follower=$!
sleep 0.3
check 0 "delete" delete function imagery/thumbnail
says '^function/imagery/thumbnail deleted$'
check 1 "delete it again" delete function imagery/thumbnail
check 0 "delete it again, if it exists" delete function imagery/thumbnail --if-exists
check 0 "apply for the follower" apply -f "$dir/all.yaml"
wait $follower || wrong "the follower left with $?"
grep -q 'function/thumbnail deleted' "$dir/followed" || { cat "$dir/followed"; wrong "it saw no deletion"; }

# --- jobs, plans and evaluations; there is no node, so everything waits ---
cat >"$dir/jobs.yaml" <<'YAML'
apiVersion: penstock/v1
kind: Job
metadata: {name: import}
spec:
  command: ["true"]
  count: 3
  placement: {constraints: [{attribute: arch, value: arm}]}
---
apiVersion: penstock/v1
kind: Job
metadata: {name: render}
spec:
  command: ["true"]
  template: {meta_required: [zoom]}
---
apiVersion: penstock/v1
kind: Job
metadata: {name: nightly}
spec:
  command: ["true"]
  schedule: {cron: ["0 3 * * *"]}
---
apiVersion: penstock/v1
kind: Quota
metadata: {name: default}
spec: {instances: 2}
YAML
check 0 "plan of jobs" plan -f "$dir/jobs.yaml"
says '^job/import created \(dry run\)'
says '^  > NO ROOM for 3; there is no node'
says '^  > nothing to start or stop'
says '^  > launch it next at .*T03:00:00'
check 0 "the plan made nothing" get jobs
complains 'There are no jobs'
check 0 "apply jobs" apply -f "$dir/jobs.yaml"
check 0 "plan with a quota" plan -f "$dir/jobs.yaml"
says '^job/import unchanged \(dry run\)'
says '^  > NO ROOM for 3; 1 are beyond the quota of the namespace'
check 0 "get jobs" get jobs
says '^default +import +batch +(waiting|pending)'
says '^default +nightly +batch +scheduled .*T03:00:00'
says '^default +render +batch +template'
check 0 "get quotas" get quotas
says '^default +0 +-'
check 0 "blocked evaluations" get evaluations --of import --status blocked
says ' import +room +blocked '
check 0 "an evaluation by its number" describe evaluation \
	"$(awk 'NR == 2 { print $1 }' "$dir/out")"
says '^  state: blocked$'
check 0 "why a job waits" explain job import
says 'it waits for '
check 0 "explain a schedule" explain job nightly
says 'launched next at .*T03:00:00'
check 1 "a dispatch without what the template asks for" run job render
complains 'zoom'
check 0 "a dispatch" run job render --meta zoom=12 -d scene-7 --token once -o name
child=$(cat "$dir/out")
check 0 "the same again" run job render --meta zoom=12 --token once
says "^$child was made before"
check 0 "a job that was made" get "$child" -o yaml
says '^  parent: render$'
says '^  payload_bytes: 7$'
check 0 "describe a template" describe job render
says "^default +${child#job/} "
check 0 "a scheduled job out of its turn" run job nightly
says '^job/nightly-[0-9]+ made of job/nightly$'
check 1 "logs of what has no instances" logs job render
complains 'makes jobs of its own'
check 1 "a rollout of what is not rolled out" rollout promote job import
complains 'not being rolled out'
check 1 "a node that is not there" drain nobody --deadline 10m
check 0 "status tells what waits" status
says '^evaluations +0 wait for a worker, [1-9]'
check 0 "events of jobs" events --kind job
says ' job/import created'
! grep -q endpoint "$dir/out" || wrong "events of another kind"
check 0 "of which there is none yet" events --kind evaluation
[ ! -s "$dir/out" ] || wrong "an evaluation has failed"

# --- a control plane that was killed forgets nothing ---
kill -KILL "$controlplane"
wait "$controlplane" 2>/dev/null
check 3 "a socket that nobody listens on" get ep
complains 'nobody listens'
start_controlplane
check 0 "all is there after the restart" get fn -o name
says '^function/imagery/thumbnail$'
check 0 "the same dispatch after the restart" run job render --meta zoom=12 --token once -o name
says "^$child$"
check 0 "delete jobs" delete -f "$dir/jobs.yaml"
check 1 "what a job has made goes with it" get "$child"

# --- many resources: pages, and the time it takes ---
for i in $(seq 1200); do
	printf -- '---\napiVersion: penstock/v1\nkind: Endpoint\nmetadata: {name: e%d}\n' "$i"
	printf 'spec: {addresses: ["10.0.0.1:%d"], routes: [r%d]}\n' "$i" "$i"
done >"$dir/in"
check 0 "apply 1,200 endpoints" apply -f -
check 0 "get 1,201 endpoints" get ep -o name
[ "$(wc -l <"$dir/out")" = 1201 ] || wrong "$(wc -l <"$dir/out") endpoints instead of 1201"
cp "$dir/all.yaml" "$dir/in"
check 0 "delete by manifest" delete -f -
says '^endpoint/orders deleted$'

# --- calls, to a server without a gateway ---
start server "$dir/server.sock" "$build/tools/gen/penstock-gen" serve --listen "$to"
check 0 "call" call echo --to "$to" -d hello --time
[ "$(cat "$dir/out")" = hello ] || wrong "no echo"
complains 'reply after '
printf 'from\0input' >"$dir/in"
check 0 "data from standard input" call echo --to "$to" -f - -o "$dir/reply"
printf 'from\0input' | cmp -s - "$dir/reply" || wrong "another reply than the data"
check 0 "no data" call echo --to "$to"
[ ! -s "$dir/out" ] || wrong "a reply to nothing"
head -c 15000000 /dev/urandom >"$dir/large"
check 0 "15 MB" call echo --to "$to" -f "$dir/large" -o "$dir/reply"
cmp -s "$dir/large" "$dir/reply" || wrong "15 MB came back changed"
head -c 17000000 /dev/zero >"$dir/large"
check 1 "17 MB" call echo --to "$to" -f "$dir/large"
complains 'larger than 16 MiB'
check 0 "a stream" call count --to "$to" -d 1000 --stream
seq 1000 | cmp -s - "$dir/out" || wrong "the stream is not 1 to 1000"
check 0 "a stream with a credit of 1" call count --to "$to" -d 50 --stream --credit 1
seq 50 | cmp -s - "$dir/out" || wrong "the stream is not 1 to 50"
check 0 "a stream that is cancelled" call count --to "$to" -d 1000000 --stream --credit 8 --count 20
seq 20 | cmp -s - "$dir/out" || wrong "the stream is not 1 to 20"
check 0 "fire and forget" call echo --to "$to" --fnf -d x
check 0 "1,000 calls" call echo --to "$to" -N 1000 -d x --time
[ "$(wc -l <"$dir/out")" = 1000 ] || wrong "not 1,000 replies"
complains '^connected in .*; 1000 calls: median'
check 1 "an error" call error --to "$to" -d '513 out of stock'
complains '^APPLICATION_ERROR: out of stock$'
check 1 "an application's own error" call error --to "$to" -d '769 sold'
complains '^0x301: sold$'
check 1 "a route that is not there" call nothing --to "$to"
check 1 "a deadline" call delay --to "$to" -d 3000 --timeout 100ms
complains 'no answer within 0.1 s'
check 1 "nobody listens" call echo --to "unix:$dir/nothing.sock"
complains 'No such file'
check 1 "an output that cannot be written" call echo --to "$to" -d x -o "$dir/nothing/reply"

start resetting "$dir/resetting.sock" "$build/tools/gen/penstock-gen" serve \
	--listen "unix:$dir/resetting.sock" --close-after 3
check 1 "a server that resets the connection at the third call" \
	call echo --to "unix:$dir/resetting.sock" -N 5 -d x
complains 'the connection was lost: '
[ "$(wc -l <"$dir/out")" = 2 ] || wrong "not two replies before it"

# --- completion ---
check 0 "completion for bash" completion bash
complete_words() {
	PATH=$(cd "$(dirname "$program")" && pwd):$PATH bash -c '. "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _penstock; echo "${COMPREPLY[*]}"' - "$dir/out" "$@"
}
[ "$(complete_words penstock sta)" = "status stats" ] || wrong "verbs are not completed"
[ "$(complete_words penstock describe ep e119)" = "e119 e1190 e1191 e1192 e1193 e1194 e1195 e1196 e1197 e1198 e1199" ] ||
	wrong "names are not completed: $(complete_words penstock describe ep e119)"
[ "$(complete_words penstock rollout p)" = "promote pause" ] || wrong "actions are not completed"
[ "$(complete_words penstock explain j)" = job ] || wrong "what can be explained is not completed"
[ "$(complete_words penstock logs ins)" = instance ] || wrong "nouns of logs are not completed"
[ "$(complete_words penstock run j)" = job ] || wrong "what can be run is not completed"
[ "$(complete_words penstock call echo --cre)" = "--credit" ] || wrong "options are not completed"

echo "cli.sh: $expected expectations, $failed wrong"
[ $failed = 0 ]
