"""The response to the start of an nOTP sign-in (wire contract, section 2.16)."""

import json

import pytest

from fastapi_descope._upstream.responses import ApiResponse, NotpStart, parse_notp_start
from fastapi_descope.errors import InvalidUpstreamResponse

URL = "https://wa.me/15550100?text=Sign%20in%20abc123"


def response(**fields: object) -> ApiResponse:
    """Return a response with these fields instead of the usual ones."""
    usual = {"redirectUrl": URL, "image": "iVBORw0KGgo=", "pendingRef": "reference"}
    return ApiResponse(200, json.dumps({**usual, **fields}).encode())


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8787/signin/x", URL + "x" * (1024 - len(URL))])
@pytest.mark.parametrize("reference", ["r", "~!{}", "r" * 1024])
def test_link_and_reference_are_returned_unchanged(url: str, reference: str) -> None:
    """The host of the link can be any; http is for loopback. The image is not read."""
    assert parse_notp_start(response(redirectUrl=url, pendingRef=reference)) == NotpStart(url, reference)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param(1, id="a number"),
        pytest.param("http://wa.me/1", id="http"),
        pytest.param("whatsapp://send?text=x", id="another scheme"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("https://user@wa.me/1", id="credentials"),
        pytest.param('https://wa.me/"><script>\n', id="a newline"),
        pytest.param(URL + "x" * (1025 - len(URL)), id="too long"),
    ],
)
def test_np07_any_other_link_is_an_invalid_response(url: object) -> None:
    """No browser is sent there, and no QR code is drawn."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_notp_start(response(redirectUrl=url))
    assert caught.value.reason == "notp_url"


@pytest.mark.parametrize(
    "reference", [None, "", 7, ["r"], "r" * 1025, "a b", "a\n", "é", "\x00", "\ud800"], ids=ascii
)
def test_np07_any_other_reference_is_an_invalid_response(reference: object) -> None:
    """It would not fit into a cookie."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_notp_start(response(pendingRef=reference))
    assert caught.value.reason == "pending_ref"
