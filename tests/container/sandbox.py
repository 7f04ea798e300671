"""Runs commands in a root file system of their own, as a container does, with bubblewrap."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT_USER", "Network", "Sandbox", "network", "new_root"]

ROOT_USER = "0:0"

_SYSTEM = ("usr", "etc", "bin", "sbin", "lib", "lib64", "opt", Path(sys.base_prefix).parts[1])
"""Folders of this machine that stand in for those of a base image: programs, interpreters, indexes."""

_MOUNT_POINTS = ("proc", "dev", "tmp")


def new_root(folder: Path) -> Path:
    """Return an empty root file system into which the folders of the system can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted({*_SYSTEM, *_MOUNT_POINTS}):
        system = Path("/", name)
        if system.is_symlink():
            (folder / name).symlink_to(system.readlink())
        elif name in _MOUNT_POINTS or system.is_dir():
            (folder / name).mkdir()
    return folder


@dataclass(frozen=True, slots=True)
class Network:
    """A network that several sandboxes share: a loopback interface, and nothing else."""

    process_id: int

    def join(self, *command: str) -> list[str]:
        """Return a command line that runs the command in this network, with the files of this machine."""
        options = ["--target", str(self.process_id), "--user", "--net", "--preserve-credentials"]
        return ["nsenter", *options, "--", *command]


@contextmanager
def network() -> Generator[Network]:
    """Create a network for the time of the block."""
    command = ["--unshare-user", "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/"]
    # The network can be joined once its first process runs: before that, its user has no id.
    first = ["sh", "-c", "echo started; exec sleep infinity"]
    with _bubblewrap(command, first, output=subprocess.PIPE) as (process, process_id):
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield Network(process_id)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How a command runs: its root file system, user, variables, and what it may write."""

    root: Path
    variables: Mapping[str, str]
    workdir: str = "/"
    user: str = ROOT_USER
    read_only: bool = False
    tmpfs: Sequence[str] = ()
    hosts: Path | None = None
    network: Network | None = None

    def run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, and return its status and its output."""
        done = ["bwrap", "--die-with-parent", *self._options(), *command]
        return subprocess.run(self._joined(done), capture_output=True, text=True, check=False)

    @contextmanager
    def running(self, command: Sequence[str], log: Path) -> "Generator[Process]":
        """Run a command as process 1 until the block ends."""
        options = ["--unshare-pid", "--as-pid-1", *self._options()]
        with log.open("w") as output, _bubblewrap(options, command, self.network, output.fileno()) as started:
            yield Process(*started)

    def _joined(self, command: list[str]) -> list[str]:
        return self.network.join(*command) if self.network else command

    def _options(self) -> list[str]:
        user, _, group = self.user.partition(":")
        options = ["--unshare-user", "--uid", user, "--gid", group]
        options += ["--ro-bind" if self.read_only else "--bind", str(self.root), "/"]
        mounted = [f"/{name}" for name in dict.fromkeys(_SYSTEM) if not (self.root / name).is_symlink()]
        for folder in (name for name in mounted if Path(name).is_dir()):
            options += ["--ro-bind", folder, folder]
        if self.hosts:
            options += ["--ro-bind", str(self.hosts), "/etc/hosts"]
        options += ["--proc", "/proc", "--dev", "/dev", "--chdir", self.workdir, "--clearenv"]
        for name in self.tmpfs:
            options += ["--tmpfs", name]
        for name, value in self.variables.items():
            options += ["--setenv", name, value]
        return options


@dataclass(frozen=True, slots=True)
class Process:
    """The first process of a sandbox."""

    supervisor: "subprocess.Popen[bytes]"
    process_id: int

    def stop(self, signal: int, seconds: float) -> int:
        """Send a signal, and return the exit status."""
        os.kill(self.process_id, signal)
        return self.supervisor.wait(seconds)


@contextmanager
def _bubblewrap(
    options: Sequence[str], command: Sequence[str], joined: Network | None = None, output: int | None = None
) -> "Generator[tuple[subprocess.Popen[bytes], int]]":
    """Run bubblewrap, and yield it with the id of the process in it."""
    reading, writing = os.pipe()
    line = ["bwrap", "--die-with-parent", "--info-fd", str(writing), *options, *command]
    with os.fdopen(reading) as info:
        process = subprocess.Popen(
            joined.join(*line) if joined else line,
            pass_fds=(writing,),
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
        )
        os.close(writing)
        text = info.read()
    try:
        yield process, json.loads(text)["child-pid"]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
