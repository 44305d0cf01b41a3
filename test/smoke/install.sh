#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# smoke: once
# meson install into an empty folder: programs, units and start-up files are good, a function is written and tested against
# nothing but what was installed, and uninstall leaves nothing but what the user changed. Needs no root.
. "${0%/*}/lib.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/penstock-install.XXXXXX")
undo_arm
undo_push rm -rf "$dir"
prefix=$(smoke_prefix)
dest=$dir/root
usr=$dest$prefix
etc=$dest/etc/penstock
[ -n "$prefix" ] || die "cannot tell the prefix of $stack_build"
case $prefix in /usr | /usr/local) ;; *) etc=$usr/etc/penstock ;; esac

install_all() { DESTDIR=$dest meson install -C "$stack_build" --no-rebuild >"$dir/install.log" 2>&1; }
listed() { (cd "$dest" && find . -type f -o -type l) | sed 's,^\.,,' | sort; }
uninstall() { "$root/tools/uninstall" --prefix "$prefix" --destdir "$dest" "$@" >"$dir/uninstall.log" 2>&1; }
told() { grep -qF -- "$1" "$dir/uninstall.log"; }

say "installing"
expect "meson install" install_all
expect "all that is there is on the list" cmp -s <(listed) <(sort "$usr/share/penstock/installed")
for program in penstock penstock-controlplane penstock-dataplane penstock-fnhost penstock-gen; do
	expect "$program runs" grep -q "^$program [0-9]" <("$usr/bin/$program" --version 2>&1)
done
expect "the shim lies where the function host looks" test -x "$usr/bin/../libexec/penstock/penstock-shim"
for file in libexec/penstock/functions/demo-echo libexec/penstock/uninstall share/penstock/examples/functions.yaml \
	share/doc/penstock/DEPLOY.md share/man/man1/penstock.1 share/man/man8/penstock-fnhost.8 \
	share/man/man5/penstock-dataplane.yaml.5 share/bash-completion/completions/penstock \
	share/zsh/site-functions/_penstock lib/sysusers.d/penstock.conf lib/tmpfiles.d/penstock.conf; do
	expect "$file" test -s "$usr/$file"
done

say "start-up files"
# Every line that is commented out is a good one, too; of several for one name the first.
all_lines() { sed 's/^#\([a-z-]*:\)/\1/' "$1" | awk -F: '/^[a-z]/ { if (seen[$1]++) next } { print }'; }
# stops_at TEXT PROGRAM FILE FLAGS...: it takes the file, and then stops for the reason that the flags give it.
stops_at() {
	local text=$1 program=$2 file=$3
	shift 3
	timeout 20 "$usr/bin/$program" --config "$file" "$@" >"$dir/start.log" 2>&1 && return 1
	grep -qF -- "$text" "$dir/start.log" || { sed 's/^/      /' "$dir/start.log"; return 1; }
}
for daemon in controlplane dataplane fnhost; do
	all_lines "$etc/$daemon.yaml" >"$dir/$daemon.yaml"
done
for config in "$etc" "$dir"; do
	expect "controlplane.yaml is taken" stops_at "--token-file /nowhere" penstock-controlplane \
		"$config/controlplane.yaml" --token-file /nowhere
	expect "dataplane.yaml is taken" stops_at "--token-file /nowhere" penstock-dataplane \
		"$config/dataplane.yaml" --port p9=x --token-file /nowhere
	expect "fnhost.yaml is taken" stops_at "/nowhere" penstock-fnhost "$config/fnhost.yaml" --name n1 \
		--token-file /nowhere
done

say "units"
units=()
for unit in "$usr"/lib/systemd/system/*; do
	# Where they will be is not where they are.
	sed "s,^\(Exec[A-Za-z]*=\)$prefix,\1$usr," "$unit" >"$dir/${unit##*/}"
	units+=("$dir/${unit##*/}")
