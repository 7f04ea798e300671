"""``fastapi-descope emulator`` as a process of its own, the way a developer starts it."""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread


@contextmanager
def emulator_command() -> Generator[str]:
    """Runs the command on a free port for the length of a ``with``; the value is the URL that it prints."""
    command = [str(Path(sys.executable).with_name("fastapi-descope")), "emulator", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DESCOPE_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        urls = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
        url = next((found[0] for found in urls if found), None)
        # It says a line for each request, which must not fill the pipe.
        rest = Thread(target=deque, args=(process.stdout, 0), daemon=True)
        rest.start()
        try:
            assert url is not None, "the emulator ended instead of starting"
            yield url
        finally:
            process.terminate()
            rest.join()
