#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# The units under systemd itself: it is started in namespaces of its own, over this system with Penstock installed into it, and
# does what docs/DEPLOY.md says. What a unit forbids that a daemon needs shows here, and only here.
set -euo pipefail

# units.sh --boot DIR BUILD: is PID 1 of the namespaces; becomes systemd. All it mounts goes with it.
boot() {
	local dir=$1 build=$2 name major minor
	local sys=$dir/root
	mount --make-rprivate /
	mkdir -p "$dir/overlay" "$sys"
	mount -t tmpfs -o size=1g tmpfs "$dir/overlay"
	mkdir "$dir/overlay/upper" "$dir/overlay/work"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/overlay/upper,workdir=$dir/overlay/work" "$sys"
	rm -rf "$sys/etc/penstock"
	DESTDIR=$sys meson install -C "$build" --no-rebuild
	mount -t proc proc "$sys/proc"
	mount --bind "$sys/proc/sys" "$sys/proc/sys"
	mount -o remount,bind,ro "$sys/proc/sys"
	mount -t sysfs sysfs "$sys/sys"
	mount -t cgroup2 cgroup2 "$sys/sys/fs/cgroup"
	for name in run tmp var/lib dev; do mount -t tmpfs -o mode=755 tmpfs "$sys/$name"; done
	chmod 1777 "$sys/tmp"
	while read -r name major minor; do
		mknod -m 666 "$sys/dev/$name" c "$major" "$minor"
	done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0\nkmsg 1 11'
	mkdir "$sys/dev/net" "$sys/dev/pts" "$sys/dev/shm"
	mknod -m 666 "$sys/dev/net/tun" c 10 200
	mount -t devpts -o newinstance,ptmxmode=666 devpts "$sys/dev/pts"
	ln -s pts/ptmx "$sys/dev/ptmx"
	# Nothing of this system's own is started.
	rm -rf "$sys"/etc/systemd/system/*.wants "$sys"/etc/systemd/system/*.requires
	find "$sys"/lib/systemd/system/*.wants -type l ! -name 'systemd-journald*' -delete
	: >"$sys/etc/fstab"
	ln -sf /bin/true "$sys/sbin/modprobe" # the kernel is everybody's
	printf '%032x\n' 4711 >"$sys/etc/machine-id"
	# Users of an installation that is there already would do, too.
	printf 'port: ["p0=net_tap0,iface=pn0"]\nno-huge: true\n' >>"$sys/etc/penstock/dataplane.yaml"
	ip link set lo up
	cd /
	export container=penstock
	exec chroot "$sys" /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no
}

# units.sh --enter CGROUP DIR BUILD: makes the namespaces.
if [ "${1:-}" = --enter ]; then
	echo $$ >"$2/cgroup.procs"
	exec unshare --pid --fork --kill-child --mount --mount-proc --cgroup --net --uts --ipc bash "$0" --boot "${@:3}"
elif [ "${1:-}" = --boot ]; then
	boot "${@:2}"
fi

. "${0%/*}/lib.sh"
[ -x /lib/systemd/systemd ] || smoke_skip "systemd is not installed here"
[ "$(smoke_prefix)" = /usr/local ] ||
	smoke_skip "the build's prefix is not /usr/local"
cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$cgroups" ] || smoke_skip "there is no cgroup v2 file system"
grep -qw overlay /proc/filesystems || smoke_skip "the kernel has no overlayfs (modprobe overlay)"
unshare --pid --fork --mount --mount-proc --cgroup --net --uts --ipc true 2>/dev/null || smoke_skip "namespaces cannot be made here"

smoke_open
group=$cgroups/$stack_ns
mkdir "$group" 2>/dev/null || smoke_skip "cgroups cannot be made here"
remove_group() { find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; }
group_gone() { remove_group && [ ! -d "$group" ]; }
undo_push wait_for 10 "the cgroup's end" - group_gone

# Everything in the namespaces ends with their first process, and that with unshare.
start_systemd() {
	mkdir -p "$stack_run/boot"
	process_start "$stack_run/systemd.log" bash "$(realpath "$0")" --enter "$group" "$stack_run/boot" "$stack_build"
	unshare_pid=$process_pid
}
inside() {
	nsenter -t "$(pgrep -o -P "$unshare_pid")" --mount --pid --net --cgroup --uts --ipc --root --wd=/ \
		env -u SSH_CONNECTION PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
told() { "$@" >>"$stack_run/commands.log" 2>&1; }
running() { [ "$(inside systemctl is-system-running 2>/dev/null)" = running ]; }
active() { [ "$(inside systemctl is-active "penstock-$1")" = active ]; }
main_pid() { inside systemctl show -p MainPID --value "penstock-$1"; }
instances() { inside penstock get instances -o json | jq -r '.[] | "\(.metadata.name) \(.status.pid)"' | sort; }
ready() { [ "$(inside penstock get functions -o json | jq -c '[.[] | .status.ready >= 1] | all and length > 0')" = true ]; }
replies() { [ "$(inside penstock call echo -d hello)" = hello ]; }
restarted() { active "$1" && [ "$(main_pid "$1")" != "$2" ]; }
keep_journal() { inside journalctl --no-pager >"$stack_run/journal.log" 2>/dev/null || true; }

start_systemd
end_systemd() { kill -KILL "$(pgrep -o -P "$unshare_pid")" 2>/dev/null || true; }
undo_push end_systemd
undo_push keep_journal
wait_for 40 "systemd" "$unshare_pid" running || die "systemd does not start in namespaces"

say "as docs/DEPLOY.md says"
expect "systemd-sysusers" inside systemd-sysusers
expect "systemd-tmpfiles" inside systemd-tmpfiles --create penstock.conf
inside systemctl daemon-reload
expect "all three start" inside timeout 60 systemctl start penstock-controlplane penstock-dataplane penstock-fnhost
for daemon in controlplane dataplane fnhost; do
	expect "$daemon is active" active $daemon
done
expect "the control socket is the group's" test "$(inside stat -c '%a %U %G' /run/penstock/control.sock)" = "660 penstock penstock"
expect "the peer socket is penstock-peer's" test "$(inside stat -c '%a %U %G' /run/penstock/peer.sock)" = "660 penstock penstock-peer"
expect "the interface is there" wait_for 20 "pn0" "$unshare_pid" inside ip link show pn0
inside ip link set pn0 address 02:50:53:00:00:01
inside ip address add "$stack_host/24" dev pn0
inside ip link set pn0 up
expect "the gateway's example is applied" told inside penstock apply -f /usr/local/share/penstock/examples/gateway.yaml
expect "and the functions'" told inside penstock apply -f /usr/local/share/penstock/examples/functions.yaml
expect "functions are ready" wait_for 40 "the functions" "$unshare_pid" ready
expect "calls go" wait_for 20 "a reply" "$unshare_pid" replies
expect "functions run as penstock-fn" test "$(inside stat -c %U "/proc/$(instances | head -n 1 | cut -d' ' -f2)")" = penstock-fn
expect "status says that all is well" told inside penstock status

card=0000:fe:1f.7 # none has that
expect_status "a card that is not there is not bound" 1 inside systemctl start "penstock-port@$card"
says() { inside journalctl --no-pager -u "penstock-port@$card" | grep -F -- "$1" >/dev/null; }
expect "for that reason" wait_for 10 "its words" "$unshare_pid" says "there is no network card '$card'"
inside systemctl reset-failed "penstock-port@$card"

say "ends"
before=$(instances)
pid=$(main_pid fnhost)
inside systemctl kill --signal=KILL --kill-who=main penstock-fnhost
expect "a host that was killed is started again" wait_for 30 "the host" "$unshare_pid" restarted fnhost "$pid"
adopted() { [ "$(instances)" = "$before" ] && ready; }
expect "and takes up its instances" wait_for 30 "the instances" "$unshare_pid" adopted
pid=$(main_pid fnhost)
expect "restarted in order it does" inside systemctl restart penstock-fnhost
expect "the same" wait_for 30 "the instances" "$unshare_pid" adopted
pid=$(main_pid controlplane)
inside systemctl kill --signal=KILL penstock-controlplane
expect "the control plane, too, comes back" wait_for 30 "the control plane" "$unshare_pid" restarted controlplane "$pid"
expect "with everything" wait_for 40 "the instances" "$unshare_pid" adopted
pid=$(main_pid dataplane)
inside systemctl kill --signal=KILL penstock-dataplane
expect "and the gateway" wait_for 30 "the gateway" "$unshare_pid" restarted dataplane "$pid"
expect_status "uninstall does not pull the ground away" 1 inside /usr/local/libexec/penstock/uninstall
expect "they stop when asked to" inside timeout 90 systemctl stop penstock-dataplane penstock-fnhost penstock-controlplane
expect "functions go on until they are ended" told inside pgrep demo-echo
inside systemctl kill penstock-fnhost
no_functions() { ! inside pgrep 'demo-|penstock-shim'; }
expect "which systemctl kill does" wait_for 20 "the functions' end" "$unshare_pid" no_functions
expect "nothing failed" test -z "$(inside systemctl list-units --failed --plain --no-legend 'penstock-*')"
expect "then uninstall removes all" told inside /usr/local/libexec/penstock/uninstall
expect_status "the units are gone" 1 inside test -e /usr/local/lib/systemd/system/penstock-fnhost.service
smoke_end
