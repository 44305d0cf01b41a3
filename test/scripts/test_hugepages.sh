#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Several scripts take huge pages and give them back at the same time: each has what it took, and all is given back.
# Files stand for the kernel's, so that it needs no rights.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tools/lib/base.sh"
. "$root/tools/lib/setup.sh"

scripts=8 rounds=50
hugepages_dir=$(mktemp -d)
undo_arm
undo_push rm -rf "$hugepages_dir"
echo 5 >"$hugepages_dir/nr_hugepages"   # somebody else's
echo 0 >"$hugepages_dir/free_hugepages" # who was not given any finds none

# A file, other than the kernel's, is empty for a moment while it is written.
pages() { flock "$hugepages_dir/nr_hugepages" cat "$hugepages_dir/nr_hugepages"; }

# In a process of its own: an end that undoes.
take_and_give() (
	undo_stack=()
	undo_arm
	hugepages_take 3 || die "got no pages"
	[ "$(pages)" -ge 8 ] || die "the pages that were taken are gone"
)

several() {
	local i
	for ((i = 0; i < rounds; i++)); do take_and_give; done
}

pids=()
for ((i = 0; i < scripts; i++)); do
	several &
	pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
left=$(pages)
[ "$left" = 5 ] || die "$left pages are left of 5"
