"""The doctor compares this host's clock with Descope's."""

from collections.abc import Callable

import httpx
import pytest

from fastapi_descope._cli.checks import Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import Emulator
from tests.helpers.signing_key import signing_key

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("headers", "leeway", "finding"),
    [
        ({}, "5", (Severity.OK, "this host's clock is Descope's")),
        (
            {"age": "300"},
            "5",
            (Severity.FAIL, "this host's clock is 300 s behind Descope's; have NTP set it"),
        ),
        ({"date": "Tue, 14 Nov 2023 22:13:15 GMT"}, "5", (Severity.OK, "this host's clock is Descope's")),
        (
            {"date": "Tue, 14 Nov 2023 22:13:10 GMT"},
            "30",
            (Severity.WARN, "this host's clock is 10 s ahead of Descope's; have NTP set it"),
        ),
        (
            {"date": "Tue, 14 Nov 2023 22:13:10 GMT"},
            "5",
            (Severity.FAIL, "this host's clock is 10 s ahead of Descope's; have NTP set it"),
        ),
        ({"date": "yesterday"}, "5", None),
        ({"age": "a while"}, "5", (Severity.OK, "this host's clock is Descope's")),
    ],
)
async def test_the_clock(
    variables: Callable[..., None],
    headers: dict[str, str],
    leeway: str,
    finding: tuple[Severity, str] | None,
) -> None:
    """Tokens are dated by Descope's clock: beyond the leeway no sign-in works. A cached answer has an age."""
    emulator = Emulator(signing_key=signing_key())
    variables(DESCOPE_PROJECT_ID=emulator.project_id, DESCOPE_LEEWAY=leeway)
    body = {"keys": list(emulator.public_keys)}
    dated = {"date": "Tue, 14 Nov 2023 22:13:20 GMT", **headers}
    keys = httpx.MockTransport(lambda _: httpx.Response(200, json=body, headers=dated))
    found = await Doctor(variables={}, transport=keys, clock=lambda: 1_700_000_000.4).examine()
    clock = [(each.severity, each.text) for each in found if each.subject == "clock"]
    assert clock == ([finding] if finding else [])
