"""What `pip install jaxpot` brings: packages, their licences, and a lock file with their hashes.

    python tests/security/supply_chain.py           a table of licences; fails where one is not among those allowed
    python tests/security/supply_chain.py --lock    writes requirements.lock, by what pip would install now
    python -m pip install --require-hashes -r requirements.lock    installs just that
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
ALLOWED = {  # SPDX identifiers
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "MIT", "MIT-CMU", "HPND", "ISC", "PSF-2.0", "Zlib", "CC0-1.0",
    "LGPL-2.1-or-later",  # ASE: used as a library, not changed
}
# How packages without an SPDX expression say it.
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0", "BSD License": "BSD-3-Clause", "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0", "ISC License (ISCL)": "ISC", "Historical Permission Notice and "
    "Disclaimer (HPND)": "HPND", "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
}
# Those that give no more than the text of a licence, or a name of their own; looked at by hand.
_BY_HAND = {"kiwisolver": "BSD-3-Clause"}
_WORDS = {"AND", "OR", "WITH"}


def direct():
    """The run-time dependencies, as `pyproject.toml` has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in project["dependencies"]]


def installed():
    """All packages that these bring here, in order."""
    waiting, brought = direct(), set()
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in brought:
            continue
        brought.add(name)
        further = [Requirement(text) for text in metadata.requires(name) or ()]
        waiting += [r for r in further if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted(brought)


def licences(name):
    """SPDX identifiers of a package, as its metadata give them; what is not understood as it stands."""
    about = metadata.metadata(name)
    expression = about.get("License-Expression")
    if expression is None and name in _BY_HAND:
        return [_BY_HAND[name]]
    if expression is None:
        classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
        text = (about.get("License") or "nothing said").strip().splitlines()[0]
        return [_CLASSIFIERS.get(c, c) for c in classifiers if c != "OSI Approved"] or [text]
    return [word for word in re.findall(r"[\w.+-]+", expression) if word not in _WORDS]


def refused():
    """{package: licences that are not allowed}."""
    strange = {name: sorted(set(licences(name)) - ALLOWED) for name in installed()}
    return {name: found for name, found in strange.items() if found}


def locked(report):
    """Lines of a lock file from the report of `pip install --dry-run --report`: names, versions and hashes alone."""
    lines = []
    for item in report["install"]:
        name = canonicalize_name(item["metadata"]["name"])
        if name == "jaxpot":
            continue
        hashes = item["download_info"]["archive_info"]["hashes"]
        lines.append(f"{name}=={item['metadata']['version']} --hash=sha256:{hashes['sha256']}")
    return sorted(lines)


def write_lock():
    """Ask pip what it would install, for this Python and machine, and keep it."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary", ":all:", "--quiet",
               "--report", "-", *map(str, direct())]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    version = ".".join(map(str, sys.version_info[:2]))
    head = f"# What `pip install jaxpot` brings with Python {version} on Linux (x86-64): tests/security/supply_chain.py --lock"
    LOCK.write_text("\n".join([head, *locked(json.loads(answer.stdout))]) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", action="store_true", help="write requirements.lock")
    if parser.parse_args().lock:
        write_lock()
    for name in installed():
        print(f"{name:20} {metadata.version(name):12} {' '.join(licences(name))}")
    strange = refused()
    for name, found in strange.items():
        print(f"{name}: {' '.join(found)} is not among the licences that are allowed", file=sys.stderr)
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
