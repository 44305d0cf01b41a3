// SPDX-License-Identifier: Apache-2.0
// Rules for strings in resources: names, addresses, routes, sizes. Pure.
#include "controlplane/schema.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/addr.h"

static bool all_in(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == 0;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool name_valid(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= 63 && text[0] != '-' && all_in(text, LOWER DIGITS "-");
}

static bool label_key_valid(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= 63 && all_in(text, LOWER UPPER DIGITS "._/-");
}

static bool label_value_valid(const char *text)
{
	return strlen(text) <= 63 && all_in(text, LOWER UPPER DIGITS "._/:@+-");
}

static bool env_name_valid(const char *text)
{
	return *text && !isdigit((unsigned char)*text) && all_in(text, LOWER UPPER DIGITS "_");
}

// NAME@sha256:HEX. A tag may move; a digest names the same bytes on every host.
static bool image_valid(const char *text)
{
	const char *at = strstr(text, "@sha256:");

	return at && at > text && strlen(at + 8) == 64 && all_in(at + 8, DIGITS "abcdef");
}

static bool address_valid(const char *text)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (sockaddr_parse(text, &addr, &len) != 0)
		return false;
	if (addr.ss_family == AF_INET)
		return ((struct sockaddr_in *)&addr)->sin_port != 0;
	if (addr.ss_family == AF_INET6)
		return ((struct sockaddr_in6 *)&addr)->sin6_port != 0;
	return true;
}

static bool prefix_valid(const char *text)
{
	struct ip_addr addr;
	unsigned len;

	return ip_prefix_parse(text, &addr, &len) == 0;
}

static bool via_valid(const char *text)
{
	struct ip_addr addr;

	return ip_parse(text, &addr) == 0;
}

static bool destination_valid(const char *text)
{
	return strcmp(text, "default") == 0 || prefix_valid(text);
}

// A routing tag is at most 255 bytes (rsocket extensions, Routing); blanks and control characters
// in one are always a mistake of a manifest. A slash parts the namespace from the name, as in a
// call.
static bool route_valid(const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	char space[64];

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	if (!*text || strlen(text) > 255)
		return false;
	if (!slash)
		return strcmp(text, ".") != 0;
	if (len >= sizeof(space) || !slash[1] || strcmp(slash, "/.") == 0)
		return false;
	memcpy(space, text, len);
	space[len] = 0;
	return name_valid(space);
}

// Names of attributes stand in sentences and in lists with commas.
static bool attribute_valid(const char *text)
{
	return *text && strlen(text) <= 128 && all_in(text, LOWER UPPER DIGITS "._/-");
}

// NAME or NAMESPACE/NAME.
static bool reference_valid(const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	char space[64];

	if (!slash)
		return name_valid(text);
	if (len >= sizeof(space))
		return false;
	memcpy(space, text, len);
	space[len] = 0;
	return name_valid(space) && name_valid(slash + 1);
}

static bool meta_valid(const char *text)
{
	size_t len = strlen(text);

	return len >= 1 && len <= 63 && !isdigit((unsigned char)*text) &&
	       all_in(text, LOWER UPPER DIGITS "_-");
}

// What each field may be is for the scheduler's reader to say.
static bool cron_valid(const char *text)
{
	return all_in(text, LOWER UPPER DIGITS "*/,- ");
}

static bool text_valid(const char *text)
{
	return true;
}

const struct format format_name = {"name", name_valid,
	"1 to 63 small letters, digits and hyphens, not beginning with a hyphen",
	"^[a-z0-9][a-z0-9-]{0,62}$"};
const struct format format_image = {"image", image_valid,
	"an image with its digest, NAME@sha256:DIGEST (64 hex digits): a tag could change later",
	"^.+@sha256:[0-9a-f]{64}$"};
const struct format format_label_key = {
	"label", label_key_valid, "1 to 63 letters, digits and . _ / -", "^[A-Za-z0-9._/-]{1,63}$"};
const struct format format_label_value = {"label value", label_value_valid,
	"at most 63 letters, digits and . _ / : @ + -", "^[A-Za-z0-9._/:@+-]{0,63}$"};
const struct format format_env_name = {"environment variable", env_name_valid,
	"letters, digits and underscores, not beginning with a digit", "^[A-Za-z_][A-Za-z0-9_]*$"};
const struct format format_address = {"address", address_valid,
	"an IP address with a port, such as 10.77.0.1:7000 or [fd77::1]:7000, or unix:/PATH; host "
	"names are not looked up",
	NULL};
const struct format format_prefix = {"prefix", prefix_valid,
	"an IP address with its prefix length, such as 10.77.0.2/24 or fd77::2/64", NULL};
const struct format format_via = {
	"IP address", via_valid, "an IP address, such as 10.77.0.1", NULL};
const struct format format_destination = {
	"destination", destination_valid, "\"default\" or an IP prefix, such as 10.0.0.0/8", NULL};
const struct format format_route = {"route", route_valid,
	"NAME or NAMESPACE/NAME, 1 to 255 characters without blanks, such as orders, or person. "
	"for "
	"every route that begins so",
	"^([a-z0-9][a-z0-9-]{0,62}/)?[^\\s]+$"};
const struct format format_attribute = {"attribute", attribute_valid,
	"1 to 128 letters, digits and . _ / -, such as rack or unique.node.name",
	"^[A-Za-z0-9._/-]{1,128}$"};
const struct format format_reference = {"reference", reference_valid,
	"NAME or NAMESPACE/NAME of a function or job", "^([a-z0-9][a-z0-9-]{0,62}/)?[a-z0-9][a-z0-9-]{0,62}$"};
const struct format format_cron = {"schedule", cron_valid,
	"minute, hour, day, month and weekday, such as \"*/5 * * * *\"", NULL};
const struct format format_meta = {"name", meta_valid,
	"1 to 63 letters, digits, hyphens and underscores, not beginning with a digit",
	"^[A-Za-z_-][A-Za-z0-9_-]{0,62}$"};
const struct format format_text = {"text", text_valid, "text", NULL};

int size_parse(const char *text, int64_t *bytes)
{
	static const struct {
		const char *suffix;
		int shift;
	} units[] = {{"", 0}, {"Ki", 10}, {"Mi", 20}, {"Gi", 30}, {"Ti", 40}};
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].suffix) != 0)
			continue;
		if (n > INT64_MAX >> units[i].shift)
			return -EINVAL;
		*bytes = (int64_t)n << units[i].shift;
		return 0;
	}
	return -EINVAL;
}