done
expect "there are four" test ${#units[@]} = 4
if command -v systemd-analyze >/dev/null; then
	systemd-analyze verify --man=no "${units[@]}" >"$dir/verify.log" 2>&1 || true
	# Of other units that are not well it speaks, too.
	expect "systemd has nothing to say of them" test -z "$(grep -i penstock "$dir/verify.log" | tee /dev/stderr)"
fi

say "a function outside of the tree"
mkdir "$dir/shout"
cat >"$dir/shout/shout.c" <<'SOURCE'
#include <ctype.h>
#include <penstock.h>
#include <stdlib.h>

static int shout(struct pn_context *ctx, const void *data, size_t len)
{
	char *text = malloc(len + 1);

	for (size_t i = 0; text && i < len; i++)
		text[i] = (char)toupper(((const unsigned char *)data)[i]);
	return text ? pn_reply_take(ctx, text, len) : pn_error(ctx, PN_REJECTED, "out of memory");
}

const struct pn_function shout_function = {.call = shout};
SOURCE
cat >"$dir/shout/main.c" <<'SOURCE'
#include <penstock.h>

extern const struct pn_function shout_function;

/* Names of our own lib/ are not in the user's way. */
int log_line = 1, chain_push = 1, notify = 1;

int main(int argc, char **argv) { return pn_main(argc, argv, &shout_function); }
SOURCE
cat >"$dir/shout/test.c" <<'SOURCE'
#include <penstock-test.h>
#include <string.h>

extern const struct pn_function shout_function;

int main(int argc, char **argv)
{
	struct pn_test *t = pn_test_new(&shout_function);
	const struct pn_test_result *r = pn_test_call(t, "hello", 5);
	int bad = r->code != 0 || r->len != 5 || memcmp(r->data, argc > 1 ? argv[1] : "HELLO", 5) != 0;

	pn_test_destroy(t);
	return bad;
}
SOURCE
compiler=cc
sanitize=()
if nm "$(find "$usr" -name libpenstock.a)" | grep __asan_init >/dev/null; then
	compiler=clang-14
	sanitize=("-fsanitize=address,undefined")
fi
compile() { # compile PROGRAM SOURCES: with nothing but what pkg-config says
	local flags
	flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$usr" -name penstock.pc)") PKG_CONFIG_SYSROOT_DIR=$dest \
		pkg-config --cflags --libs penstock) || return 1
	# shellcheck disable=SC2086
	(cd "$dir/shout" && "$compiler" -Wall -Wextra -Wno-unused-parameter -Werror "${sanitize[@]}" -o "$@" $flags)
}
expect "it compiles" compile shout main.c shout.c
expect "so does its test" compile shout-test test.c shout.c
expect "which passes" "$dir/shout/shout-test"
expect_status "and can fail" 1 "$dir/shout/shout-test" QUIET
expect_status "without a host the function says so" 2 "$dir/shout/shout"

say "installing again, and uninstalling"
echo 'lease: 20' >>"$etc/controlplane.yaml"
expect "meson install again" install_all
expect "what the user changed is as it was" grep -qx 'lease: 20' "$etc/controlplane.yaml"
before=$(listed)
expect "--dry-run" uninstall --dry-run
expect "names every other file" test "$(grep -c "^$dest/" "$dir/uninstall.log")" = $(($(wc -l <<<"$before") - 1))
expect "and removes none" test "$(listed)" = "$before"
expect "uninstall" uninstall
expect "the changed file stays" test "$(listed)" = "${etc#"$dest"}/controlplane.yaml"
expect "and is told" told "controlplane.yaml: you changed it"
expect "once, and nothing besides" test "$(grep -c yaml "$dir/uninstall.log")$(grep -c "is yours" "$dir/uninstall.log")" = 10
rm -rf "$dest"
mkdir "$dest"
expect "installed once more" install_all
expect "the uninstall that was installed does the same" "$usr/libexec/penstock/uninstall" --prefix "$prefix" --destdir "$dest"
expect "nothing is left" test -z "$(ls -A "$dest")"
expect_status "there is nothing to remove twice" 1 uninstall
expect_status "wrong usage" 2 uninstall --all
smoke_end
