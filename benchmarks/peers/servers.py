"""A process for each variant, in which uvicorn serves its app on one core."""

import os
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import uvicorn

from .page_request import PATH
from .tokens import Tokens
from .variants import ALL

__all__ = ["running_servers"]

_START_SECONDS, _STOP_SECONDS = 60, 10
_WARM_UP_REQUESTS = 200
_HOST = "127.0.0.1"


@contextmanager
def running_servers(names: Iterable[str], tokens: Tokens, core: int) -> Generator[Mapping[str, int]]:
    """Start the servers of these variants and yield their ports once each has served some requests.

    Raises:
        RuntimeError: A server did not start.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, f"{__package__}.ours"])  # imported once for all servers
    ports: dict[str, int] = {}
    pipes = {name: context.Pipe(duplex=False) for name in names}
    processes = [
        context.Process(target=_serve, args=(name, tokens, core, sender), daemon=True)
        for name, (_, sender) in pipes.items()
    ]
    try:
        for process in processes:
            process.start()
        for name, (receiver, _) in pipes.items():
            if not receiver.poll(_START_SECONDS):
                raise RuntimeError(f"the server of {name!r} did not start")
            ports[name] = receiver.recv()
            _warm_up(ports[name], ALL[name].credentials(tokens))
        yield ports
    finally:
        _stop(process for process in processes if process.pid)


def _stop(processes: Iterable[BaseProcess]) -> None:
    started = list(processes)
    for process in started:
        process.terminate()
    for process in started:
        process.join(_STOP_SECONDS)
        process.kill()


def _serve(name: str, tokens: Tokens, core: int, sender: Connection) -> None:
    os.sched_setaffinity(0, {core})
    listener = socket.create_server((_HOST, 0))
    config = uvicorn.Config(
        ALL[name].app(tokens), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
    sender.send(listener.getsockname()[1])  # connections wait in the backlog until uvicorn accepts them
    uvicorn.Server(config).run(sockets=[listener])


def _warm_up(port: int, credentials: str) -> None:
    name, _, value = credentials.partition(": ")
    connection = HTTPConnection(_HOST, port, timeout=_START_SECONDS)
    try:
        for _ in range(_WARM_UP_REQUESTS):
            connection.request("GET", PATH, headers={name: value})
            response = connection.getresponse()
            response.read()
            assert response.status == HTTPStatus.OK
    finally:
        connection.close()
