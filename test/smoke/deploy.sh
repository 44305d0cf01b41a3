#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# An installed Penstock, started as its units start it: from start-up files, control plane and function host as users
# without any powers, the gateway as root without root's. What docs/DEPLOY.md says of tokens, of backups and of a restarted host.
. "${0%/*}/lib.sh"

cp_uid=64101 fn_uid=64102 stranger=64103
peer_group=games  # stands for penstock-peer: a group that every Debian has, and that nothing here is in
peer_gid=$(getent group $peer_group | cut -d: -f3)

smoke_open
usr=$stack_run/usr/local
prefix=$(smoke_prefix)
[ "$prefix" = /usr/local ] || smoke_skip "the build's prefix is $prefix, not /usr/local"
DESTDIR=$stack_run meson install -C "$stack_build" --no-rebuild >"$stack_run/install.log" 2>&1 ||
	die "meson install failed, see install.log"
etc=$stack_run/etc/penstock

# The directories, as sysusers and tmpfiles make them.
chmod 0755 "$stack_run"
chown $cp_uid:$cp_uid "$stack_run"
install -d -m 0750 -o $fn_uid -g $fn_uid "$stack_run/fnhost"
install -d -m 0750 -o $cp_uid -g $cp_uid "$stack_run/state"
head -c 24 /dev/urandom | base64 | install -m 0640 -g "$peer_gid" /dev/stdin "$etc/token"

cat >>"$etc/fnhost.yaml" <<YAML
name: n1
control: unix:$stack_run/peer.sock
state: $stack_run/fnhost
functions: $usr/libexec/penstock/functions
YAML
cat >"$etc/controlplane.yaml" <<YAML
control: $stack_run/control.sock
peer: unix:$stack_run/peer.sock
peer-group: $peer_group
peer-tcp: 0.0.0.0:7879
token-file: $etc/token
state: $stack_run/state
metrics: "off"
YAML
cat >"$etc/dataplane.yaml" <<YAML
name: gw1
control: unix:$stack_run/peer.sock
port: ["p0=net_tap0,iface=$stack_link"]
file-prefix: $stack_ns
no-huge: ${smoke_no_huge:+true}
YAML
[ -n "$smoke_no_huge" ] || sed -i '/^no-huge/d' "$etc/dataplane.yaml"

# What setpriv is told for each: a user without powers, root with the gateway's.
as_user() { printf '%s\n' --reuid "$1" --regid "$1" --groups "$2" --bounding-set=-all --inh-caps=-all --no-new-privs; }
mapfile -t as_controlplane < <(as_user $cp_uid "$peer_gid")
mapfile -t as_host < <(as_user $fn_uid "$peer_gid")
as_gateway=(--groups "$peer_gid" "--bounding-set=-all,+net_admin,+net_raw,+bpf,+ipc_lock" --inh-caps=-all --no-new-privs)

# start NAME SETPRIV-FLAGS... PROGRAM FLAGS...: in the namespace.
start() {
	local log=$stack_run/$1.log
	shift
	process_start "$log" ip netns exec "$stack_ns" setpriv "$@"
}
start_controlplane() {
	start controlplane "${as_controlplane[@]}" "$usr/bin/penstock-controlplane" --config "$etc/controlplane.yaml" "$@"
	stack_controlplane_pid=$process_pid
	wait_for 10 "the control plane" "$process_pid" penstock get gateways
}
start_host() { # start_host NAME FLAGS...
	local name=$1
	shift
	start "$name" "${as_host[@]}" "$usr/bin/penstock-fnhost" --config "$etc/fnhost.yaml" "$@"
}
instances() { penstock get instances -o json | jq -r '.[] | "\(.metadata.name) \(.status.pid)"' | sort; }
log_says() { grep -qF -- "$2" "$stack_run/$1.log"; }
connects() { # connects UID GROUP: to the peer socket
	local flags
	mapfile -t flags < <(as_user "$1" "$2")
	setpriv "${flags[@]}" /usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$stack_run/peer.sock" 2>/dev/null
}

