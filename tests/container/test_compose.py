"""The services of compose.yaml as processes in one network, with the commands and variables of the file."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.compose import Service, Stack, read_configs, read_services
from tests.container.image import Image
from tests.container.sandbox import Process, network

pytestmark = [pytest.mark.container, pytest.mark.postgres, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
SERVICES = read_services(ROOT / "compose.yaml")
CONFIGS = read_configs(ROOT / "compose.yaml")
PUBLIC_URL = "http://localhost:8000"


@pytest.fixture(scope="module")
def stack(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the services of the file; none runs yet."""
    with network() as shared:
        yield Stack(SERVICES, CONFIGS, images, shared, tmp_path_factory.mktemp("compose"))


@pytest.fixture(scope="module")
def running(stack: Stack) -> Iterator[dict[str, Process]]:
    """Run all services until each is healthy, as ``docker compose up --wait`` does."""
    with stack.running("redis", "postgres", "app"):
        assert stack.check("app") == 1, "the app cannot be ready: its emulator does not run yet"
        with stack.running("emulator", "emulator-port") as processes:
            for name in SERVICES:
                stack.wait_until_healthy(name)
            yield processes


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_service_is_hardened(service: Service) -> None:
    """A read-only root file system, no capabilities, no new privileges, no root, and a health check."""
    assert service["read_only"] is True
    assert service["tmpfs"][0] == "/tmp"  # noqa: S108 - in the container
    assert set(service["tmpfs"][1:]) <= {"/run/postgresql"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))
    assert service["healthcheck"]["test"][0] == "CMD"


def test_the_emulator_stays_on_loopback() -> None:
    """It shares the network of the app, and ports are published on the loopback address only."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert SERVICES["emulator"].get("network_mode") == "service:app"
    assert "ports" not in SERVICES["emulator"]
    assert "0.0.0.0" not in str(SERVICES["emulator"])  # noqa: S104 - must not be there
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.nightly
@pytest.mark.usefixtures("running")
def test_a_user_signs_in_through_the_published_ports(stack: Stack) -> None:
    """The browser sees the app at DESCOPE_PUBLIC_URL and the emulator at DESCOPE_BASE_URL."""
    environment = SERVICES["app"].get("environment", {})
    ports = SERVICES["app"].get("ports", [])
    assert environment["DESCOPE_PUBLIC_URL"] == PUBLIC_URL

    command = [sys.executable, "-m", "tests.container.sign_in", PUBLIC_URL, *ports]
    done = stack.join(command)

    assert done.returncode == 0, done.stderr + stack.log("app")
    seen = json.loads(done.stdout)
    assert seen["callback"] == [303, "/reports"]
    assert seen["reports"] == [200, True]
    assert seen["cookies"] == ["DS", "DSR"]
    assert (seen["me"]["tenant"], seen["me"]["roles"]) == ("acme", ["admin"])


@pytest.mark.nightly
@pytest.mark.usefixtures("running")
def test_the_app_uses_the_database_of_the_stack(stack: Stack) -> None:
    """The login above has left the user there. Its role obeys the policies."""
    url = (
        SERVICES["app"]
        .get("environment", {})["DATABASE_URL"]
        .replace("+psycopg", "")
        .replace("@postgres", "@127.0.0.1")
    )
    code = (
        "import psycopg, sys; c = psycopg.connect(sys.argv[1]);"
        "print(c.execute('SELECT count(*) FROM person').fetchone()[0]);"
        "c.execute(\"SELECT set_config('descope.tenant_id', 'acme', true)\");"
        "print(c.execute('SELECT name FROM person').fetchone()[0])"
    )

    done = stack.join([sys.executable, "-c", code, url])

    assert done.stdout.splitlines() == ["0", "Ada Lovelace"], done.stderr


@pytest.mark.nightly
@pytest.mark.usefixtures("running")
def test_the_app_uses_the_redis_of_the_stack(stack: Stack) -> None:
    """The login above has left its tokens there, for a repeated callback."""
    keys = stack.sandbox("redis").run(["redis-cli", "-h", "redis", "--scan"])

    assert keys.stdout.strip(), keys.stderr
    assert "Redis" not in stack.log("app")


@pytest.mark.nightly
@pytest.mark.usefixtures("running")
def test_the_emulator_does_not_listen_on_the_address_of_the_container(stack: Stack) -> None:
    """Only the forwarded port does."""
    code = "import socket, sys; socket.create_connection(('127.0.0.2', int(sys.argv[1])), 5)"

    refused = stack.join([sys.executable, "-c", code, "8787"])
    forwarded = stack.join([sys.executable, "-c", code, "8788"])

    assert refused.stderr.splitlines()[-1] == "ConnectionRefusedError: [Errno 111] Connection refused"
    assert forwarded.returncode == 0, forwarded.stderr


@pytest.mark.nightly
def test_services_stop_at_sigterm(stack: Stack, running: dict[str, Process]) -> None:
    """Each is process 1, which the kernel does not end by itself."""
    assert running["emulator-port"].stop(signal.SIGTERM, seconds=60) == 0, stack.log("emulator-port")
    assert running["emulator"].stop(signal.SIGTERM, seconds=60) in {0, 143}, stack.log("emulator")
