#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# penstock-gen on a DPDK port: over a tap against the kernel's TCP, and over a memif through a gateway whose
# backend is answered by the generator's own thread, as tools/bench does.
. "${0%/*}/lib.sh"
smoke_start

gen_log=$stack_run/gen.log

# gen_start FLAGS...: a load on a port; its pid is in gen_pid, what it says in $gen_log.
gen_start() {
	process_start "$gen_log" ip netns exec "$stack_ns" "$(stack_program penstock-gen)" load --quiet \
		${smoke_no_huge:+--no-huge} --file-prefix "$stack_ns-gen" --expect-no-errors "$@"
	gen_pid=$process_pid
}

gen_wait() { wait "$gen_pid" || { cat "$gen_log"; return 1; }; }
said() { grep -Eq -- "$1" "$gen_log"; }

say "- over a tap, against the kernel"
process_start "$stack_run/serve.log" ip netns exec "$stack_ns" "$(stack_program penstock-gen)" serve \
	--listen 0.0.0.0:7010
gen_start --port net_tap1,iface=pn1 --address 10.78.0.2/24 --to 10.78.0.1:7010 --connections 8 \
	--outstanding 16 --count 20000 --functions echo=9,stream:count:20=1
wait_for 20 "the tap port pn1" "$gen_pid" netns_has_link "$stack_ns" pn1
ip -n "$stack_ns" address add 10.78.0.1/24 dev pn1
ip -n "$stack_ns" link set dev pn1 up
expect "the load ends well" gen_wait
expect "it made every call" said '^calls +20000 '

say "- over a memif, through a gateway"
memif=id=0,socket=$stack_run/memif.sock,socket-abstract=no
process_start "$stack_run/memif.log" ip netns exec "$stack_ns" "$(stack_program penstock-dataplane)" \
	--config /dev/null --name memif --control "unix:$stack_run/peer.sock" --file-prefix "$stack_ns-memif" \
	--port "p0=net_memif0,role=server,$memif" --workers "$stack_workers" "${stack_args[@]}"
memif_pid=$process_pid
wait_for 10 "the memif" "$memif_pid" test -S "$stack_run/memif.sock"
smoke_apply <<YAML
apiVersion: penstock/v1
kind: Endpoint
metadata: {name: behind}
spec: {addresses: ["127.0.0.1:7020"], routes: [behind.]}
---
apiVersion: penstock/v1
kind: Gateway
metadata: {name: memif}
spec:
  ports: [{name: p0, addresses: [10.79.0.2/24]}]
  listeners: [{port: 7878}]
YAML
for size in 32 100k; do
	gen_start --port "net_memif0,role=client,$memif" --address 10.79.0.1/24 --to 10.79.0.2:7878 \
		--serve 127.0.0.1:7020 --connections 12 --threads "$stack_workers" --outstanding 4 \
		--size $size --warmup 3 --duration 1 --functions behind.echo
	expect "calls with $size bytes end well" gen_wait
done
gen_start --port "net_memif1,role=client,id=1,socket=$stack_run/none.sock,socket-abstract=no" \
	--address 10.79.0.1/24 --to 10.79.0.2:7878
expect_status "a port without a peer is a failure" 1 gen_wait
expect "which is said" said 'the device does not start'
expect "the gateway lives" process_lives "$memif_pid"
smoke_end
