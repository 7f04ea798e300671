"""Reads compose.yaml, and runs its services as processes with the same commands, variables and users."""

import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import yaml

from tests.container.image import Image
from tests.container.sandbox import Network, Process, Sandbox, new_root
from tests.helpers.postgres_server import postgres_programs, postgres_server

__all__ = ["Service", "Stack", "read_configs", "read_services"]

_HEALTHY_SECONDS = 120
"""A service is healthy within seconds. A machine that runs other things as well takes longer."""


class Service(TypedDict):
    """A service of compose.yaml, with the keys that ours have."""

    read_only: bool
    tmpfs: list[str]
    cap_drop: list[str]
    security_opt: list[str]
    user: str
    build: NotRequired[str | dict[str, str]]
    image: NotRequired[str]
    command: NotRequired[list[str]]
    environment: NotRequired[dict[str, str]]
    configs: NotRequired[list[dict[str, str]]]
    volumes: NotRequired[list[str]]
    ports: NotRequired[list[str]]
    network_mode: NotRequired[str]
    depends_on: NotRequired[dict[str, dict[str, str]]]
    healthcheck: "Healthcheck"
    stop_grace_period: NotRequired[str]


class Healthcheck(TypedDict):
    """The health check of a service."""

    test: list[str]
    interval: str
    timeout: str
    retries: int


def read_configs(file: Path) -> dict[str, str]:
    """Return the contents of the configuration files of a compose file by their names."""
    configs = yaml.safe_load(file.read_text(encoding="utf-8"))["configs"]
    return {name: config["content"] for name, config in configs.items()}


def read_services(file: Path) -> dict[str, Service]:
    """Return the services of a compose file by their names."""
    return cast("dict[str, Service]", yaml.safe_load(file.read_text(encoding="utf-8"))["services"])


@dataclass(slots=True)
class Stack:
    """The running services. All share one network; service names are names of its loopback address."""

    services: Mapping[str, Service]
    configs: Mapping[str, str]
    images: Mapping[str, Image]
    network: Network
    folder: Path

    def sandbox(self, name: str) -> Sandbox:
        """Return how the processes of a service run."""
        service = self.services[name]
        assert service["cap_drop"] == ["ALL"]  # bubblewrap leaves none to a user other than root
        image = self._image(service)
        return Sandbox(
            image.root,
            image.variables | service.get("environment", {}),
            image.workdir,
            service["user"],
            read_only=service["read_only"],
            tmpfs=[*service["tmpfs"], *image.volumes],
            hosts=self._hosts(),
            network=self.network,
        )

    @contextmanager
    def running(self, *names: str) -> Generator[dict[str, Process]]:
        """Run services, each of them after those that it depends on."""
        with ExitStack() as stack:
            processes: dict[str, Process] = {}
            for name in names:
                service = self.services[name]
                for needed, condition in service.get("depends_on", {}).items():
                    assert needed in processes or needed in self._started(), f"{name} starts before {needed}"
                    if condition["condition"] == "service_healthy":
                        self.wait_until_healthy(needed)
                if "postgres" in service.get("image", ""):
                    stack.enter_context(self._postgres())
                    continue
                command = service.get("command") or self._image(service).command
                log = self.folder / f"{name}.log"
                processes[name] = stack.enter_context(self.sandbox(name).running(command, log))
            yield processes

    @contextmanager
    def _postgres(self) -> Generator[None]:
        """Run PostgreSQL with the configuration of the file, as its image does when its volume is new.

        It runs outside of the network, because it refuses every user that a sandbox can have.
        """
        with postgres_server() as server:
            for script in self.configs.values():
                server.execute(*script.split(";\n"))
            forward = [sys.executable, "-m", "tests.container.socket_forward", server.socket]
            process = subprocess.Popen(self.network.join(*forward))
            (self.folder / "postgres.log").touch()
            try:
                yield
            finally:
                process.terminate()
                process.wait()

    def check(self, name: str) -> int:
        """Run the health check of a service once, and return its status: 0 if it is healthy."""
        keyword, *command = self.services[name]["healthcheck"]["test"]
        assert keyword == "CMD"
        return self.sandbox(name).run(command).returncode

    def wait_until_healthy(self, name: str) -> None:
        """Run the health check of a service until it succeeds."""
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while self.check(name) != 0:
            assert time.monotonic() < deadline, self.log(name)

    def log(self, name: str) -> str:
        """Return what a service has printed."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def join(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command in the network of the services, with the files of this machine."""
        return subprocess.run(self.network.join(*command), capture_output=True, text=True, check=False)

    def _started(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.log")}

    def _image(self, service: Service) -> Image:
        match service.get("build"):
            case None:  # an image of a service that is installed on this machine
                root = self.folder / "system"
                if not root.exists():
                    new_root(root)
                for name in service["tmpfs"]:  # a mount point that the image has
                    (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
                return Image(root, {"PATH": f"{postgres_programs()}:/usr/local/bin:/usr/bin:/bin"})
            case {"target": target}:
                return self.images[target]
            case _:
                return list(self.images.values())[-1]

    def _hosts(self) -> Path:
        hosts = self.folder / "hosts"
        if not hosts.exists():  # a service that runs would find it empty for a moment
            hosts.write_text(f"127.0.0.1 localhost {' '.join(self.services)}\n", encoding="utf-8")
        return hosts
