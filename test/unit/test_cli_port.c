// SPDX-License-Identifier: Apache-2.0
// penstock port over a sysfs that the test makes, with a kernel behind it that the test plays: what
// is shown, what is refused, and that a bind which fails halfway is taken back.

#include <ftw.h>
#include <sys/stat.h>
#include <utmpx.h>

#include "test/unit/cli_fixture.h"
#include "tools/cli/port.h"

static char root[] = "/tmp/penstock-port-XXXXXX";

// ---- making a system ----

static const char *below(const char *path)
{
	static char full[2][512];
	static int turn;

	turn = !turn;
	snprintf(full[turn], sizeof(full[turn]), "%s%s", root, path);
	return full[turn];
}

static void folders_of(const char *path)
{
	char part[512];

	snprintf(part, sizeof(part), "%s", below(path));
	for (char *at = part + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		mkdir(part, 0755);
		*at = '/';
	}
}

static void put_bytes(const char *path, const void *bytes, size_t len)
{
	FILE *file;

	folders_of(path);
	file = fopen(below(path), "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static void point(const char *path, const char *target)
{
	folders_of(path);
	unlink(below(path));
	assert_int_equal(symlink(target, below(path)), 0);
}

static const char *text_of(const char *format, const char *a, const char *b)
{
	static char text[4][256];
	static int turn;

	turn = (turn + 1) % 4;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text[turn], sizeof(text[turn]), format, a, b);
#pragma GCC diagnostic pop
	return text[turn];
}

static void set_driver(const char *address, const char *driver)
{
	char link[256];

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/driver", address);
	unlink(below(link));
	if (*driver)
		point(link, text_of("../../drivers/%s", driver, ""));
}

// group "": in none. interface "": the kernel's driver has made none.
static void make_device(const char *address, const char *class, const char *id, const char *driver,
	const char *group, const char *interface)
{
	const char *device = "/sys/bus/pci/devices/%s/%s";
	char path[256];

	put(text_of(device, address, "class"), class);
	put(text_of(device, address, "vendor"), text_of("0x%.4s\n", id, ""));
	put(text_of(device, address, "device"), text_of("0x%s\n", id + 5, ""));
	put(text_of(device, address, "numa_node"), "1\n");
	put(text_of(device, address, "local_cpulist"), "4-7\n");
	put(text_of(device, address, "driver_override"), "(null)\n");
	if (*driver) {
		set_driver(address, driver);
		put(text_of("/sys/bus/pci/drivers/%s/unbind", driver, ""), "");
	}
	if (*group) {
		point(text_of(device, address, "iommu_group"),
			text_of("../../kernel/iommu_groups/%s", group, ""));
		snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%s/devices/%s", group,
			address);
		put(path, "");
	}
	if (*interface) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%snet/%s/type", address,
			strncmp(id, "1af4", 4) == 0 ? "virtio3/" : "", interface);
		put(path, "1\n");
		put(text_of("/sys/class/net/%s/operstate", interface, ""), "up\n");
		put(text_of("/sys/class/net/%s/speed", interface, ""), "25000\n");
		put(text_of("/sys/class/net/%s/address", interface, ""), "02:00:00:00:00:01\n");
		point(text_of("/sys/class/net/%s/device", interface, ""),
			text_of("../../%s", address, ""));
	}
}

#define NIC "0x020000\n"
#define ROUTES \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