say "the daemons, with the rights of their units"
expect "the control plane starts as a user without powers" start_controlplane
expect "the peer socket is the group's" test "$(stat -c '%a %G %u' "$stack_run/peer.sock")" = "660 $peer_group $cp_uid"
expect "a member connects" connects $fn_uid "$peer_gid"
expect_status "a stranger does not" 1 connects $stranger $stranger
start dataplane "${as_gateway[@]}" "$usr/bin/penstock-dataplane" --config "$etc/dataplane.yaml"
stack_dataplane_pid=$process_pid
expect "the gateway makes its port with NET_ADMIN" netns_tap "$stack_ns" "$stack_link" "$stack_host/24" "$process_pid"
expect "the function host starts as a user without powers" start_host n1
host_pid[n1]=$process_pid
expect "and joins" wait_for 10 "node n1" "${host_pid[n1]}" node_ready n1

manifest_gateway | smoke_apply
smoke_apply <"$usr/share/penstock/examples/functions.yaml"
stack_wait_dataplane
expect "a function is called" stack_wait_call echo
expect "it runs as the host's user" test "$(stat -c %u "/proc/$(instances | head -n 1 | cut -d' ' -f2)")" = $fn_uid

say "the host is started anew"
settled() { [ "$(penstock get functions -o json | jq -c '[.[] | .status.ready >= 1] | all')" = true ]; }
expect "all functions are ready" wait_for 20 "the functions" - settled
before=$(instances)
process_stop "${host_pid[n1]}" 20
start_host n1
host_pid[n1]=$process_pid
same_instances() { node_ready n1 && [ "$(instances)" = "$before" ]; }
expect "instances are the same afterwards" wait_for 15 "n1 to take them up" "${host_pid[n1]}" same_instances
expect "and take calls" stack_wait_call echo

say "other machines, and the token"
# From an address that is no loopback one: as another machine.
install -d -m 0750 -o $fn_uid -g $fn_uid "$stack_run/fnhost-n2" "$stack_run/fnhost-n3"
start_host n2 --name n2 --control "$stack_host:7879" --state "$stack_run/fnhost-n2" --listen 127.0.0.1:7882
n2_pid=$process_pid
expect "without it a host is refused" wait_for 10 "the refusal" "$n2_pid" log_says n2 "join token is missing or wrong"
expect_status "and is no node" 1 node_ready n2
process_stop "$n2_pid"
start_host n3 --name n3 --control "$stack_host:7879" --state "$stack_run/fnhost-n3" --listen 127.0.0.1:7883 --token-file "$etc/token"
expect "with it a host joins" wait_for 10 "node n3" "$process_pid" node_ready n3
connected() { [ "$(penstock get gateway gw2 -o json | jq -r .status.connected)" = true ]; }
manifest_gateway | sed 's/gw1/gw2/; s,10.77.0.2/24,10.78.0.2/24,' | smoke_apply
start gw2 "${as_gateway[@]}" "$usr/bin/penstock-dataplane" --config "$etc/dataplane.yaml" \
	--name gw2 --port p0=net_tap1,iface=pn2 --file-prefix "$stack_ns-2" --control "$stack_host:7879" --token-file "$etc/token"
expect "with it a gateway joins" wait_for 20 "gateway gw2" "$process_pid" connected

say "backup"
functions() { penstock get functions -o json | jq -c '[.[] | {name: .metadata.name, spec}] | sort'; }
wanted=$(functions)
penstock get functions -o yaml >"$stack_run/functions.yaml"
process_stop "$stack_controlplane_pid"
replies() { [ "$(penstock call echo -d hello --to "$stack_gateway:$stack_port")" = hello ]; }
expect "calls flow while the control plane is stopped" replies
install -d -m 0750 -o $cp_uid -g $cp_uid "$stack_run/state-2" "$stack_run/state-3"
install -m 0600 -o $cp_uid -g $cp_uid "$stack_run/state/store.mdb" "$stack_run/state-2/store.mdb"
expect "it starts from the copy" start_controlplane --state "$stack_run/state-2"
expect "which has every function" test "$(functions)" = "$wanted"
expect "and the host's instances" wait_for 15 "n1 to be back" "${host_pid[n1]}" same_instances
process_stop "$stack_controlplane_pid"
expect "and from nothing" start_controlplane --state "$stack_run/state-3"
smoke_apply <"$stack_run/functions.yaml"
expect "what get -o yaml said brings the functions back" test "$(functions)" = "$wanted"
smoke_end
