// SPDX-License-Identifier: Apache-2.0
// Checks of Penstock's own: its group, its directory, the control socket.
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/cli/doctor.h"

#define GROUP "penstock"
#define RUN_DIRECTORY "/run/penstock"
#define GROUPS_MAX 1024

// The group's number from <root>/etc/group, so that tests can have their own. -1: there is none.
static long group_number(const struct doctor *d)
{
	char path[4096];
	struct group *g;
	long gid = -1;
	FILE *in;

	snprintf(path, sizeof(path), "%s/etc/group", d->root);
	in = fopen(path, "re");
	while (in && (g = fgetgrent(in))) {
		if (strcmp(g->gr_name, GROUP) == 0)
			gid = (long)g->gr_gid;
	}
	if (in)
		fclose(in);
	return gid;
}

static bool is_member(gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	int count = getgroups(GROUPS_MAX, groups);

	for (int i = 0; i < count; i++) {
		if (groups[i] == gid)
			return true;
	}
	return getegid() == gid;
}

void doctor_group(const struct doctor *d, struct doctor_finding *f)
{
	long gid = group_number(d);
	char mend[DOCTOR_MEND_MAX];

	if (gid < 0) {
		snprintf(mend, sizeof(mend), "sudo groupadd --system " GROUP "%s%s%s",
			d->uid ? " && sudo usermod -aG " GROUP " " : "", d->uid ? d->user : "",
			d->uid ? " && newgrp " GROUP : "");
		doctor_find(f, DOCTOR_WARN, mend,
			"there is no group " GROUP ": only root reaches the control socket");
	} else if (d->uid == 0 || is_member((gid_t)gid)) {
		doctor_find(f, DOCTOR_OK, NULL, d->uid ? "you are in it" : "it is there");
	} else {
		snprintf(mend, sizeof(mend), "sudo usermod -aG " GROUP " %s && newgrp " GROUP,
			d->user);
		doctor_find(f, DOCTOR_WARN, mend, "you are not in the group " GROUP);
	}
}

void doctor_run_directory(const struct doctor *d, struct doctor_finding *f)
{
	if (doctor_exists(d, RUN_DIRECTORY))
		doctor_find(f, DOCTOR_OK, NULL, RUN_DIRECTORY);
	else
		doctor_find(f, DOCTOR_WARN, "sudo install -d -m 0755 " RUN_DIRECTORY,
			RUN_DIRECTORY
			" is not there yet; the control plane makes it when it starts as root");
}

// 0 if someone accepts, else errno.
static int try_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, error = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		error = errno;
	close(fd);
	return error;
}

void doctor_socket(const struct doctor *d, struct doctor_finding *f)
{
	int error = try_connect(d->socket);
	char mend[DOCTOR_MEND_MAX];

	switch (error) {
	case 0:
		doctor_find(f, DOCTOR_OK, NULL, "%s answers", d->socket);
		break;
	case EACCES:
	case EPERM:
		snprintf(mend, sizeof(mend), "sudo usermod -aG " GROUP " %s && newgrp " GROUP,
			d->user);
		doctor_find(f, DOCTOR_WARN, mend, "%s: no permission", d->socket);
		break;
	default:
		doctor_find(f, DOCTOR_WARN, "sudo penstock-controlplane",
			"%s: %s; is the control plane running?", d->socket, strerror(error));
		break;
	}
}
