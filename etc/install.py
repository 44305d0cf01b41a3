#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The end of `meson install`: start-up files where there are none yet, the example manifests, and
SHARE/installed, the list of all that was installed, by which tools/uninstall goes.

install.py ETC SHARE: where start-up files belong, and our folder below the data directory."""

import glob
import json
import os
import shutil
import sys


def below(path):
    """Where a path lies while DESTDIR stands for the root."""
    return os.environ.get("DESTDIR", "") + path


def put(source, target, replace=True):
    if replace or not os.path.exists(below(target)):
        os.makedirs(os.path.dirname(below(target)), exist_ok=True)
        shutil.copyfile(source, below(target))
        os.chmod(below(target), 0o644)
    return target


def planned():
    """What meson installs itself."""
    build = os.environ["MESON_BUILD_ROOT"]
    with open(os.path.join(build, "meson-info", "intro-installed.json"), encoding="utf-8") as f:
        return sorted(json.load(f).values())


def main(etc, share):
    source = os.environ["MESON_SOURCE_ROOT"]
    files = planned()
    for path in sorted(glob.glob(os.path.join(source, "docs", "examples", "*.yaml"))):
        files.append(put(path, os.path.join(share, "examples", os.path.basename(path))))
    for path in sorted(glob.glob(os.path.join(source, "etc", "config", "*.yaml"))):
        files.append(put(path, os.path.join(etc, os.path.basename(path)), replace=False))
    listing = os.path.join(share, "installed")
    with open(below(listing), "w", encoding="utf-8") as f:
        f.write("\n".join(files + [listing]) + "\n")


main(*sys.argv[1:])
