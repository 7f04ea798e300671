"""Ports for servers that bind them later, in this process or in another one."""

import socket
from contextlib import suppress
from random import SystemRandom

__all__ = ["free_port"]

_PORTS = range(10_000, 32_768)
"""Below the ports that Linux gives to connections and to servers without a port of their own.

One of those could be in use again before the server binds it. Thousands are, while other tests run.
"""


def free_port() -> int:
    """Return a port of loopback that is free now."""
    while True:
        port = SystemRandom().choice(_PORTS)  # Hypothesis seeds the common generator
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
