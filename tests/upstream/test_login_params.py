"""The login parameters of a browser, and how they are sent to Descope."""

import httpx
import pytest

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope._upstream.login_options import LoginOptions, LoginParams

pytestmark = pytest.mark.anyio


async def _sent(params: LoginParams) -> tuple[httpx.URL, bytes]:
    """URL and body of the request to Descope for a login with these parameters."""
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"url": "https://idp.example/"})

    api = DescopeApi(
        base_url="https://api.descope.test",
        project_id="P2abcdefghijklmnopqrstuvwxyz",
        transport=httpx.MockTransport(handler),
    )
    options = params.apply_to(LoginOptions())
    await api.fetch_login_url(
        tenant="acme", redirect_url="https://app.example/", params=params, options=options
    )
    (request,) = requests
    return request.url, request.content


@pytest.mark.parametrize("name", LoginParams.meanings())
async def test_every_login_parameter_is_parsed_carried_and_sent(name: str) -> None:
    """The fields of LoginParams are the only list: parser, query and request to Descope follow it."""
    query = {name: "true"}
    params = LoginParams.from_query({**query, "unknown": "true"})

    assert params.as_query() == query
    assert LoginParams.from_query(params.as_query()) == params
    assert await _sent(params) != await _sent(LoginParams())


@pytest.mark.parametrize("name", LoginParams.meanings())
def test_a_malformed_login_parameter_counts_as_absent(name: str) -> None:
    """Control characters match the grammar of no parameter."""
    assert LoginParams.from_query({name: "true\n"}) == LoginParams()


def test_options_of_the_app_stay_when_the_browser_asks_for_nothing() -> None:
    """A browser can ask for more checks, and not for fewer."""
    options = LoginOptions(stepup=True, mfa=True, locale="de")

    assert LoginParams().apply_to(options) == options
