// SPDX-License-Identifier: Apache-2.0
// port: the network cards of this machine; giving them to a gateway, and back to the kernel. Needs
// no daemon.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/output.h"
#include "tools/cli/port.h"
#include "tools/cli/table.h"

#define WORDS_PORT_MAX 17

struct values {
	const char *root;
	bool dry_run;
};

static const struct option options[] = {
	{0, "dry-run", NULL, "say what would be written where, change nothing", OPTION_FLAG,
		offsetof(struct values, dry_run)},
	{0, "root", "DIRECTORY", "look at the system that is mounted there", OPTION_TEXT,
		offsetof(struct values, root)},
};

static int write_file(void *user, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

// ---- list ----

static const char *carries(const struct port_nic *nic)
{
	return nic->default_route && nic->login ? "default route, login"
	       : nic->default_route             ? "default route"
	       : nic->login                     ? "login"
						: "";
}

static const char *link_text(const struct port_nic *nic, char text[32])
{
	if (nic->link == PORT_LINK_UP && nic->speed_mbps >= 1000)
		snprintf(text, 32, "up, %g Gb/s", (double)nic->speed_mbps / 1000);
	else if (nic->link == PORT_LINK_UP && nic->speed_mbps > 0)
		snprintf(text, 32, "up, %d Mb/s", (int)nic->speed_mbps);
	else
		snprintf(text, 32, "%s",
			nic->link == PORT_LINK_UP     ? "up"
			: nic->link == PORT_LINK_DOWN ? "down"
						      : "");
	return text;
}

static void add_row(struct cli *cli, struct table *t, const struct port_nic *nic)
{
	const char *uses[2];
	size_t count = port_uses(nic, uses);
	char text[32];

	table_cell(t, nic->address);
	table_cell(t, nic->interface);
	table_cell(t, nic->driver);
	if (nic->numa_node >= 0)
		table_cellf(t, "%d", nic->numa_node);
	else
		table_cell(t, "");
	table_cell(t, link_text(nic, text));
	if (nic->iommu_group >= 0)
		table_cellf(t, "%d", nic->iommu_group);
	else
		table_cell(t, "");
	table_cell(t, carries(nic));
	table_cellf(t, "%s%s%s", count ? uses[0] : "-", count > 1 ? ", " : "",
		count > 1 ? uses[1] : "");
	if (cli->format == FORMAT_WIDE) {
		table_cell(t, nic->id);
		table_cell(t, nic->mac);
		table_cell(t, nic->cpus);
	}
}

static enum cli_exit print_table(struct cli *cli, const struct port_nic *nics, size_t count)
{
	static const char *const titles[] = {"PCI", "INTERFACE", "DRIVER", "NUMA", "LINK", "IOMMU",
		"CARRIES", "USE WITH", "ID", "MAC", "CORES"};
	size_t columns = cli->format == FORMAT_WIDE ? 11 : 8;
	struct table t = {0};
	int r;

	for (size_t i = 0; i < columns; i++)
		table_column(&t, titles[i], false);
	for (size_t i = 0; i < count; i++)
		add_row(cli, &t, &nics[i]);
	r = table_print(&t, cli->out);
	table_fini(&t);
	return r ? CLI_REFUSED : CLI_DONE;
}

static json_t *nic_json(const struct port_nic *nic)
{
	static const char *const links[] = {
		[PORT_LINK_UNKNOWN] = "unknown", [PORT_LINK_DOWN] = "down", [PORT_LINK_UP] = "up"};
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "name", port_name(nic),
		"driver", nic->driver, "id", nic->id, "cores", nic->cpus, "link", links[nic->link],
		"default_route", (int)nic->default_route, "login", (int)nic->login);
	json_t *list = json_array();
	const char *uses[2];
	size_t count = port_uses(nic, uses);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(uses[i]));
	json_object_set_new(json, "uses", list);
	if (nic->address[0])
		json_object_set_new(json, "pci", json_string(nic->address));
	if (nic->interface[0])
		json_object_set_new(json, "interface", json_string(nic->interface));
	if (nic->mac[0])
		json_object_set_new(json, "mac", json_string(nic->mac));
	if (nic->numa_node >= 0)
		json_object_set_new(json, "numa_node", json_integer(nic->numa_node));
	if (nic->iommu_group >= 0)
		json_object_set_new(json, "iommu_group", json_integer(nic->iommu_group));
	if (nic->speed_mbps > 0)
		json_object_set_new(json, "speed_mbps", json_integer(nic->speed_mbps));
	return json;
}

static enum cli_exit list(struct cli *cli, const struct port_nic *nics, size_t count)
{
	json_t *array;

	if (cli->format == FORMAT_NAME) {
		for (size_t i = 0; i < count; i++)
			fprintf(cli->out, "%s\n", port_name(&nics[i]));
		return CLI_DONE;
	}
	if (cli->format == FORMAT_TABLE || cli->format == FORMAT_WIDE) {
		if (count)
			return print_table(cli, nics, count);
		fputs("There are no network cards: net_tap and net_memif need none.\n", cli->err);
		return CLI_DONE;
	}
	array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, nic_json(&nics[i]));
	output_value(cli, array);
	json_decref(array);
	return CLI_DONE;
}

