// SPDX-License-Identifier: Apache-2.0
// penstock: the command line. A client of the control socket, and of a gateway for `call`.
#include <locale.h>

#include "tools/cli/cli.h"

int main(int argc, char **argv)
{
	struct cli cli = {.out = stdout, .err = stderr};

	setlocale(LC_CTYPE, "");
	return (int)cli_main(&cli, argc, argv);
}
