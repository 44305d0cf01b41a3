#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scheduler's behaviours, each with the tests that show it: behaviours.txt has a number and a
sentence a line; a test bears the number as its name, b07_..., is run by its program, and the
program is built. behaviours.py ROOT prints the list and fails if a behaviour has no test;
behaviours.py --self-test proves that faults are found."""

import os
import re
import sys
import tempfile

LIST = "test/behaviours/behaviours.txt"
TEST = re.compile(r"^static void (b(\d\d)_\w+)\(void \*\*state\)", re.M)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def behaviours(root):
    lines = read(os.path.join(root, LIST)).splitlines()
    return {int(number): sentence for number, sentence in (line.split(" ", 1) for line in lines)}


def programs(root):
    """Sources of tests, each with what the meson.build beside it says."""
    for folder, folders, names in os.walk(os.path.join(root, "test")):
        folders.sort()
        meson = os.path.join(folder, "meson.build")
        built = read(meson) if os.path.exists(meson) else ""
        for name in sorted(names):
            if name.endswith(".c"):
                yield os.path.relpath(os.path.join(folder, name), root), f"'{name}'" in built


def tests(root):
    """(number, "file: test") of each test that bears a number, and faults."""
    found, faults = [], []
    for path, built in programs(root):
        text = read(os.path.join(root, path))
        for name, number in TEST.findall(text):
            if not re.search(rf"\w\({name}[,)]", text):
                faults.append(f"{path}: {name} is in no list of tests")
            elif not built:
                faults.append(f"{path}: {name}: no meson.build builds the file")
            else:
                found.append((int(number), f"{path}: {name}"))
    return found, faults


def check(root):
    wanted = behaviours(root)
    found, faults = tests(root)
    lines = []
    for number, sentence in sorted(wanted.items()):
        mine = [test for of, test in found if of == number]
        lines += [f"{number:2} {sentence}", *(f"   {test}" for test in mine)]
        if not mine:
            faults.append(f"behaviour {number} ({sentence}) has no test: name one b{number:02}_...")
    faults += [f"{test}: there is no behaviour {of}" for of, test in found if of not in wanted]
    return lines, faults


# --- the proof that it can fail ---

SELF = """static void b01_a(void **state)
{
}
static void b02_not_run(void **state)
{
}
static void b09_of_nothing(void **state)
{
}
int main(void) { run(TEST(b01_a), TEST(b09_of_nothing)); }
"""


def self_test():
    files = {
        LIST: "1 one\n2 two\n3 three\n",
        "test/unit/meson.build": "x = ['a.c']\n",
        "test/unit/a.c": SELF,
        "test/unit/b.c": SELF.replace("b01_a", "b03_not_built"),
    }
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        lines, faults = check(root)
    wanted = ["behaviour 2 ", "behaviour 3 ", "b02_not_run is in no", "b03_not_built: no meson",
              "no behaviour 9"]
    missed = [what for what in wanted if not any(what in fault for fault in faults)]
    for what in missed:
        print(f"not found: {what}")
    if "   test/unit/a.c: b01_a" not in lines or any("behaviour 1 " in fault for fault in faults):
        missed.append("behaviour 1")
        print("unjust: behaviour 1")
    print(f"{len(wanted)} faults, {len(missed)} of them missed")
    return bool(missed)


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if len(args) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    lines, faults = check(args[0])
    print("\n".join([*lines, *faults, f"{len(faults)} faults"]))
    return bool(faults or not lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
