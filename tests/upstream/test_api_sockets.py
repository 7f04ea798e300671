"""The client on real sockets: exact bytes, and network faults (RF-15)."""

import asyncio
import datetime as dt
import gc
import gzip
import ipaddress
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import InvalidUpstreamResponse, UpstreamError, UpstreamUnavailable
from tests.helpers.ports import free_port
from tests.helpers.raw_server import Script, ok_response, serve_raw

pytestmark = pytest.mark.anyio

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
REFRESH = "canary-head.canary-body.canary-seal"

_REFRESH_ONCE = """
import asyncio, sys
from fastapi_descope._upstream.api import DescopeApi

async def main():
    url, project_id = sys.argv[1:]
    client = DescopeApi(base_url=url, project_id=project_id, timeout=30.0)
    try:
        await client.refresh("head.body.seal")
    except Exception as error:
        print(type(error).__name__)
    await client.aclose()

asyncio.run(main())
"""


def client_of(url: str, timeout: float = 5.0) -> DescopeApi:
    """Return a client with real connections."""
    return DescopeApi(base_url=url, project_id=PROJECT, timeout=timeout)


async def test_request_bytes_are_exactly_as_expected() -> None:
    """There is no cookie, no compression, and no header added by a library."""
    async with serve_raw(ok_response(b'{"userId":"U1"}')) as server:
        client = client_of(server.url)
        await client.refresh(REFRESH)
        await client.fetch_profile(REFRESH)
        await client.aclose()
    post, get = server.requests
    same = (
        f"Host: {server.url.removeprefix('http://')}\r\n"
        "Accept: application/json\r\n"
        "Accept-Encoding: identity\r\n"
        f"User-Agent: fastapi-descope/{metadata.version('fastapi-descope')}\r\n"
        f"x-descope-project-id: {PROJECT}\r\n"
        "x-descope-sdk-name: fastapi-descope\r\n"
        f"Authorization: Bearer {PROJECT}:{REFRESH}\r\n"
    )
    content = "Content-Type: application/json\r\nContent-Length: 2\r\n"
    assert post.decode() == f"POST /v1/auth/refresh HTTP/1.1\r\n{same}{content}\r\n{{}}"
    assert get.decode() == f"GET /v1/auth/me HTTP/1.1\r\n{same}\r\n"


async def test_lg01_no_library_logs_the_state(caplog: pytest.LogCaptureFixture) -> None:
    """The redirect URL of a login contains the state, and httpx's client would log it at INFO."""
    caplog.set_level(logging.DEBUG)
    async with serve_raw(ok_response(b'{"url": "https://idp.example/"}')) as server:
        client = client_of(server.url)
        await client.fetch_login_url(tenant="acme", redirect_url="https://app.example/?state=canary")
        await client.refresh(REFRESH)
        await client.aclose()
    assert len(server.requests) == 2
    assert "canary" not in caplog.text


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Record the spans of the standard instrumentation of httpx."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


async def test_lg08_calls_are_not_instrumented_by_others(spans: InMemorySpanExporter) -> None:
    """A span would have the state and the address in its URL. Other calls of the app have spans (LG-08)."""
    async with serve_raw(ok_response(b'{"url": "https://idp.example/"}')) as server:
        client = client_of(server.url)
        await client.fetch_login_url(
            tenant="ada@acme.example", redirect_url="https://a.example/?state=canary"
        )
        await client.refresh(REFRESH)
        await client.aclose()
        assert spans.get_finished_spans() == ()
        assert b"traceparent" not in b"".join(server.requests).lower()

        async with httpx.AsyncClient() as other:
            await other.get(server.url)
    assert len(spans.get_finished_spans()) == 1


async def test_rf15_cookies_of_one_response_are_not_sent_with_the_next_request() -> None:
    """Cookies of one user never appear in the request of another."""
    reply = ok_response(b"{}", f"Set-Cookie: DSR={REFRESH}; Path=/", "Set-Cookie: other=canary")
    async with serve_raw(reply) as server:
        client = client_of(server.url)
        await client.refresh("a.a.a")
        await client.refresh("b.b.b")
        await client.aclose()
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()
    assert b"canary" not in server.requests[1]


async def test_jw12_a_redirect_is_not_followed() -> None:
    """The other host gets no request (JW-12)."""
    async with serve_raw(ok_response(b"{}")) as other:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with serve_raw(moved) as server:
            client = client_of(server.url)
            with pytest.raises(InvalidUpstreamResponse):
                await client.fetch_jwks()
            await client.aclose()
    assert (len(server.requests), other.requests) == (1, [])


async def test_rf15_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are never sent through a proxy of the environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serve_raw(ok_response(b"{}")) as server:
        client = client_of(server.url)
        await client.refresh(REFRESH)
        await client.aclose()
    assert len(server.requests) == 1


async def test_rf15_certificates_of_the_environment_are_ignored(tmp_path: Path) -> None:
    """In a process of its own, because the certificates are loaded once."""
    certificate = tmp_path / "certificate.pem"
    async with serve_raw(ok_response(b"{}"), tls=self_signed(certificate)) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _REFRESH_ONCE, server.url, PROJECT),
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    assert (printed.strip(), server.requests) == (b"UpstreamUnavailable", [])


