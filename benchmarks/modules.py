"""``scripts/bench modules``: how many modules of the package one request passes through.

Counts the modules with code that runs while a request is served, including the tasks that it starts. For each
kind of request it prints these modules, their length, and their classes and functions that take part. Exits 1
if a limit is exceeded. Needs redis-server.
"""

import asyncio
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from fastapi import FastAPI
from pydantic import SecretStr

from fastapi_descope import CurrentUser, Descope, DescopeSettings
from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.redis_server import RedisServer

from .page_requests import serve
from .peers.page_request import PATH, page_scope

__all__ = ["main"]

_PACKAGE, _EMULATOR = "fastapi_descope.", "fastapi_descope.emulator"
_SETTLE_SECONDS = 0.1
"""Seconds after a response in which the tasks that its request started finish."""

_Modules = Mapping[str, set[str]]
"""The classes and functions whose code ran, by module."""


@dataclass(frozen=True)
class _Case:
    """A kind of request, and the number of modules that it may pass through."""

    name: str
    limit: int
    is_expired: bool = False
    uses_redis: bool = False


_CASES = (
    _Case("CurrentUser, both cookies known from an earlier request", 13),
    _Case("CurrentUser with a refresh, in-memory store", 29, is_expired=True),
    _Case("CurrentUser with a refresh, Redis store", 33, is_expired=True, uses_redis=True),
)


class _Profiler:
    """A context manager that records which code of the package runs in this thread."""

    def __init__(self) -> None:
        self._modules: defaultdict[str, set[str]] = defaultdict(set)

    def __enter__(self) -> _Modules:
        sys.setprofile(self._record)
        return self._modules

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, _: object) -> None:
        module, code = str(frame.f_globals.get("__name__")), frame.f_code
        if event != "call" or not module.startswith(_PACKAGE) or module.startswith(_EMULATOR):
            return
        if code.co_filename != "<string>":  # generated, like the methods of a dataclass: no code to read
            self._modules[module].add(code.co_qualname.partition(".")[0])


def _app(settings: DescopeSettings) -> tuple[FastAPI, Descope]:
    app = FastAPI(openapi_url=None)
    descope = Descope(app, settings=settings)

    @app.get(PATH)
    async def page(user: CurrentUser) -> dict[str, str]:
        return {"page": user.id}

    return app, descope


def _cookies(emulator: Emulator, case: _Case) -> str:
    pair = emulator.issue("ada@acme.example", "acme", session_seconds=-60 if case.is_expired else 600)
    return f"cookie: DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


async def _profile(case: _Case, emulator: Emulator, settings: DescopeSettings) -> _Modules:
    """Serve two requests as a warm-up, then record a third one.

    The first fetches the keys and opens the connections, and the second fills the caches. The third sends
    the same cookies again, or those of another session if the first session was refreshed.
    """
    app, descope = _app(settings)
    async with descope.lifespan(app):
        cookies = _cookies(emulator, case)
        await serve(app, page_scope(cookies))
        await serve(app, page_scope(cookies))
        if case.is_expired:
            cookies = _cookies(emulator, case)
        await asyncio.sleep(_SETTLE_SECONDS)
        with _Profiler() as modules:
            await serve(app, page_scope(cookies))
            await asyncio.sleep(_SETTLE_SECONDS)
    return modules


def _run(case: _Case, emulator: Emulator, url: str, redis_url: str) -> bool:
    """Profile a case and print the result; return whether it is within its limit."""
    settings = DescopeSettings(
        project_id=emulator.project_id,
        base_url=url,
        public_url="http://127.0.0.1:8000",
        redis_url=SecretStr(redis_url) if case.uses_redis else None,
    )
    modules = asyncio.run(_profile(case, emulator, settings))
    verdict = "ok" if len(modules) <= case.limit else "ABOVE"
    print(f"\n{case.name}: {len(modules)} modules, at most {case.limit}: {verdict}")
    for module, names in sorted(modules.items()):
        length = len(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8").splitlines())
        print(f"  {module.removeprefix(_PACKAGE):36}{length:4} lines  {', '.join(sorted(names))}")
    return verdict == "ok"


def main() -> int:
    """Profile each kind of request, print its modules, and return the exit code."""
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: run scripts/setup", file=sys.stderr)
        return 1
    emulator = Emulator()
    with TemporaryDirectory() as directory, running(emulator) as url:
        redis = RedisServer(Path(directory))
        try:
            verdicts = [_run(case, emulator, url, redis.url) for case in _CASES]
        finally:
            redis.stop()
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