// ---- bind, unbind ----

static void on_said(void *user, const char *sentence)
{
	struct cli *cli = user;

	fprintf(cli->out, "would %s\n", sentence);
}

static void tell(
	struct cli *cli, const struct port_nic *nic, bool bind, bool changed, json_t *array)
{
	const char *name = port_name(nic);

	if (array)
		json_array_append_new(array, json_pack("{s:s, s:b, s:b}", "name", name, "bound",
						     (int)bind, "changed", (int)changed));
	else if (cli->format == FORMAT_NAME)
		fprintf(cli->out, "%s\n", name);
	else if (!changed)
		fprintf(cli->out,
			bind ? "%s was bound to vfio-pci already\n"
			     : "%s is not bound to vfio-pci\n",
			name);
	else if (bind)
		fprintf(cli->out,
			"%s is bound to vfio-pci until the next boot: penstock-dataplane --port "
			"p0=%s\n",
			name, name);
	else
		fprintf(cli->out, "%s is the kernel's again\n", name);
}

static enum cli_exit change_all(struct cli *cli, struct port_change *c, bool bind)
{
	bool people = cli->format == FORMAT_TABLE || cli->format == FORMAT_WIDE;
	json_t *array = people || cli->format == FORMAT_NAME ? NULL : json_array();
	enum cli_exit exit = CLI_DONE;

	// What is said would be no JSON and no name.
	c->said = c->dry_run && people ? on_said : NULL;
	c->user = cli;
	for (size_t i = 0; i < c->together_count && exit == CLI_DONE; i++) {
		const struct port_nic *nic = port_find(c->nics, c->count, c->together[i]);
		int changed = bind ? port_bind(c, nic) : port_unbind(c, nic);

		if (changed < 0) {
			cli_complain(cli, "%s", c->why);
			exit = CLI_REFUSED;
		} else if (!c->said || !changed) {
			tell(cli, nic, bind, changed, array);
		}
	}
	if (array && exit == CLI_DONE)
		output_value(cli, array);
	json_decref(array);
	return exit;
}

static enum cli_exit change(
	struct cli *cli, const struct values *v, struct port_change *c, int argc, char **argv)
{
	const char *names[WORDS_PORT_MAX];

	if (argc < 2)
		return cli_usage(cli,
			"usage: penstock port %s NIC...; `penstock port list` shows them", argv[0]);
	for (int i = 1; i < argc; i++) {
		names[i - 1] = argv[i];
		if (port_find(c->nics, c->count, argv[i]))
			continue;
		cli_complain(cli,
			"there is no network card '%s'; `penstock port list` shows those there are",
			argv[i]);
		return CLI_REFUSED;
	}
	c->together = names;
	c->together_count = (size_t)argc - 1;
	c->dry_run = v->dry_run;
	return change_all(cli, c, strcmp(argv[0], "bind") == 0);
}

static enum cli_exit run(struct cli *cli, const void *values, int argc, char **argv)
{
	const struct values *v = values;
	struct port_system system = {.root = v->root ? v->root : "",
		.ssh_connection = getenv("SSH_CONNECTION"),
		.write = write_file};
	struct port_nic *nics = calloc(PORT_NICS_MAX, sizeof(*nics));
	struct port_change c = {.system = &system, .nics = nics};
	enum cli_exit exit;

	if (!nics)
		return CLI_REFUSED;
	c.count = port_scan(&system, nics, PORT_NICS_MAX);
	if (strcmp(argv[0], "list") == 0 && argc == 1)
		exit = list(cli, nics, c.count);
	else if (strcmp(argv[0], "bind") == 0 || strcmp(argv[0], "unbind") == 0)
		exit = change(cli, v, &c, argc, argv);
	else
		exit = cli_usage(cli, "usage: penstock port list, penstock port bind NIC..., "
				      "penstock port unbind NIC...");
	free(nics);
	return exit;
}

const struct verb verb_port = {
	.name = "port",
	.words = "list|bind|unbind [NIC...]",
	.summary = "Show network cards, give them to the gateway or back to the kernel",
	.about = "NIC is a PCI address or an interface. What carries the default route or a login "
		 "is never taken.\n"
		 "A card stays bound until the next boot; penstock-port@.service binds it at each.",
	.examples = "penstock port list\nsudo penstock port bind 0000:03:00.0 --dry-run\n"
		    "sudo penstock port bind 0000:03:00.0\nsudo penstock port unbind 0000:03:00.0",
	.options = options,
	.option_count = sizeof(options) / sizeof(options[0]),
	.values_bytes = sizeof(struct values),
	.words_min = 1,
	.words_max = WORDS_PORT_MAX,
	.complete = WORDS_PORT,
	.run = run,
};
