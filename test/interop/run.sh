#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rsocket-js of both generations against Penstock: run.sh BUILD_DIR [--workers N] [--no-huge]. As root, in
# a network namespace of its own. The last line is "N passed, N failed".
. "${0%/*}/../smoke/lib.sh"

here=$root/test/interop
calls=2000         # of each kind and pair through the gateway
calls_few=200      # where more would show nothing new
passed=0
failed=0

# Fetches what the lock files name; the user's npm settings say from where.
install_js() {
	local dir
	for dir in "$here"/js-*; do
		[ ! -e "$dir/node_modules/rsocket-core" ] || continue
		say "fetching $(basename "$dir")"
		(cd "$dir" && timeout 300 npm ci --no-audit --no-fund >"$stack_run/npm.log" 2>&1) || {
			tail -n 5 "$stack_run/npm.log" >&2
			die "npm could not fetch rsocket-js" "set a registry with npm config, or an npm proxy"
		}
	done
}

# tried NAME COMMAND...
tried() {
	local name=$1 start=$SECONDS log=$stack_run/tried.log
	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok    %s: %s (%s s)\n' "$name" "$(tail -n 1 "$log")" $((SECONDS - start))
	else
		failed=$((failed + 1))
		printf 'WRONG %s (%s s)\n' "$name" $((SECONDS - start))
		sed 's/^/      /' "$log"
	fi
}

# js_client GENERATION ADDRESS [FLAGS]
js_client() {
	local generation=$1 to=$2
	shift 2
	stack_in timeout 300 node "$here/client.js" "$generation" "$to" "$@"
}

declare -A server_pid=()
declare -A port=([gen]=7000 [0.0.27]=7001 [alpha]=7002)
declare -A prefix=([gen]='' [0.0.27]=jsold. [alpha]=jsalpha.)
# A server on 0.0.27 cannot send application error codes.
declare -A codes=([gen]=--codes [0.0.27]='' [alpha]=--codes)
servers=(gen 0.0.27 alpha)
generations=(0.0.27 alpha)

# The gateway first: with its tap comes the address that the servers listen on.
start_all() {
	stack_start_controlplane
	stack_start_dataplane
	stack_start_backend 7000
	stack_start_js 0.0.27 7001
	server_pid[0.0.27]=$process_pid
	stack_start_js alpha 7002
	server_pid[alpha]=$process_pid
	{
		manifest_gateway
		manifest_endpoint gen '[echo, count, delay, error]' "$stack_host:7000"
		manifest_endpoint jsold '["jsold."]' "$stack_host:7001"
		manifest_endpoint jsalpha '["jsalpha."]' "$stack_host:7002"
	} | smoke_apply
	stack_wait_dataplane
	stack_wait_call echo
	stack_wait_call jsold.echo
	stack_wait_call jsalpha.echo
}

# Without the gateway: are the peers and our own server what the next tests take them for?
direct() {
	local server generation
	for server in "${servers[@]}"; do
		for generation in "${generations[@]}"; do
			# shellcheck disable=SC2086
			tried "client $generation, server $server, direct" js_client "$generation" \
				"$stack_host:${port[$server]}" --calls $calls_few ${codes[$server]}
		done
	done
	tried "client alpha sending fragments, server gen, direct" js_client alpha \
		"$stack_host:7000" --calls $calls_few --fragment 16384
	for server in 0.0.27 alpha; do
		tried "our load on server $server" stack_in "$(stack_program penstock-gen)" load \
			--to "$stack_host:${port[$server]}" --connections 4 --outstanding 16 --duration 2 \
			--functions echo
	done
}

through_gateway() {
	local server generation
	for server in "${servers[@]}"; do
		for generation in "${generations[@]}"; do
			# shellcheck disable=SC2086
			tried "client $generation, server $server, gateway" js_client "$generation" \
				"$stack_gateway:$stack_port" --calls $calls --prefix "${prefix[$server]}" \
				--unknown ${codes[$server]}
		done
		tried "client alpha sending fragments, server $server, gateway" js_client alpha \
			"$stack_gateway:$stack_port" --calls $calls_few --fragment 16384 \
			--prefix "${prefix[$server]}"
	done
}

# The snippet of README.md, as it stands there, must do what it says.
readme_snippet() {
	awk '/^```js$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" \
		>"$here/js-alpha/readme-snippet.js"
	undo_push rm -f "$here/js-alpha/readme-snippet.js"
	stack_in timeout 30 node "$here/js-alpha/readme-snippet.js" | tee "$stack_run/snippet.log"
	grep -qx hello "$stack_run/snippet.log"
}

fragments() {
	local generation
	for generation in "${generations[@]}"; do
		tried "fragments that $generation understands" diff -u "$here/fragments-$generation.txt" \
			<(stack_in timeout 120 node "$here/fragments.js" "$generation" 2>/dev/null)
	done
}

# Fire-and-forget has no reply: the servers say at their end how many they got. Each of the two clients
# sent calls_few directly and `calls` through the gateway, the one with fragments calls_few more.
nothing_lost() {
	local want=$((2 * calls_few + 2 * calls + calls_few)) got
	process_stop "${server_pid[$1]}"
	got=$(tail -n 1 "$stack_logs/backend-${port[$1]}.log" | jq .fnf)
	echo "$got of $want arrived"
	[ "$got" = $want ]
}

smoke_open
command -v node >/dev/null && command -v npm >/dev/null ||
	die "Node.js or npm is missing" "apt-get install nodejs npm"
install_js
start_all
fragments
direct
through_gateway
tried "the snippet of README.md" readme_snippet
for server in 0.0.27 alpha; do
	tried "every fire-and-forget reached server $server" nothing_lost $server
done
say "$passed passed, $failed failed"
[ $failed = 0 ]
