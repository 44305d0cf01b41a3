#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# The man pages of the programs name the options that --help names, and no others. (That of penstock is held
# against its tables by a unit test.) Usage: man.sh BUILD_DIR. Needs no root.
set -u
build=${1:?the build directory}
man=$(cd "$(dirname "$0")/../.." && pwd)/docs/man
failed=0

# Options at the start of a line of a help text, or behind the short form.
help_options() { "$@" --help 2>&1 | grep -oE '^ +--[a-z][a-z-]*' | tr -d ' ' | sort -u; }

# Options that have a paragraph of their own in a part of a page.
man_options() { sed -n "$2" "$1" | grep -A1 '^\.TP' | grep -oE '\\-\\-[a-z\\-]+' | sed 's,\\,,g' | sort -u; }

# same PAGE PART PROGRAM ARGUMENTS...: PART is a sed script that prints the part.
same() {
	local page=$man/$1 part=$2 help
	shift 2
	help=$(help_options "$@")
	if [ -z "$help" ]; then
		echo "WRONG ${*##*/} --help names no option"
		failed=$((failed + 1))
	elif ! diff <(echo "$help") <(man_options "$page" "$part"); then
		echo "WRONG ${page##*/} differs from ${*##*/} --help (< help, > page)"
		failed=$((failed + 1))
	else
		echo "  ok    ${page##*/}: $(wc -l <<<"$help") options of ${*##*/}"
	fi
}

same penstock-controlplane.8 p "$build/controlplane/penstock-controlplane"
same penstock-dataplane.8 p "$build/dataplane/penstock-dataplane"
same penstock-fnhost.8 p "$build/fnhost/penstock-fnhost"
same penstock-gen.1 '/^\.SH OPTIONS OF SERVE/,/^\.SH OPTIONS OF LOAD/p' "$build/tools/gen/penstock-gen" serve
same penstock-gen.1 '/^\.SH OPTIONS OF LOAD/,/^\.SH EXIT/p' "$build/tools/gen/penstock-gen" load
[ $failed = 0 ]
