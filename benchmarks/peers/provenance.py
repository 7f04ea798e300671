"""Where the figures come from: commit, processor and versions."""

import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .load import wrk_version
from .variants import ALL

__all__ = ["commit", "installed_version", "processor", "versions"]

_INVOLVED = (
    "auth0-api-python",
    "authlib",
    "cryptography",
    "fastapi",
    "httptools",
    "pydantic",
    "python-jose",
    "starlette",
    "uvicorn",
    "uvloop",
)


def commit() -> str:
    """Return the commit, with ``-dirty`` if files have changed, or ``unknown`` without a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    """Return the model of the processor."""
    models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    return models[0] if models else platform.machine()


def installed_version(package: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions() -> Mapping[str, str]:
    """Return the versions of what is installed of the frameworks, the libraries and the load generator."""
    packages = {*_INVOLVED, *(each.package for each in ALL.values() if each.package)}
    found = {package: installed_version(package) for package in sorted(packages)}
    everything = {"python": platform.python_version(), **found, "wrk": wrk_version()}
    return {name: number for name, number in everything.items() if number}
