"""The emulator in tests: a shared RSA key, and the ``fastapi-descope emulator`` command as a process."""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

from fastapi_descope.emulator import SigningKey

__all__ = ["emulator_process", "signing_key"]


def signing_key() -> SigningKey:
    """Return the RSA key of this test process under a new key id.

    Generating a key takes longer than most tests. With its own key id, each emulator refuses the tokens of
    the others.
    """
    return _shared_key().with_new_kid()


@cache
def _shared_key() -> SigningKey:
    return SigningKey.generate()


@contextmanager
def emulator_process() -> Generator[str]:
    """Run ``fastapi-descope emulator`` on a free port and yield the URL that it prints."""
    command = [str(Path(sys.executable).with_name("fastapi-descope")), "emulator", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DESCOPE_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        urls = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
        url = next((match[0] for match in urls if match), None)
        # It prints a line for each request. Unread, they would fill the pipe and block it.
        reader = Thread(target=deque, args=(process.stdout, 0), daemon=True)
        reader.start()
        try:
            assert url is not None, "the emulator exited before it printed its URL"
            yield url
        finally:
            process.terminate()
            reader.join()
