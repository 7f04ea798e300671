"""The check of this host's clock against Descope's."""

from collections.abc import Callable

import httpx
import pytest

from fastapi_descope._cli.checks import Severity
from fastapi_descope._cli.doctor import Doctor
from fastapi_descope.emulator import Emulator
from tests.helpers.emulator import signing_key

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("headers", "leeway", "expected"),
    [
        ({}, "5", (Severity.OK, "this host's clock agrees with Descope's")),
        (
            {"age": "300"},
            "5",
            (Severity.FAIL, "this host's clock is 300 s behind Descope's; synchronize it with NTP"),
        ),
        (
            {"date": "Tue, 14 Nov 2023 22:13:15 GMT"},
            "5",
            (Severity.OK, "this host's clock agrees with Descope's"),
        ),
        (
            {"date": "Tue, 14 Nov 2023 22:13:10 GMT"},
            "30",
            (Severity.WARN, "this host's clock is 10 s ahead of Descope's; synchronize it with NTP"),
        ),
        (
            {"date": "Tue, 14 Nov 2023 22:13:10 GMT"},
            "5",
            (Severity.FAIL, "this host's clock is 10 s ahead of Descope's; synchronize it with NTP"),
        ),
        ({"date": "yesterday"}, "5", None),
        ({"age": "a while"}, "5", (Severity.OK, "this host's clock agrees with Descope's")),
    ],
)
async def test_clock_difference(
    variables: Callable[..., None],
    headers: dict[str, str],
    leeway: str,
    expected: tuple[Severity, str] | None,
) -> None:
    """A difference beyond the leeway breaks logins. The age of a cached response is subtracted."""
    emulator = Emulator(signing_key=signing_key())
    variables(DESCOPE_PROJECT_ID=emulator.project_id, DESCOPE_LEEWAY=leeway)
    body = {"keys": list(emulator.public_keys)}
    dated = {"date": "Tue, 14 Nov 2023 22:13:20 GMT", **headers}
    keys = httpx.MockTransport(lambda _: httpx.Response(200, json=body, headers=dated))
    results = await Doctor(variables={}, transport=keys, clock=lambda: 1_700_000_000.4).run_checks()
    clock = [(each.severity, each.message) for each in results if each.subject == "clock"]
    assert clock == ([expected] if expected else [])