static void make_system(void)
{
	make_device("0000:01:00.0", NIC, "8086:10fb", "ixgbe", "1",
		"eth0"); // carries the default route
	make_device("0000:03:00.0", NIC, "8086:1572", "i40e", "12", "eth1"); // two of one group
	make_device("0000:03:00.1", NIC, "8086:1572", "i40e", "12", "eth2");
	make_device("0000:04:00.0", NIC, "15b3:1017", "mlx5_core", "14", "eth3");
	make_device("0000:05:00.0", NIC, "1af4:1041", "virtio-pci", "", "eth4"); // no IOMMU
	make_device("0000:06:00.0", NIC, "8086:1572", "vfio-pci", "16", "");
	make_device(
		"0000:07:00.0", NIC, "8086:1521", "igb", "17", "eth5"); // the way to 192.0.2.0/24
	make_device("0000:08:00.0", "0x010802\n", "144d:a808", "nvme", "18", "");
	make_device("0000:09:00.0", NIC, "8086:10d3", "e1000e", "19", "eth6"); // is free
	make_device("0000:00:1c.0", "0x060400\n", "8086:9d10", "pcieport", "19", "");
	make_device("0000:0a:00.0", NIC, "8086:10d3", "e1000e", "20",
		"eth8"); // below bond0 below bond0.10
	put("/sys/class/net/bond0/lower_eth8/x", "");
	put("/sys/class/net/bond0.10/lower_bond0/x", "");
	put("/sys/class/net/lo/operstate", "unknown\n");
	put("/sys/class/net/eth7/operstate", "down\n"); // of a virtual machine's own bus
	point("/sys/class/net/eth7/device", "../../../vmbus-1");
	put("/sys/bus/pci/drivers/vfio-pci/new_id", "");
	put("/sys/bus/pci/drivers_probe", "");
	put("/proc/net/route",
		ROUTES "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
		       "eth5\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	put("/proc/net/ipv6_route",
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		"fe800000000000000000000000000001 00000400 00000001 00000000 00000003 bond0.10\n"
		"20010db8000000000000000000000000 20 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 00000400 00000001 00000000 00000001 eth6\n"
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 eth4\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_system(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int begin(void **state)
{
	mkdir(root, 0755);
	make_system();
	return 0;
}

static int end(void **state)
{
	remove_system();
	return 0;
}

// ---- the kernel that the test plays ----

struct kernel {
	unsigned writes, fail_at; // the write with this number fails, 1 is the first
	bool vfio_refuses, native_refuses;
	char native[PORT_NAME_MAX]; // which driver takes a card that is probed
	char log[1024];
};

static int on_write(void *user, const char *path, const char *text)
{
	struct kernel *k = user;
	const char *file = strrchr(path, '/') + 1;
	char address[64], override[64] = "";
	FILE *in;

	assert_memory_equal(path, root, strlen(root));
	snprintf(k->log + strlen(k->log), sizeof(k->log) - strlen(k->log), "%s=%s;", file,
		*text == '\n' ? "" : text);
	if (++k->writes == k->fail_at)
		return -EACCES;
	assert_int_equal(access(path, F_OK), 0);
	if (strcmp(file, "driver_override") == 0) {
		put(path + strlen(root), text);
		return 0;
	}
	snprintf(address, sizeof(address), "%s", text);
	if (strcmp(file, "unbind") == 0) {
		set_driver(address, "");
		return 0;
	}
	assert_string_equal(file, "drivers_probe");
	in = fopen(below(text_of("/sys/bus/pci/devices/%s/driver_override", address, "")), "r");
	assert_non_null(in);
	if (fscanf(in, "%63s", override) == 1 && strcmp(override, "vfio-pci") == 0)
		set_driver(address, k->vfio_refuses ? "" : "vfio-pci");
	else
		set_driver(address, k->native_refuses ? "" : k->native);
	fclose(in);
	return 0;
}

static struct port_nic nics[PORT_NICS_MAX];
static struct port_system system_ = {.root = root, .write = on_write};
static struct port_change change;

static const struct port_nic *scan(struct kernel *k, const char *name)
{
	system_.user = k;
	change = (struct port_change){.system = &system_,
		.nics = nics,
		.count = port_scan(&system_, nics, PORT_NICS_MAX)};
	return port_find(nics, change.count, name);
}

static const char *driver_of(const char *address)
{
	static char name[PORT_NAME_MAX];

	port_link_name(&system_, name, sizeof(name), "/sys/bus/pci/devices/%s/driver", address);
	return name;
}

static int bind_one(struct kernel *k, const char *name)
{
	const struct port_nic *nic = scan(k, name);

	assert_non_null(nic);
	snprintf(k->native, sizeof(k->native), "%s", nic->driver);
	change.together = &name;
	change.together_count = 1;
	return port_bind(&change, nic);
}

static void expect_why(const char *part)
{
	if (!strstr(change.why, part))
		fail_msg("no '%s' in: %s", part, change.why);
}

// ---- looking ----

static void cards_are_found(void **state)
{
	struct kernel k = {0};
	const struct port_nic *nic = scan(&k, "eth1");
	const char *uses[2];

	assert_int_equal(change.count, 10);
	assert_string_equal(nic->address, "0000:03:00.0");
	assert_string_equal(nic->driver, "i40e");
	assert_string_equal(nic->id, "8086:1572");
	assert_string_equal(nic->mac, "02:00:00:00:00:01");
	assert_string_equal(nic->cpus, "4-7");
	assert_int_equal(nic->numa_node, 1);
	assert_int_equal(nic->iommu_group, 12);
	assert_int_equal(nic->link, PORT_LINK_UP);
	assert_int_equal(nic->speed_mbps, 25000);
	assert_ptr_equal(port_find(nics, change.count, "03:00.0"), nic);
	assert_ptr_equal(port_find(nics, change.count, "0000:03:00.0"), nic);
	assert_null(port_find(nics, change.count, "0000:08:00.0")); // a disk
	assert_null(port_find(nics, change.count, "lo"));
	assert_null(port_find(nics, change.count, ""));
	assert_int_equal(port_uses(nic, uses), 2);
	assert_string_equal(uses[0], "vfio-pci");
	assert_string_equal(uses[1], "af_xdp");
	assert_int_equal(port_uses(port_find(nics, change.count, "eth3"), uses), 2);
	assert_string_equal(uses[0], "mlx5");
	nic = port_find(nics, change.count, "eth4");
	assert_string_equal(nic->address, "0000:05:00.0");
	assert_int_equal(nic->iommu_group, -1);
	assert_int_equal(port_uses(nic, uses), 1);
	assert_string_equal(uses[0], "af_xdp");
	assert_int_equal(port_uses(port_find(nics, change.count, "eth0"), uses), 0);
	assert_int_equal(port_uses(port_find(nics, change.count, "06:00.0"), uses), 1);
	assert_string_equal(uses[0], "vfio-pci");
	nic = port_find(nics, change.count, "eth7");
	assert_string_equal(port_name(nic), "eth7");
	assert_int_equal(nic->link, PORT_LINK_DOWN);
	put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_int_equal(port_uses(scan(&k, "eth4"), uses), 2);
	assert_string_equal(uses[0], "virtio");
}

static void routes_say_what_is_carried(void **state)
{
	struct kernel k = {0};

	assert_true(scan(&k, "eth0")->default_route);
	assert_true(scan(&k, "eth8")->default_route); // IPv6, over a VLAN on a bond
	for (int i = 1; i < 8; i++)
		assert_false(scan(&k,
			text_of("eth%s",
				(const char *[]){"0", "1", "2", "3", "4", "5", "6", "7"}[i], ""))
				     ->default_route);
	// Down, and refused, are no default routes.
	put("/proc/net/route",
		ROUTES "eth0\t00000000\t0102000A\t0002\t0\t0\t0\t00000000\t0\t0\t0\n");
	assert_false(scan(&k, "eth0")->default_route);
	// What a card's second interface carries.
	put("/sys/bus/pci/devices/0000:04:00.0/net/eth9/type", "1\n");
	point("/sys/class/net/eth9/device", "../../0000:04:00.0");
	assert_false(scan(&k, "eth3")->default_route);
	put("/proc/net/route",
		ROUTES "eth9\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	assert_true(scan(&k, "eth3")->default_route);
}

static void log_in_from(const char *name, uint32_t first, uint32_t last, short type)
{
	struct utmpx u[2] = {{.ut_type = BOOT_TIME}, {.ut_type = type}};

	strcpy(u[1].ut_user, name);
	u[1].ut_addr_v6[0] = (int32_t)first;
	u[1].ut_addr_v6[3] = (int32_t)last;
	put_bytes("/run/utmp", u, sizeof(u));
}

static void logins_say_what_is_carried(void **state)
{
	struct kernel k = {0};

	assert_false(scan(&k, "eth5")->login);
	system_.ssh_connection = "192.0.2.9 50000 192.0.2.1 22";
	assert_true(scan(&k, "eth5")->login);
	assert_false(scan(&k, "eth0")->login);
	system_.ssh_connection = "198.51.100.7 50000 10.0.2.1 22"; // over the default route
	assert_true(scan(&k, "eth0")->login);
	assert_false(scan(&k, "eth5")->login);
	system_.ssh_connection = "2001:db8::7 50000 2001:db8::1 22";
	assert_true(scan(&k, "eth6")->login);
	assert_false(scan(&k, "eth8")->login); // the longer prefix counts
	system_.ssh_connection = "nonsense";
	assert_false(scan(&k, "eth0")->login);
	system_.ssh_connection = NULL;
	// Without the variable, as below sudo: who is logged in.
	log_in_from("me", 0x090200c0, 0, USER_PROCESS);
	assert_true(scan(&k, "eth5")->login);
	log_in_from("me", 0x090200c0, 0, DEAD_PROCESS);
	assert_false(scan(&k, "eth5")->login);
	log_in_from("me", 0xb80d0120, 0x01000000, USER_PROCESS);
	assert_true(scan(&k, "eth6")->login);
	log_in_from("console", 0, 0, USER_PROCESS);
	for (int i = 0; i < 3; i++)
		assert_false(scan(&k, (const char *[]){"eth0", "eth5", "eth6"}[i])->login);
}

// ---- binding ----

static void a_card_is_bound_and_given_back(void **state)
{
	struct kernel k = {0};

	assert_int_equal(bind_one(&k, "eth6"), 1);
	assert_string_equal(driver_of("0000:09:00.0"), "vfio-pci");
	assert_string_equal(
		k.log, "driver_override=vfio-pci;unbind=0000:09:00.0;drivers_probe=0000:09:00.0;");
	// Once more is nothing.
	assert_int_equal(bind_one(&k, "09:00.0"), 0);
	assert_int_equal(k.writes, 3);
	strcpy(k.native, "e1000e");
	k.log[0] = 0;
	assert_int_equal(port_unbind(&change, scan(&k, "09:00.0")), 1);
	assert_string_equal(driver_of("0000:09:00.0"), "e1000e");
	assert_string_equal(
		k.log, "driver_override=;unbind=0000:09:00.0;drivers_probe=0000:09:00.0;");
	assert_int_equal(port_unbind(&change, scan(&k, "09:00.0")), 0);
}

static void a_card_without_driver_is_bound(void **state)
{
	struct kernel k = {0};

	set_driver("0000:09:00.0", "");
	assert_int_equal(bind_one(&k, "09:00.0"), 1);
	assert_string_equal(k.log, "driver_override=vfio-pci;drivers_probe=0000:09:00.0;");
}

static void what_is_needed_is_never_taken(void **state)
{
	struct kernel k = {0};

	assert_int_equal(bind_one(&k, "eth0"), -EBUSY);
	expect_why("0000:01:00.0 (eth0) carries the default route, and would be gone: give the "
		   "gateway another card");
	assert_int_equal(bind_one(&k, "0000:0a:00.0"), -EBUSY);
	expect_why("carries the default route");
	system_.ssh_connection = "192.0.2.9 50000 192.0.2.1 22";
	assert_int_equal(bind_one(&k, "eth5"), -EBUSY);
	expect_why("carries a login from elsewhere");
	system_.ssh_connection = "198.51.100.7 50000 10.0.2.1 22";
	assert_int_equal(bind_one(&k, "eth0"), -EBUSY);
	expect_why("carries the default route and a login from elsewhere");
	system_.ssh_connection = NULL;
	assert_int_equal(k.writes, 0);
	// Without a login eth5 is free.
	assert_int_equal(bind_one(&k, "eth5"), 1);
}

static void what_cannot_be_bound_is_told(void **state)
{
	struct kernel k = {0};

	assert_int_equal(bind_one(&k, "eth3"), -ENOTSUP);
	expect_why("stays with its driver mlx5_core, beside which DPDK uses it: penstock-dataplane "
		   "--port p0=0000:04:00.0");
	assert_int_equal(bind_one(&k, "eth7"), -ENOTSUP);
	expect_why("--port p0=net_af_xdp0,iface=eth7");
	assert_int_equal(bind_one(&k, "eth4"), -ENODEV);
	expect_why("intel_iommu=on");
	put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	assert_int_equal(bind_one(&k, "eth4"), -ENODEV);
	assert_int_equal(k.writes, 0);
	put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_int_equal(bind_one(&k, "eth4"), 1);
	unlink(below("/sys/bus/pci/drivers/vfio-pci/new_id"));
	unlink(below("/sys/bus/pci/drivers/vfio-pci/unbind"));
	rmdir(below("/sys/bus/pci/drivers/vfio-pci"));
	assert_int_equal(bind_one(&k, "eth6"), -ENOENT);
	expect_why("sudo modprobe vfio-pci");
}

static void a_group_goes_together(void **state)
{
	static const char *const both[] = {"eth1", "0000:03:00.1"};
	struct kernel k = {0};

	assert_int_equal(bind_one(&k, "eth1"), -EBUSY);
	expect_why("0000:03:00.0 is in IOMMU group 12 with 0000:03:00.1 (i40e), and all of a group "
		   "go together");
	assert_int_equal(k.writes, 0);
	scan(&k, "eth1");
	change.together = both;
	change.together_count = 2;
	assert_int_equal(port_bind(&change, port_find(nics, change.count, both[0])), 1);
	assert_int_equal(port_bind(&change, port_find(nics, change.count, both[1])), 1);
	assert_string_equal(driver_of("0000:03:00.1"), "vfio-pci");
}

static void a_bind_that_fails_is_taken_back(void **state)
{
	// The first write changes nothing if it fails; the later ones leave something to take back.
	for (unsigned at = 1; at <= 3; at++) {
		struct kernel k = {.fail_at = at};

		assert_int_equal(bind_one(&k, "eth6"), -EACCES);
		expect_why("cannot write to /sys/bus/pci/");
		expect_why("Permission denied; run it as root");
		assert_string_equal(driver_of("0000:09:00.0"), "e1000e");
		assert_null(strstr(change.why, "did not take it back"));
		if (at > 1)
			assert_non_null(strstr(k.log, "driver_override=;"));
	}
}

static void a_card_that_vfio_refuses_is_taken_back(void **state)
{
	struct kernel k = {.vfio_refuses = true};

	assert_int_equal(bind_one(&k, "eth6"), -EIO);
	expect_why("vfio-pci did not take 0000:09:00.0; `dmesg | tail` says why");
	assert_string_equal(driver_of("0000:09:00.0"), "e1000e");
	k.native_refuses = true;
	assert_int_equal(bind_one(&k, "eth6"), -EIO);
	expect_why("and e1000e did not take it back: echo 0000:09:00.0 | sudo tee "
		   "/sys/bus/pci/drivers/e1000e/bind");
}

static void a_card_in_use_is_not_given_back(void **state)
{
	struct kernel k = {.native = "i40e"};

	put("/proc/4711/comm", "penstock-datapl\n");
	point("/proc/4711/fd/7", "/dev/vfio/16");
	assert_int_equal(port_unbind(&change, scan(&k, "06:00.0")), -EBUSY);
	expect_why("process 4711 (penstock-datapl) uses 0000:06:00.0: stop it first, systemctl "
		   "stop penstock-dataplane");
	assert_int_equal(k.writes, 0);
	point("/proc/4711/fd/7", "/dev/vfio/160");
	k.native_refuses = true;
	assert_int_equal(port_unbind(&change, scan(&k, "06:00.0")), -ENODEV);
	expect_why("no driver of the kernel took 0000:06:00.0: load the one for 8086:1572");
	set_driver("0000:06:00.0", "vfio-pci");
	k.native_refuses = false;
	strcpy(k.native, "vfio-pci");
	assert_int_equal(port_unbind(&change, scan(&k, "06:00.0")), -EIO);
	expect_why("vfio-pci took 0000:06:00.0 again");
	set_driver("0000:06:00.0", "vfio-pci");
	k.fail_at = k.writes + 2;
	assert_int_equal(port_unbind(&change, scan(&k, "06:00.0")), -EACCES);
}

// ---- the verb ----

static enum cli_exit run_here(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s --root %s", line, root);
	return run(whole);
}

static void the_verb_shows_them(void **state)
{
	unsetenv("SSH_CONNECTION");
	assert_int_equal(run_here("port list"), CLI_DONE);
	expect_text(out_text, "PCI           INTERFACE  DRIVER      NUMA  LINK");
	expect_text(out_text,
		"0000:01:00.0  eth0       ixgbe       1     up, 25 Gb/s  1      default route  -");
	expect_text(out_text, "0000:06:00.0  -          vfio-pci    1     -            16     -    "
			      "          vfio-pci");
	assert_int_equal(run_here("port list -o wide"), CLI_DONE);
	expect_text(out_text, "02:00:00:00:00:01");
	assert_int_equal(run_here("port list -o name"), CLI_DONE);
	expect_text(out_text, "0000:0a:00.0\neth7\n");
	setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22", 1);
	assert_int_equal(run_here("port list -o json"), CLI_DONE);
	unsetenv("SSH_CONNECTION");
	expect_text(out_text, "\"login\": true");
	expect_text(out_text, "\"iommu_group\": 12");
	expect_text(out_text, "\"mlx5\"");
}

static void the_verb_binds(void **state)
{
	assert_int_equal(run_here("port bind eth6 --dry-run"), CLI_DONE);
	expect_text(out_text,
		"would write 'vfio-pci' to /sys/bus/pci/devices/0000:09:00.0/driver_override\n");
	expect_text(out_text, "would write '0000:09:00.0' to /sys/bus/pci/drivers_probe\n");
	assert_string_equal(driver_of("0000:09:00.0"), "e1000e");
	assert_int_equal(run_here("port unbind 06:00.0 --dry-run"), CLI_DONE);
	expect_text(
		out_text, "would write '' to /sys/bus/pci/devices/0000:06:00.0/driver_override\n");
	assert_int_equal(run_here("port bind eth6 --dry-run -o json"), CLI_DONE);
	expect_text(out_text, "\"changed\": true");
	assert_int_equal(run_here("port bind 06:00.0"), CLI_DONE);
	assert_string_equal(out_text, "0000:06:00.0 was bound to vfio-pci already\n");
	assert_int_equal(run_here("port unbind eth6 -o name"), CLI_DONE);
	assert_string_equal(out_text, "0000:09:00.0\n");
	assert_int_equal(run_here("port bind eth0"), CLI_REFUSED);
	expect_text(err_text, "penstock: 0000:01:00.0 (eth0) carries the default route");
	assert_int_equal(run_here("port bind eth0 --dry-run"), CLI_REFUSED);
	// The real writer, without a kernel behind the files: vfio-pci takes nothing.
	put("/sys/bus/pci/drivers/e1000e/unbind", "");
	point("/sys/bus/pci/devices/0000:09:00.0/driver", "../../drivers/e1000e");
	assert_int_equal(run_here("port bind eth6"), CLI_REFUSED);
	expect_text(err_text, "vfio-pci did not take 0000:09:00.0");
}

static void wrong_usage_of_the_verb(void **state)
{
	assert_int_equal(run_here("port"), CLI_USAGE);
	assert_int_equal(run_here("port frobnicate"), CLI_USAGE);
	assert_int_equal(run_here("port list eth0"), CLI_USAGE);
	assert_int_equal(run_here("port bind"), CLI_USAGE);
	assert_int_equal(run_here("port bind eth6 nosuch"), CLI_REFUSED);
	expect_text(err_text, "there is no network card 'nosuch'; `penstock port list`");
	remove_system();
	mkdir(root, 0755);
	assert_int_equal(run_here("port list"), CLI_DONE);
	expect_text(err_text, "There are no network cards");
	assert_int_equal(run_here("port list -o json"), CLI_DONE);
	assert_string_equal(out_text, "[]\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cards_are_found),
		TEST(routes_say_what_is_carried),
		TEST(logins_say_what_is_carried),
		TEST(a_card_is_bound_and_given_back),
		TEST(a_card_without_driver_is_bound),
		TEST(what_is_needed_is_never_taken),
		TEST(what_cannot_be_bound_is_told),
		TEST(a_group_goes_together),
		TEST(a_bind_that_fails_is_taken_back),
		TEST(a_card_that_vfio_refuses_is_taken_back),
		TEST(a_card_in_use_is_not_given_back),
		TEST(the_verb_shows_them),
		TEST(the_verb_binds),
		TEST(wrong_usage_of_the_verb),
	};

	if (!mkdtemp(root))
		return 1;
	return cmocka_run_group_tests(tests, NULL, cleanup);
}
