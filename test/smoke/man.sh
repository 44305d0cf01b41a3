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

# file_same PAGE PROGRAM: the page of a start-up file has the same names, but those of flags alone.
file_same() {
	local names
	names=$(help_options "$2" | sed 's,^--,,' | grep -vxE 'config|help|version')
	if ! diff <(echo "$names") <(grep -A1 '^\.TP' "$man/$1" | sed -n 's,\\,,g; s,^\.BI \([a-z-]*\): .*,\1,p' | sort -u); then
		echo "WRONG $1 differs from ${2##*/} --help (< help, > page)"
		failed=$((failed + 1))
	else
		echo "  ok    $1: $(wc -l <<<"$names") names"
	fi
}

same penstock-controlplane.8 p "$build/controlplane/penstock-controlplane"
same penstock-dataplane.8 p "$build/dataplane/penstock-dataplane"
same penstock-fnhost.8 p "$build/fnhost/penstock-fnhost"
same penstock-gen.1 '/^\.SH OPTIONS OF SERVE/,/^\.SH OPTIONS OF LOAD/p' "$build/tools/gen/penstock-gen" serve
same penstock-gen.1 '/^\.SH OPTIONS OF LOAD/,/^\.SH EXIT/p' "$build/tools/gen/penstock-gen" load
for daemon in controlplane dataplane fnhost; do
	file_same "penstock-$daemon.yaml.5" "$build/$daemon/penstock-$daemon"
done

# The manual of the SDK shows each declaration of the header as it stands there.
sdk=$man/../../fnhost/sdk/penstock.h
header=$(sed 's,//.*,,' "$sdk" | tr '\n\t' '  ' | grep -oE '[a-z0-9_]+( \*| )*\*?pn_[a-z_]+\([^;]*\)' | sed 's/ __attribute__.*//' |
	grep -oE 'pn_[a-z_]+\(.*' | tr -s ' ' | sort)
page=$(sed -n '/^\.SH SYNOPSIS/,/^\.SH DESC/p' "$man/penstock-sdk.3" | sed -E 's/^\.BI? //; s/"//g' | tr '\n' ' ' |
	grep -oE 'pn_[a-z_]+ ?\([^;]*;' | tr -d ';' | tr -s ' ' | sort)
bare() { tr -d ' ' | sort; }
if diff <(bare <<<"$header") <(bare <<<"$page"); then
	echo "  ok    penstock-sdk.3: $(wc -l <<<"$header") declarations"
else
	echo "WRONG penstock-sdk.3 differs from penstock.h (< header, > page)"
	failed=$((failed + 1))
fi
[ $failed = 0 ]
