# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What quickstart runs: a small cluster on one machine. Each part has a network namespace of its own, as
# it would have a machine of its own; a bridge joins them. Clients see nothing of that network: their end
# of the cable is the gateway's tap port.
#
#	penstock            penstock-gw
#	clients             gateway
#	10.77.0.1 ── tap ── 10.77.0.2, port 7878
#	                    10.78.0.2
#	                        │
#	    ┌───────────────────┴─ penstock-net: bridge ──────────────────┐
#	10.78.0.3            10.78.0.11          10.78.0.12          10.78.0.20
#	control plane        function host       function host       servers that
#	:7879                host1 :7880         host2 :7880         are there already
#	penstock-cp          penstock-h1         penstock-h2         penstock-app
#
# Hosts join over TCP with a token; the gateway is in the same box as the control plane and uses its
# Unix socket. Needs base.sh, netns.sh, stack.sh and what they need.
# shellcheck disable=SC2154,SC2034

cluster_switch=penstock-net
cluster_namespaces=(penstock "$cluster_switch" penstock-cp penstock-gw penstock-h1 penstock-h2 penstock-app)
cluster_control=10.78.0.3
cluster_hosts=(1 2)

# The namespaces and the cables between them. All of it goes when the namespaces do.
cluster_make_network() {
	local name
	for name in "${cluster_namespaces[@]}"; do netns_make "$name"; done
	netns_bridge $cluster_switch br0
	netns_plug penstock-cp $cluster_control/24 $cluster_switch br0 cp
	netns_plug penstock-gw 10.78.0.2/24 $cluster_switch br0 gw
	netns_plug penstock-h1 10.78.0.11/24 $cluster_switch br0 h1
	netns_plug penstock-h2 10.78.0.12/24 $cluster_switch br0 h2
	netns_plug penstock-app 10.78.0.20/24 $cluster_switch br0 app
	stack_ns=penstock
	stack_cp_ns=penstock-cp
	stack_gw_ns=penstock-gw
	stack_app_ns=penstock-app
	stack_app=10.78.0.20
}

# The token that hosts join with, new for each run.
cluster_make_token() {
	(umask 077 && head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$stack_logs/join-token")
	stack_cp_args=(--peer-tcp "$cluster_control:7879" --token-file "$stack_logs/join-token")
}

# Starts the function hosts.
cluster_start_hosts() {
	local n host shim
	host=$(stack_program penstock-fnhost)
	shim=$(stack_program penstock-shim)
	undo_push cluster_end penstock-h1 penstock-h2
	for n in "${cluster_hosts[@]}"; do
		process_start "$stack_logs/host$n.log" ip netns exec "penstock-h$n" "$host" --config /dev/null \
			--name "host$n" --control $cluster_control:7879 --token-file "$stack_logs/join-token" \
			--listen "10.78.0.1$n:7880" --state "$stack_logs/host$n" --attributes "rack=r$n" \
			--functions "$stack_build/fnhost/demo" --shim "$shim"
	done
}

# cluster_all NOUN AWK: is there one at least, and does the condition hold for each? at["NAME"] is what
# stands in a column.
cluster_all() {
	penstock get "$1" | awk '
		NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i; next }
		{ for (i = 1; i <= NF; i++) at[name[i]] = $i; rows++; if (!('"$2"')) wrong++ }
		END { exit !(rows && !wrong) }'
}

cluster_hosts_ready() {
	[ "$(penstock get nodes -o name | wc -l)" = ${#cluster_hosts[@]} ] &&
		cluster_all nodes 'at["STATE"] == "ready"'
}

cluster_wait_hosts() {
	wait_for 20 "the function hosts" - cluster_hosts_ready
}

# Until each function has as many instances as it should have.
cluster_wait_functions() {
	wait_for 30 "the functions' instances" - cluster_all functions 'at["READY"] >= at["MIN"]'
}

# What quickstart starts carries this mark; only the shims of instances, which by design go on when their
# host ends, begin with an environment of their own: they are known by their folder.
export PENSTOCK_QUICKSTART=$cluster_switch

cluster_own() {
	local name pid
	for name in "$@"; do
		[ -e "/run/netns/$name" ] || continue
		for pid in $(ip netns pids "$name"); do
			if grep -qzxF "PENSTOCK_QUICKSTART=$PENSTOCK_QUICKSTART" "/proc/$pid/environ" ||
				grep -qz "^$stack_logs/host[0-9]*/instances/" "/proc/$pid/cmdline"; then
				printf '%s\n' "$pid"
			fi
		done
	done 2>/dev/null
}

# cluster_end NAMESPACE...: ends what still runs there and is ours. A shim tells its program, and at last
# takes it along.
cluster_end() {
	local own pid
	own=$(cluster_own "$@")
	for pid in $own; do kill -TERM "$pid" 2>/dev/null || true; done
	for pid in $own; do process_stop "$pid" 3; done
}

# cluster_busy NAME: does somebody run there?
cluster_busy() { [ -e "/run/netns/$1" ] && [ -n "$(ip netns pids "$1")" ]; }
cluster_idle() { ! cluster_busy "$1"; }

# Removes what an earlier run that was killed left behind. It noted the names: a namespace that somebody
# else made is not touched.
cluster_clear_remains() {
	local name
	cluster_end "${cluster_namespaces[@]}"
	for name in "${cluster_namespaces[@]}"; do
		[ -e "/run/netns/$name" ] || continue
		grep -qxF "$name" "$netns_note" 2>/dev/null ||
			die "there is a network namespace $name, which quickstart did not make" \
				"if nobody needs it: ip netns delete $name"
		wait_for 5 "waiting for the end of what runs in $name" - cluster_idle "$name" ||
			die "the network namespace $name is in use by others (ip netns pids $name)" \
				"end them, then run this again"
		say "removing the network namespace $name of an earlier run"
		ip netns delete "$name"
	done
}
