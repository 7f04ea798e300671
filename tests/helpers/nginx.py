"""nginx in front of an app, as a process without privileges."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .ports import free_port

_SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

_CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  {http}
}}
"""

_SERVER = """
server {{
  listen {listen};
  {server}
  location / {{
    proxy_pass {upstream};
    {directives}
  }}
}}
"""

LISTEN = "127.0.0.1:PORT"
"""The address in a configuration for ``nginx_with``, which replaces PORT."""


@contextmanager
def nginx_in_front_of(upstream: str, folder: Path, *directives: str, server: str = "") -> Generator[str]:
    """Yield the URL of an nginx that passes requests on to ``upstream``, until the block ends.

    ``directives`` are lines of its ``location``, each with its semicolon, and ``server`` is one of its
    ``server``.
    """
    http = _SERVER.format(
        listen=LISTEN, upstream=upstream, server=server, directives="\n    ".join(directives)
    )
    with nginx_with(http, folder) as url:
        yield url


@contextmanager
def nginx_with(http: str, folder: Path) -> Generator[str]:
    """Yield the URL of an nginx with the block ``http``, which listens on ``LISTEN``."""
    program = shutil.which("nginx", path=_SEARCH_PATH)
    assert program, "nginx is missing: scripts/setup installs it"
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(http=http.replace(LISTEN, f"127.0.0.1:{port}")))
    command = [program, "-p", f"{folder}/", "-e", "stderr", "-c", str(configuration)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_until_listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
