"""The emulator and production are isolated from each other (EM-04, EM-05)."""

import subprocess
import sys

import pytest

from fastapi_descope.emulator import Emulator
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

_LISTED = """
import sys, fastapi_descope
ours = ("fastapi_descope.emulator", "fastapi_descope.testing", "fastapi_descope._cli.main")
print(*(name for name in sys.modules if name.startswith((*ours, "jinja2", "uvicorn", "typer"))))
"""


def test_em05_package_import_does_not_import_the_emulator() -> None:
    """Importing the package imports neither the emulator nor its dependencies (EM-05)."""
    done = subprocess.run([sys.executable, "-c", _LISTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_em04_every_emulator_has_its_own_key() -> None:
    """No key is stored, so no two emulators share one (EM-04)."""
    first, second = (Emulator().public_keys[0] for _ in range(2))
    assert first["kid"] != second["kid"]
    assert first["n"] != second["n"]


async def test_tokens_are_invalid_for_other_emulators(make_env: EnvFactory) -> None:
    """An app with another emulator rejects the tokens, even under the same project id (EM-04)."""
    env, other_app = make_env(), Emulator()
    assert other_app.project_id == env.emulator.project_id
    browser = env.browser()
    for signer, status in ((env.emulator, 200), (other_app, 401)):
        token = signer.issue("ada@acme.example", "acme").session_jwt
        response = await browser.get("/me", authorization=f"Bearer {token}")
        assert response.status_code == status
