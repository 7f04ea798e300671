"""Signs a user in through a browser on the machine that runs the containers, and prints what it sees as JSON.

Runs in the network of the services. Docker publishes ports of the address that a container has in its
network, and none of its loopback address 127.0.0.1. Here 127.0.0.2 stands in for the former: a process that
listens on 127.0.0.1 cannot be reached there.
"""

import asyncio
import json
import sys

import httpx

from tests.helpers.app_harness import Browser

__all__: list[str] = []

_OWN_ADDRESS = "127.0.0.2"


class _PublishedPorts(httpx.AsyncHTTPTransport):
    """Connects to published ports. Each is ``ADDRESS:PORT:CONTAINER_PORT``."""

    def __init__(self, ports: list[str]) -> None:
        super().__init__()
        pairs = (port.rsplit(":", 2)[1:] for port in ports)
        self._ports = {int(published): int(target) for published, target in pairs}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the port of the container, with the Host header of the browser."""
        port = self._ports[request.url.port or 80]
        url = request.url.copy_with(host=_OWN_ADDRESS, port=port)
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        return await super().handle_async_request(sent)


async def _sign_in(origin: str, ports: list[str]) -> dict[str, object]:
    async with httpx.AsyncClient(transport=_PublishedPorts(ports), trust_env=False, timeout=60) as http:
        browser = Browser(http, origin=origin)
        callback = await browser.sign_in(return_to="/reports")
        page = await browser.visit("/reports", accept="text/html")
        return {
            "hosts": sorted(
                {f"{response.request.url.host}:{response.request.url.port}" for response in browser.log}
            ),
            "callback": [callback.status_code, callback.headers.get("location")],
            "reports": [page.status_code, "North bridge" in page.text],
            "cookies": sorted(browser.session_names()),
            "me": (await browser.get("/api/me", accept="application/json")).json(),
        }


if __name__ == "__main__":
    json.dump(asyncio.run(_sign_in(sys.argv[1], sys.argv[2:])), sys.stdout)
