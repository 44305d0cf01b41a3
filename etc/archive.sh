#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the library that users link: one object in which only the names of the API are to be seen, so that no
# function's own names meet those of lib/. archive.sh OUTPUT LIBRARY OTHERS...: all of LIBRARY and what it needs of the others.
set -euo pipefail
output=$1 library=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ld -r -o "$dir/penstock.o" --whole-archive "$library" --no-whole-archive --start-group "$@" --end-group
objcopy --wildcard --keep-global-symbol='pn_*' "$dir/penstock.o"
rm -f "$output"
ar rcsD "$output" "$dir/penstock.o"
