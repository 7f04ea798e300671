"""``Descope``: the composition root, which also installs itself into an app."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

from fastapi import FastAPI
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request

from ._auth.core_builder import CoreBuilder, monotonic_clock
from ._refresh.memory_store import MemoryRefreshStore
from ._refresh.store import RefreshStore
from ._revocation.deny_list import Forget
from ._telemetry.audit import AuditLog
from ._telemetry.log_lines import EventLog
from ._telemetry.recorder import Recorder
from ._web.hooks import HookDecorators
from ._web.middleware import DescopeMiddleware, ErrorMiddleware
from ._web.page_responses import PageResponses
from ._web.parameter_guard import Unreadable
from ._web.routes.checks import reject_guarded_login
from ._web.scopes import Scope
from ._web.web import build_web
from .errors import ConfigurationError
from .events import UserRevoked
from .page_texts import ENGLISH, PageTexts
from .pages import RenderPage
from .session import AuthSession
from .settings import DescopeSettings

if TYPE_CHECKING:
    from ._upstream.transport import Transport

__all__ = ["Descope"]

_DEVELOPMENT_MODE = (
    "DESCOPE_PUBLIC_URL is not set, so this is development mode: logins work for browsers on this machine"
    " only. In production, set it to the https origin that browsers use; the cookies then get a name prefix"
)

_NOT_CALLABLE = (
    "A Descope is neither an app nor a dependency: let the server run the app that it is installed on, and"
    " write parameters as `user: CurrentUser`"
)

logger = logging.getLogger("fastapi_descope")


class Descope(HookDecorators):
    """Single sign-on for a FastAPI app.

        app = FastAPI()
        descope = Descope(app)

    or, to choose where each part goes,

        descope = Descope()
        app.include_router(descope.router, prefix="/auth")
        app.add_middleware(DescopeMiddleware, descope=descope)
        descope.add_openapi_security(app)

    The constructor makes no network call. The keys are fetched when the app starts, or for the first request.

    Args:
        app: The app to install into; see ``install``.
        settings: The settings. Without them they are read from ``DESCOPE_*`` variables.
        prefix: The prefix of the paths of login, callback and the other routes.
        protect: Require a session for every request that is not public; see ``install``.
        public_paths: With ``protect``, the paths that need no session; see ``install``.
        scopes: The scopes of the app by name, with the roles and permissions that grant them to users and
            machines. A scope that is missing here is granted by a permission of the same name.
        resource: The https URL of the API as an OAuth resource. It replaces the setting of that name.
        texts: The texts of the plugin's pages, one ``PageTexts`` for each language. The browser's
            Accept-Language picks one; a browser that accepts none of them gets the first.
        render_page: Renders the plugin's pages in the app's own look: ``render_page(request, page)`` returns
            the HTML document for a ``Page``. If it raises, the built-in page is sent.
        clock: Returns epoch seconds. Expiries and the ages of caches are measured by it. For tests.
        transport: An ``httpx.AsyncBaseTransport`` for the calls to Descope. Proxies in environment variables
            are ignored, so this is the way to use one:
            ``transport=httpx.AsyncHTTPTransport(proxy="http://proxy.example:3128")``.
        refresh_store: Replaces the store of refresh results, which is in this process or, with
            ``DESCOPE_REDIS_URL``, in Redis. Processes with such a store do not share revocations.
            ``fastapi_descope.stores`` has what a store needs.
        meter_provider: Replaces OpenTelemetry's global provider of metrics.
        tracer_provider: Replaces OpenTelemetry's global provider of traces.

    Attributes:
        settings: The settings.
        events: The event bus; ``on_event`` registers a subscriber.
        router: The router with the plugin's routes.
        resource_router: The router with the metadata of ``resource``, which takes no prefix; it is empty
            without a resource.
        middleware_parts: Used by ``DescopeMiddleware``.

    Raises:
        ConfigurationError: A setting is missing or invalid, a package for it is not installed, there are no
            texts or two of one language, ``render_page`` is async, or what ``install`` raises.
    """

    def __init__(
        self,
        app: FastAPI | None = None,
        *,
        settings: DescopeSettings | None = None,
        prefix: str = "",
        protect: bool = False,
        public_paths: Iterable[str] = (),
        scopes: Mapping[str, Scope] = MappingProxyType({}),
        resource: str | None = None,
        texts: Sequence[PageTexts] = (ENGLISH,),
        render_page: RenderPage | None = None,
        clock: Callable[[], float] = time.time,
        transport: "Transport | None" = None,
        refresh_store: RefreshStore | None = None,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings if settings is not None else DescopeSettings()
        if resource is not None:
            self.settings = self.settings.with_resource(resource)
        recorder = _build_recorder(self.settings, clock, meter_provider, tracer_provider)
        self.events.subscribe(recorder)
        forget: list[Forget] = []
        self._core_builder = CoreBuilder(
            self.settings,
            self.events,
            clock=clock,
            transport=transport,
            refresh_store=refresh_store,
            session_hooks=self._hooks.session,
            caller_hooks=self._hooks.caller,
            forget=forget,
            recorder=recorder,
        )
        self._core = self._core_builder.build()
        web = build_web(
            self._core,
            self.settings,
            self.events,
            hooks=self._hooks,
            pages=PageResponses(texts, render_page),
            scopes=dict(scopes),
            lifespan=self.lifespan,
        )
        self.router, self.resource_router = web.router, web.resource_router
        self.middleware_parts = web.middleware_parts
        self._handover, self._openapi_documents = web.handover, web.openapi_documents
        self._known_sessions = web.middleware_parts.request_auth.known_sessions
        forget.append(self._known_sessions.forget)
        if app is not None:
            self.install(app, prefix=prefix, protect=protect, public_paths=public_paths)
        elif protect or public_paths:
            raise ConfigurationError(
                "Without an app, protect and public_paths have no effect: use Descope(app, protect=True), or"
                " pass them to DescopeMiddleware"
            )

    def install(
        self, app: FastAPI, *, prefix: str = "", protect: bool = False, public_paths: Iterable[str] = ()
    ) -> None:
        """Add the router, the middleware and the OpenAPI security schemes to an app.

        Middleware that the app adds later wraps ours and does not see sessions. Middleware that it has added
        before is wrapped by ours, and sees our errors as responses. So does the middleware of mounted apps.

        Args:
            app: The app.
            prefix: The prefix of the paths of the plugin's routes.
            protect: Require a session for every request: also to WebSockets, mounted apps and FastAPI's own
                documentation. Only ``public_paths``, endpoints marked with ``@public``, and the routes for
                login, callback and logout are public.
            public_paths: Exact paths, or with ``/*`` at the end all paths below.

        Raises:
            ConfigurationError: A ``Descope`` is installed on the app already, a dependency of the app
                requires a session, so that the login would require one too, or there are public paths and
                no protection.
        """
        public_paths = tuple(public_paths)
        if public_paths and not protect:
            raise ConfigurationError(
                "public_paths has no effect, because every path is public: add protect=True"
            )
        if DescopeMiddleware in [cast("object", layer.cls) for layer in app.user_middleware]:
            raise ConfigurationError("Descope is already installed on this app")
        reject_guarded_login(app)
        app.include_router(self.router, prefix=prefix)
        if self.settings.resource is not None:  # matching one more router costs every request
            app.include_router(self.resource_router)
        app.add_middleware(DescopeMiddleware, descope=self, protect=protect, public_paths=public_paths)
        # The innermost middleware: middleware that is added later goes to the other end.
        app.user_middleware.append(Middleware(ErrorMiddleware, parts=self.middleware_parts))
        self.add_openapi_security(app)

    def __call__(self, *_connection: Annotated[object, Unreadable(_NOT_CALLABLE)]) -> NoReturn:
        """Raise ``ConfigurationError``: it is not the app, as in ``app = Descope(FastAPI())``.

        uvicorn calls what it has imported before it starts, other servers for the first connection.
        ``Depends(descope)`` raises the error when the route is declared.
        """
        raise ConfigurationError(_NOT_CALLABLE)

    def add_openapi_security(self, app: FastAPI) -> None:
        """Complete the OpenAPI document of an app.

        Adds the configured cookie names, the bearer alternative, a link to the login, and for guarded routes
        the responses 401, 403 and 503 and the extensions ``x-required-roles`` and others. Responses and
        extensions that the app has declared are kept.

        ``install`` does this. Call it for apps that ``Descope`` was not installed on: with the explicit form,
        and for mounted apps, which have documents of their own. Otherwise their documents have Descope's
        default cookie names only.
        """
        self._openapi_documents.complete(app)

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None]:
        """Fetch the keys while the app starts, and finish refreshes in flight before it stops.

        The router includes this lifespan, so ``include_router`` is enough. The app also starts if Descope is
        unreachable. Without a lifespan, everything happens when it is first needed.

        Raises:
            ConfigurationError: A route would be open by mistake: it has scopes of ``Security``, which are not
                checked, or a parameter like ``user: User``, it uses a dependency without effect, or it
                replaces one of the plugin's routes. Or the plugin's routes precede a route of the app with
                the same path, or their prefix has a path parameter. Without a lifespan, the requests fail
                instead.
        """
        if isinstance(app, FastAPI):  # the explicit form has not been checked yet
            reject_guarded_login(app)
        if isinstance(app, Starlette):
            self.middleware_parts.check_routes(app)
        if self.settings.public_url is None:
            logger.warning("fastapi_descope: %s", _DEVELOPMENT_MODE)
        try:
            async with self._core.warming():
                yield
        finally:
            await self.aclose()

    def ready(self, *, revocations: bool = False) -> bool:
        """Return whether the keys that verify sessions are loaded, for a readiness probe.

        Without keys every request with a session gets a 503. This method waits for nothing: if a fetch of the
        keys is due, it starts one in the background, which costs one call to Descope. After a failed fetch
        the next one is due a second later, and up to a minute later during an outage. Polling is therefore
        enough to become ready.

        An outage of Descope does not change the result while loaded keys may be used, for
        ``DESCOPE_JWKS_MAX_STALE`` seconds. Redis does not count: without it each process works alone.

        Args:
            revocations: Also require that this process has read the revocations of the fleet once. A process
                that starts while Redis cannot be reached knows none, and accepts the sessions of users who
                were revoked. With True, it is not ready until Redis is back. Later outages do not count. The
                lifespan of the app starts to read.

        Returns:
            True if there are keys that may be used, and the revocations are known if they are required.

        Raises:
            RuntimeError: There is no running event loop. FastAPI runs an endpoint without ``async`` in a
                thread that has none.
        """
        asyncio.get_running_loop()
        return self._core.verifier.has_keys() and (not revocations or self._core.revocations.are_known())

    async def start_session(self, request: Request, refresh_jwt: str) -> AuthSession:
        """Start a session in the browser that has sent ``request``, with a refresh token that the app holds.

        For tokens from Descope's management API, such as that of an impersonation. One call to Descope renews
        the token, so one that was revoked starts no session. The ``on_session`` and ``on_login`` hooks run,
        and the response of the request sets the cookies, which replace the session that the browser had.

        Call it in an ``async`` endpoint, before the response starts. The caller decides who may have the
        session: the token is enough.

        Args:
            request: The request.
            refresh_jwt: The refresh token.

        Returns:
            The new session.

        Raises:
            LoginRejected: The token is invalid, or its session has ended.
            CrossSiteRequest: A page of another site has sent the request.
            SessionTooLarge: The new tokens do not fit into cookies.
            UpstreamUnavailable: Descope cannot be reached, or its response is invalid.
            Forbidden: An ``on_session`` hook refuses the user.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        return (await self._handover.start_session(request, refresh_jwt)).session

    async def revoke_user(self, user_id: str) -> None:
        """End all sessions of a user in every process of the app, at once.

        Every token that Descope has issued to the user until now is refused: session tokens, refresh tokens,
        and access tokens of applications that act for the user. So are tokens that it issues later in the
        same second. Open WebSockets and event streams of the user are closed. A new login works.

        This counts in this app only, and makes no call to Descope. One round trip to Redis, if there is one.
        Without it, the other processes do not get to know of it. See ``DESCOPE_REVOCATION_TTL``.

        Args:
            user_id: ``User.id``. An unknown id has no effect.
        """
        await self._core.revocations.revoke_user(user_id)
        self.events.emit(UserRevoked(user_id, "app"))

    async def aclose(self) -> None:
        """Wait for refreshes, logins and logouts in flight, then close connections. The lifespan calls this.

        Waits at most ten seconds, or one second longer than a call to Descope may take, whichever is longer.
        The object can be used again afterwards: new connections are opened.
        """
        await self._core.aclose()

    @contextmanager
    def override_upstream(self, transport: "Transport", *, clock: Callable[[], float]) -> Generator[None]:
        """Replace Descope and the clock within a ``with`` block, to test an app that is built already.

        The block starts without cached keys, tokens, verdicts and refresh results. Refresh results are stored
        in this process, whichever store is configured. Settings, routes, hooks and subscribers stay, and
        tokens are verified as usual. Not for use while requests are being served.

        Args:
            transport: Receives the calls to Descope.
            clock: Returns epoch seconds.
        """
        builder = replace(
            self._core_builder, clock=clock, transport=transport, refresh_store=MemoryRefreshStore(clock)
        )
        former = self._core.replace(builder.build())
        self._known_sessions.bind(self._core)
        try:
            yield
        finally:
            self._core.replace(former)
            self._known_sessions.bind(self._core)


def _build_recorder(
    settings: DescopeSettings,
    clock: Callable[[], float],
    meter_provider: MeterProvider | None,
    tracer_provider: TracerProvider | None,
) -> Recorder:
    return Recorder(
        monotonic=monotonic_clock(clock),
        meter_provider=meter_provider,
        tracer_provider=tracer_provider,
        log=EventLog(base_url=settings.base_url),
        audit=AuditLog(
            service=settings.public_url or "development", project_id=settings.project_id, clock=clock
        ),
        shared_store=settings.redis_url is not None,
    )
