"""What `make audit` runs: known vulnerabilities of the pinned packages, and their licences.

Ends with 1 where a package is vulnerable or its licence is not one that was looked at. A service that cannot be reached
is told, and is no fault of the packages.
"""

import argparse
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict

OSV = "https://api.osv.dev/v1/query"
PATIENCE = 10.0  # seconds for the service to answer
PROBE = {"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "23.2.1"}
# Licences that allow to use a package with this project, in the spellings that packages have.
ALLOWED = re.compile(
    r"\b(apache|mit|bsd|isc|psf|python software foundation|mpl|mozilla public|zope|epl|artistic|unlicense)\b", re.I
)
STRONG = re.compile(r"\b(?!lgpl)a?gpl|gnu (affero )?general public", re.IGNORECASE)
CHOICE = re.compile(r" OR |;")  # between licences of which one will do
REVIEWED = {  # licences that need a look, and what was seen
    "cuda-toolkit": "NVIDIA's, a package that only names others; comes with torch on Linux",
    "grandalf": "GPL-2.0 or EPL-1.0, at choice; DVC draws graphs with it",
    "huey": "MIT, as its LICENSE says",
    "mlcroissant": "Apache-2.0 in its repository; for tests",
    "psycopg2-binary": "LGPL-3.0 with an exception; used as it is, and only by tests with PostgreSQL",
    "pygit2": "GPL-2.0 with an exception for linking, which is what DVC does",
    "skops": "MIT, as its LICENSE says; comes with MLflow",
}
NVIDIA = "nvidia-"  # CUDA's libraries: proprietary, redistributed by NVIDIA itself; they come with torch on Linux


def main() -> int:
    """Audit and list; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", default="constraints.txt")
    parser.add_argument("--osv-url", default=OSV)
    given = parser.parse_args()
    return int(vulnerable(given.constraints, given.osv_url) | unknown_licences())


def vulnerable(constraints: str, service: str) -> bool:
    """Print the known vulnerabilities of pinned packages; whether there is one."""
    if why := unreachable(service):
        print(f"audit: NOT DONE: {service} cannot be reached ({why}); run `make audit` where there is a network")
        return False
    how = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    where = ["--vulnerability-service", "osv", "--osv-url", service]
    command = [sys.executable, "-m", "pip_audit", "--requirement", constraints, *how, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        if why := unreachable(service):
            print(f"audit: NOT DONE: {service} went away ({why})")
            return False
        print(f"audit: pip-audit failed:\n{done.stderr}", file=sys.stderr)
        return True
    found = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    for package, fault in found:
        cure = ", ".join(fault["fix_versions"]) or "no version that mends it"
        print(f"audit: {package['name']} {package['version']}: {fault['id']} (mended in: {cure})")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities")
    return bool(found)


def unreachable(service: str) -> str:
    """Why the service does not answer, or nothing where it does."""
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(service, json.dumps(PROBE).encode(), kind)  # noqa: S310 ours, or the one given
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            json.load(answer)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def unknown_licences() -> bool:
    """Print how many packages have each licence, and those that nobody looked at; whether there is one."""
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kinds: dict[str, list[str]] = defaultdict(list)
    for package in json.loads(listed):
        kinds[" ".join(package["License"].split())].append(package["Name"])
    for licence, names in sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0])):
        shown = ", ".join(sorted(names)[:4]) + (", ..." if len(names) > 4 else "")
        print(f"licence: {len(names):4}  {licence[:60]}: {shown}")
    pairs = [(name, licence) for licence, names in kinds.items() for name in names]
    unknown = sorted(f"{name} ({licence[:60]})" for name, licence in pairs if not known(name, licence))
    for one in unknown:
        print(f"licence: NOT LOOKED AT: {one}; say in REVIEWED of .ci/audit.py why it may be used")
    return bool(unknown)


def known(name: str, licence: str) -> bool:
    """Whether a package may be used: by its licence, or because somebody looked."""
    free = ALLOWED.search(licence) and (CHOICE.search(licence) or not STRONG.search(licence))
    return bool(free) or name.startswith(NVIDIA) or name in REVIEWED


if __name__ == "__main__":
    sys.exit(main())
