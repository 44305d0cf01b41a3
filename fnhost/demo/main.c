// SPDX-License-Identifier: Apache-2.0
// The main of each demo function: DEMO names the one.
#include "fnhost/demo/demo.h"

int main(int argc, char **argv)
{
	return pn_main(argc, argv, &DEMO);
}
