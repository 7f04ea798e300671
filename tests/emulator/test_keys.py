"""The published keys (wire contract, section 2.13)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]


@pytest.mark.parametrize("path", ["/v2/keys/{}", "/{}/.well-known/jwks.json", "//v2/keys/{}"])
async def test_key_set(call: Call, make: Make, path: str) -> None:
    """The keys are a JWK set without authentication; extra leading slashes are tolerated."""
    emulator = make()
    response = await call(
        emulator, "GET", f"http://localhost{path.format(emulator.project_id)}", headers={"authorization": ""}
    )
    assert response.status_code == 200
    assert response.json() == {"keys": list(emulator.public_keys)}


async def test_key_array(call: Call, make: Make) -> None:
    """The first version of the endpoint returns a bare array."""
    emulator = make()
    response = await call(emulator, "GET", f"/v1/keys/{emulator.project_id}")
    assert (response.status_code, response.json()) == (200, list(emulator.public_keys))


async def test_rotation_is_published(call: Call, make: Make) -> None:
    """After a rotation both keys are published, newest first; after the drop only one."""
    emulator = make()
    path = f"/v2/keys/{emulator.project_id}"
    old = (await call(emulator, "GET", path)).json()["keys"]
    emulator.rotate_keys()
    both = (await call(emulator, "GET", path)).json()["keys"]
    assert both[1:] == old
    emulator.drop_old_keys()
    assert (await call(emulator, "GET", path)).json()["keys"] == both[:1]
    emulator.rotate_keys(keep_old=False)
    (new,) = (await call(emulator, "GET", path)).json()["keys"]
    assert new["kid"] not in {key["kid"] for key in both}


@pytest.mark.parametrize("path", ["/v2/keys/P123", "/v1/keys/P123", "/P123/.well-known/jwks.json"])
async def test_another_project(call: Call, make: Make, path: str) -> None:
    """The keys of another project are 404."""
    response = await call(make(), "GET", path)
    assert (response.status_code, response.json()["errorCode"]) == (404, "E011004")
