# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of a control plane alone share, over its socket. Makes $dir, which goes at the end with $pid, $children
# and what is $mounted.
# shellcheck disable=SC2034,SC2154

dir=$(mktemp -d "${TMPDIR:-/tmp}/penstock-control.XXXXXX")
sock=$dir/control.sock
pid=
mounted=
children=()
passed=0
failed=0

cleanup() {
	for child in "${children[@]:-}" $pid; do
		kill -KILL "$child" 2>/dev/null
	done
	wait 2>/dev/null
	[ -z "$mounted" ] || umount "$mounted"
	if [ "$failed" != 0 ] && [ -n "${SMOKE_LOGS:-}" ]; then
		cp "$dir"/*.log "$SMOKE_LOGS"/
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

expect() { # expect SENTENCE COMMAND...
	local sentence=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "  ok    $sentence"
	else
		failed=$((failed + 1))
		echo "  WRONG $sentence"
		[ ! -s "$dir/body" ] || head -c 600 "$dir/body"
	fi
}

# call METHOD TARGET [CURL ARGUMENTS]: status in $status, body in $dir/body, headers in $dir/headers.
call() {
	local method=$1 target=$2
	shift 2
	status=$(curl -sS -m 20 -g --unix-socket "$sock" -X "$method" -o "$dir/body" -D "$dir/headers" \
		-w '%{http_code}' "$@" "http://x$target" 2>"$dir/curl.err")
}

is() { [ "$status" = "$1" ]; }
says() { grep -qF -- "$1" "$dir/body"; }
