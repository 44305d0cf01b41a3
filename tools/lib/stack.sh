# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A whole set on one machine: control plane, gateway on a tap port, backends. The smoke tests run all of
# it in one network namespace, quickstart each part in one of its own (cluster.sh). Needs base.sh and
# netns.sh, and these:
#   stack_build    build directory          stack_ns    the clients' network namespace, already made
#   stack_run      directory for the sockets
#   stack_logs     directory for logs and state
#   stack_workers  of the gateway           stack_args  an array of more flags for it
# Settable: stack_link (pn0); stack_cp_ns, stack_gw_ns, stack_app_ns where control plane, gateway and
# backends run elsewhere, stack_app (address of the backends there); stack_cp_args; stack_prefix (of
# DPDK's files). The addresses are the same everywhere, since each set has its own namespaces.
# shellcheck disable=SC2154,SC2034

stack_host=10.77.0.1
stack_gateway=10.77.0.2
stack_port=7878
stack_link=pn0
stack_app=$stack_host
stack_args=()
stack_cp_args=()
stack_cp_ns=
stack_gw_ns=
stack_app_ns=
stack_prefix=

stack_in() { ip netns exec "$stack_ns" "$@"; }

# The command line, inside the namespace, on this set's control socket.
penstock() {
	PENSTOCK_SOCKET=$stack_run/control.sock stack_in "$stack_build/tools/cli/penstock" "$@"
}

stack_program() {
	local path
	for path in "$stack_build/$1/$1" "$stack_build"/*/"$1" "$stack_build"/*/*/"$1"; do
		if [ -f "$path" ] && [ -x "$path" ]; then
			printf '%s' "$path"
			return 0
		fi
	done
	die "there is no $1 in $stack_build"
}

# Sets stack_controlplane_pid. State is kept over restarts.
stack_start_controlplane() {
	local program
	program=$(stack_program penstock-controlplane)
	mkdir -p "$stack_logs/state"
	process_start "$stack_logs/controlplane.log" ip netns exec "${stack_cp_ns:-$stack_ns}" "$program" \
		--config /dev/null --control "$stack_run/control.sock" --peer "$stack_run/peer.sock" \
		--state "$stack_logs/state" --metrics off ${stack_cp_args[@]+"${stack_cp_args[@]}"}
	stack_controlplane_pid=$process_pid
	wait_for 10 "the control plane" "$process_pid" penstock get gateways
}

# What DPDK leaves in /run.
stack_forget_dpdk() {
	rm -rf "/run/dpdk/$1"
	[ ! -d /run/dpdk ] || rmdir --ignore-fail-on-non-empty /run/dpdk
}

# Sets stack_dataplane_pid. Without stack_app_ns the backends' address exists from here on, on the
# kernel's side of the tap.
stack_start_dataplane() {
	local program prefix=${stack_prefix:-$stack_ns}
	program=$(stack_program penstock-dataplane)
	undo_push stack_forget_dpdk "$prefix"
	process_start "$stack_logs/dataplane.log" ip netns exec "${stack_gw_ns:-$stack_ns}" "$program" \
		--config /dev/null --name gw1 --control "unix:$stack_run/peer.sock" --workers "$stack_workers" \
		--port "p0=net_tap0,iface=$stack_link" --file-prefix "$prefix" \
		${stack_args[@]+"${stack_args[@]}"}
	stack_dataplane_pid=$process_pid
	netns_tap "$stack_ns" "$stack_link" "$stack_host/24" "$process_pid" "${stack_gw_ns:-$stack_ns}"
}

stack_listens() { netns_open "$stack_ns" "$stack_gateway" "$stack_port"; }

# After the gateway's manifest was applied.
stack_wait_dataplane() {
	wait_for 20 "the gateway's port $stack_port" "$stack_dataplane_pid" stack_listens
}

# stack_wait_backend WHAT PORT: the one that was started last.
stack_wait_backend() {
	wait_for 10 "$1 on port $2" "$process_pid" netns_open "${stack_app_ns:-$stack_ns}" "$stack_app" "$2"
}

# stack_start_backend PORT [FLAGS]: penstock-gen serve; its pid is in process_pid.
stack_start_backend() {
	local port=$1 program
	shift
	program=$(stack_program penstock-gen)
	process_start "$stack_logs/backend-$port.log" ip netns exec "${stack_app_ns:-$stack_ns}" "$program" serve \
		--listen "$stack_app:$port" "$@"
	stack_wait_backend "the backend" "$port"
}

# stack_start_js GENERATION PORT: a backend on rsocket-js; its pid is in process_pid.
stack_start_js() {
	process_start "$stack_logs/backend-$2.log" ip netns exec "${stack_app_ns:-$stack_ns}" \
		node "$root/test/interop/server.js" "$1" "$2" "$stack_app"
	stack_wait_backend "the rsocket-js backend" "$2"
}

# stack_wait_call ROUTE: until a call to it gets a reply.
stack_wait_call() {
	wait_for 15 "a reply from $1" "$stack_dataplane_pid" penstock call "$1" -d ready
}

# stack_wait_route ROUTE: the same for one that wants other data than this: it may find fault with it.
stack_route_answers() {
	local said
	said=$(penstock call "$1" -d ready 2>&1) || [[ $said = INVALID:* ]]
}

stack_wait_route() {
	wait_for 15 "an answer from $1" "$stack_dataplane_pid" stack_route_answers "$1"
}
