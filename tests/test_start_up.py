"""A server loads everything when its app is built and starts; importing a name of the package loads less."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running

ROOT = Path(__file__).parents[1]

_LOADED = """
import sys
from fastapi import FastAPI
{imports}
print(*sorted({{"cryptography", "jose", "httpx", "httpcore", "certifi"}} & sys.modules.keys()))
"""
_BUILD = """
from fastapi_descope import Descope, DescopeSettings
Descope(FastAPI(), settings=DescopeSettings(project_id="P" + "a" * 27))
"""


def _output(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("DESCOPE_")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("names", ["Descope, CurrentUser", "require_roles", "DescopeSettings, TokenError"])
def test_importing_a_name_loads_neither_httpx_nor_cryptography(names: str) -> None:
    """Only an app that is built needs them, and they take as long as half of FastAPI."""
    assert _output("-c", _LOADED.format(imports=f"from fastapi_descope import {names}")) == ""


def test_an_app_that_is_built_has_loaded_them() -> None:
    """No request waits for them: the constructor also loads the CA certificates."""
    assert _output("-c", _LOADED.format(imports=_BUILD)) == "certifi cryptography httpcore httpx jose"


def test_the_first_requests_import_no_module() -> None:
    """An app that is ready serves a login, a known session and a refresh without importing anything."""
    emulator = Emulator()
    pairs = [emulator.issue("ada@acme.example", "acme", session_seconds=each) for each in (600, -60)]
    cookies = [f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}" for pair in pairs]
    with running(emulator) as url:
        assert _output("-m", "benchmarks.first_requests", url, emulator.project_id, *cookies) == ""