async def test_rf15_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """The host gets no request."""
    context = self_signed(tmp_path / "certificate.pem")
    async with serve_raw(ok_response(b"{}"), tls=context) as server:
        client = client_of(server.url)
        with pytest.raises(UpstreamUnavailable):
            await client.refresh(REFRESH)
        await client.aclose()
    assert server.requests == []


async def test_connection_is_reused() -> None:
    """Two calls use one connection."""
    async with serve_raw(ok_response(b"{}")) as server:
        client = client_of(server.url)
        await client.refresh(REFRESH)
        await client.refresh(REFRESH)
        await client.aclose()
    assert (len(server.requests), server.connections) == (2, 1)


def test_each_event_loop_has_its_own_sockets() -> None:
    """Every call succeeds, and no socket is left open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}")

        async def one_call() -> int:
            async with serve_raw(ok_response(b"{}"), listener=listener.dup()) as server:
                await client.refresh(REFRESH)
                return len(server.requests)

        assert [asyncio.run(one_call()) for _ in range(3)] == [1, 1, 1]
    gc.collect()  # an open socket causes a warning here, which is an error


def self_signed(path: Path) -> ssl.SSLContext:
    """Return a TLS context for 127.0.0.1 with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body that never ends, one byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body that never ends, as fast as possible."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection instead of responding."""
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send nothing until the client disconnects."""
    await reader.read()


def respond_and_close(response: bytes) -> Script:
    """Return a script that sends a response and closes the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()

    return script


SOCKET_FAULTS: Mapping[str, tuple[bytes | Script, type[UpstreamError]]] = {
    "drip": (drip, UpstreamUnavailable),
    "silence": (silence, UpstreamUnavailable),
    "reset": (reset, UpstreamUnavailable),
    "close without a response": (respond_and_close(b""), UpstreamUnavailable),
    "close in the head": (respond_and_close(b"HTTP/1.1 200 OK\r\nContent-"), UpstreamUnavailable),
    "close in the body": (
        respond_and_close(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"url":'),
        UpstreamUnavailable,
    ),
    "not http": (respond_and_close(b"SSH-2.0-OpenSSH_9.9\r\n"), UpstreamUnavailable),
    "endless head": (respond_and_close(b"HTTP/1.1 200 OK\r\n" + b"X-A: y\r\n" * 50_000), UpstreamUnavailable),
    "flood": (flood, InvalidUpstreamResponse),
    "gzip bomb": (
        ok_response(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip"),
        InvalidUpstreamResponse,
    ),
    "gzip": (
        ok_response(gzip.compress(b'{"sessionJwt":"a.b.c"}'), "Content-Encoding: gzip"),
        InvalidUpstreamResponse,
    ),
}


@pytest.mark.parametrize(("fault", "kind"), SOCKET_FAULTS.values(), ids=SOCKET_FAULTS)
async def test_fault_is_one_request_and_one_error(fault: bytes | Script, kind: type[UpstreamError]) -> None:
    """The request is not repeated, and the next call is sent."""
    async with serve_raw(fault) as server:
        client = client_of(server.url, 1.0 if fault in (drip, silence) else 30.0)
        for sent in (1, 2):
            with pytest.raises(UpstreamError) as caught:
                await client.refresh(REFRESH)
            assert len(server.requests) == sent
            assert type(caught.value) is kind
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        await client.aclose()


async def test_rf07_request_on_a_broken_reused_connection_is_not_repeated() -> None:
    """The server may have processed it."""

    async def once_and_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ok_response(b"{}"))
        server.requests.append(await reader.readuntil(b"\r\n\r\n{}"))
        writer.transport.abort()

    async with serve_raw(once_and_no_more) as server:
        client = client_of(server.url)
        await client.refresh(REFRESH)
        with pytest.raises(UpstreamUnavailable):
            await client.refresh(REFRESH)
        await client.aclose()
    assert (len(server.requests), server.connections) == (2, 1)


async def test_a_closed_port_is_an_outage() -> None:
    """No process listens on it."""
    client = client_of(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnavailable):
        await client.refresh(REFRESH)
    await client.aclose()


async def test_a_port_without_tls_is_an_outage() -> None:
    """A failed handshake sent no request, so it is tried a second time, but not a third."""
    greeted: list[int] = []

    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted.append(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(greet, sock=listener):
        client = client_of(f"https://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UpstreamUnavailable):
            await client.refresh(REFRESH)
        await client.aclose()
    assert len(greeted) == 2


async def test_fifty_calls_use_at_most_twenty_connections() -> None:
    """The limit applies to connections as well as to calls."""
    async with serve_raw(ok_response(b"{}")) as server:
        client = client_of(server.url)
        await asyncio.gather(*(client.refresh(REFRESH) for _ in range(50)))
        await client.aclose()
    assert len(server.requests) == 50
    assert 1 <= server.connections <= 20
