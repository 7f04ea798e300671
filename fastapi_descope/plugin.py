"""``Descope``: builds the parts, and installs them into an app. Nothing else constructs parts."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from ._auth.authenticator import Authenticator
from ._auth.login import LoginFlow
from ._auth.token_service import TokenService
from ._refresh.coordinator import RefreshCoordinator
from ._refresh.store import MemoryRefreshStore, RefreshStore
from ._telemetry.otel import Telemetry
from ._tokens.claims import TokenPolicy
from ._tokens.verifier import TokenVerifier
from ._upstream.api import DescopeApi, Transport
from ._web.cookies import SessionCookies
from ._web.credentials import CredentialsReader
from ._web.csrf import CrossOriginProtection
from ._web.error_middleware import ErrorMiddleware
from ._web.error_responses import ErrorResponses
from ._web.hooks import require_async, require_sync
from ._web.login_transactions import LoginTransactions
from ._web.middleware import DescopeMiddleware
from ._web.openapi import describe_security
from ._web.public_origin import PublicOrigin
from ._web.redirects import RedirectPolicy
from ._web.request_auth import RequestAuthFactory
from ._web.routes.checks import raise_on_errors
from ._web.routes.login import LoginHook, LoginRoutes, OptionsHook
from ._web.routes.router import LOGIN_BEHIND_AUTH, build_router
from ._web.routes.session import SessionRoutes
from ._web.security_schemes import SessionScheme
from .errors import ConfigurationError
from .events import Event, EventBus
from .settings import DescopeSettings

__all__ = ["Descope"]

_DRAIN_SECONDS = 10.0
"""How long a shutdown waits for refreshes in flight, if no call may take longer."""

_LEASE_SECONDS = 5.0
"""How long a process that died holds up the next request (F8)."""


class Descope:
    """Single sign-on for a FastAPI app.

        app = FastAPI()
        descope = Descope(app)

    or, to mount things yourself,

        descope = Descope()
        app.include_router(descope.router, prefix="/auth")
        app.add_middleware(DescopeMiddleware, descope=descope)
        descope.describe(app)

    Settings come from ``DESCOPE_*`` variables unless ``settings`` is given; wrong ones raise
    ``ConfigurationError``. Nothing touches the network before the app starts or the first request comes.

    ``transport`` is an ``httpx.AsyncBaseTransport`` that takes the calls to Descope: in tests a fake, and in
    production the one way through a proxy, because those that the environment names are not heeded:
    ``transport=httpx.AsyncHTTPTransport(proxy="http://proxy.example:3128")``. ``clock`` is for tests; it
    returns epoch seconds and drives every expiry and every cache. ``refresh_store`` replaces the memory of
    refreshes, which is otherwise this process's own or, with ``DESCOPE_REDIS_URL``, the fleet's. An app
    that is built already is tested with ``fastapi_descope.testing``.
    """

    def __init__(
        self,
        app: FastAPI | None = None,
        *,
        settings: DescopeSettings | None = None,
        prefix: str = "",
        clock: Callable[[], float] = time.time,
        transport: Transport | None = None,
        refresh_store: RefreshStore | None = None,
    ) -> None:
        self.settings = settings if settings is not None else DescopeSettings()
        self.events = EventBus()
        self.events.subscribe(Telemetry(base_url=self.settings.base_url))
        self._hooks: list[LoginHook] = []
        self._options: list[OptionsHook] = []
        self._core = _build_core(self.settings, self.events, clock, transport, refresh_store)
        self._build_web()
        if app is not None:
            self.install(app, prefix=prefix)

    # ------------------------------------------------------------------ putting it into an app

    def install(self, app: FastAPI, *, prefix: str = "") -> None:
        """Add the router, the middleware and the OpenAPI security schemes to ``app``.

        ``prefix`` goes before the paths of the router. What the app adds as middleware later stands
        outside ours and does not see sessions; what it has already stands inside, and sees our errors as
        answers. A mounted app with a handler for every ``Exception`` answers our errors by itself, unless it
        answers 500. Raises ``ConfigurationError`` if the app has one already, or
        if a dependency of the whole app demands a session: the sign-in would need one too.
        """
        if DescopeMiddleware in [cast("object", layer.cls) for layer in app.user_middleware]:
            raise ConfigurationError("This app has a Descope already; one app has one, made once")
        _refuse_guard(app)
        app.include_router(self.router, prefix=prefix)
        app.add_middleware(DescopeMiddleware, descope=self)
        app.user_middleware.append(
            Middleware(ErrorMiddleware, errors=self.errors)
        )  # the innermost, and it stays
        self.add_openapi_security(app)

    def add_openapi_security(self, app: FastAPI) -> None:
        """Have the OpenAPI document of ``app`` name the cookies as configured, and the bearer beside them.

        ``install`` does it. For apps that it was not called with: that of the explicit form, and mounted
        ones, which have documents of their own. Without it routes show Descope's own cookie names alone.
        """
        settings = self.settings
        describe_security(app, session_cookie=settings.session_cookie, refresh_cookie=settings.refresh_cookie)

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None]:
        """Load the keys while the app starts, and land every refresh before it stops.

        The router brings it along, so ``include_router`` is enough. A Descope that cannot be reached
        does not keep the app from starting; without a lifespan everything happens when first needed.

        Raises ``ConfigurationError`` for routes that would let somebody in whom nobody meant to: scopes of
        ``Security`` that nothing checks, parameters like ``user: User``, and a route of the app's own in the
        place of one of the plugin's.
        """
        if isinstance(app, FastAPI):  # in the explicit form, which nobody looked at before
            _refuse_guard(app)
        if isinstance(app, Starlette):
            raise_on_errors(app)
        warming = asyncio.create_task(self._core.keys.warm())
        try:
            yield
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            await self.aclose()

    async def aclose(self) -> None:
        """Wait for refreshes in flight, then close connections.

        Ten seconds at most, or as long as a call may take and one more: whichever is longer.
        The lifespan does it. The object can be used again afterwards; connections are made anew.
        """
        await self._core.authenticator.aclose(max(_DRAIN_SECONDS, self.settings.upstream_timeout + 1))
        await self._core.keys.aclose()
        await self._core.client.aclose()
        await self._core.store.aclose()

    @contextmanager
    def override_upstream(self, transport: Transport, *, clock: Callable[[], float]) -> Generator[None]:
        """For tests of an app that is built already: another Descope and another clock behind it.

        For the length of a ``with`` all is as if ``transport`` and ``clock`` had been given to the
        constructor and nothing had happened yet: no key, token or refresh is remembered. Refreshes are
        remembered in this process, whatever store is configured. Settings, routes, hooks and subscribers
        stay, and whatever is verified otherwise is verified here. Not while requests are being served.
        """
        before = self._core
        self._use(_build_core(self.settings, self.events, clock, transport, MemoryRefreshStore(clock)))
        try:
            yield
        finally:
            self._use(before)

    # ------------------------------------------------------------------ hooks

    def on_login(self, hook: LoginHook) -> LoginHook:
        """Have ``hook(request, session)`` awaited after each login, before its cookies are set.

        It may provision the user in the app's own database. If it raises, nobody is signed in, and the
        event is ``LoginFailed``; the page shows the sentence of a ``LoginRejected``, or that of a
        ``NotAuthenticated``, which is the same here. A decorator; hooks run in order, once for each login,
        and to their end also if the browser does not wait. Raises ``ConfigurationError`` for a hook that is
        not ``async``.
        """
        require_async(hook, "on_login")
        self._hooks.append(hook)
        return hook

    def login_options(self, hook: OptionsHook) -> OptionsHook:
        """Have ``hook(request)`` awaited as each login begins: what it is to ask for beyond an identity.

        It returns ``LoginOptions``, or None. A decorator. Nobody needs to be signed in by then:
        ``get_auth_session`` may give None, and a ``NotAuthenticated`` of the hook is a mistake of the app
        (500).
        Raises ``ConfigurationError`` for a second hook, because a login has one set of options, and for one
        that is not ``async``.
        """
        require_async(hook, "login_options")
        if self._options:
            raise ConfigurationError("login_options is there already; let one hook decide")
        self._options.append(hook)
        return hook

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Have ``subscriber`` called with every event (``fastapi_descope.events``); the result ends that.

        It runs inside the request, so it must not block. What it raises is logged and swallowed. Raises
        ``ConfigurationError`` for an ``async`` one, which nobody would await.
        """
        require_sync(subscriber)
        return self.events.subscribe(subscriber)

    # ------------------------------------------------------------------ building the parts

    def _use(self, core: "_Core") -> None:
        """Exchange what the web wing works with: ``Sessions`` is all that holds on to the core."""
        self._core = core
        self.sessions.authenticator, self.sessions.login_flow = core.resolver, core.authenticator
        self.sessions.clock = core.clock

    def _build_web(self) -> None:
        settings, events = self.settings, self.events
        cookies, public_origin = SessionCookies(settings), PublicOrigin(settings)
        redirects = RedirectPolicy(settings)
        self.sessions = RequestAuthFactory(
            authenticator=self._core.resolver,
            login_flow=self._core.authenticator,
            reader=CredentialsReader(settings),
            cookies=cookies,
            csrf=CrossOriginProtection(settings),
            events=events,
            clock=self._core.clock,
            leeway=settings.leeway,
        )
        self.errors = ErrorResponses(public_origin, redirects)
        login = LoginRoutes(
            settings=settings,
            transactions=LoginTransactions(),
            cookies=cookies,
            public_origin=public_origin,
            redirects=redirects,
            events=events,
            options=self._options,
            hooks=self._hooks,
        )
        session = SessionRoutes(settings=settings, redirects=redirects, events=events)
        self.router = build_router(login, session, self.lifespan)


def _refuse_guard(app: FastAPI) -> None:
    if any(isinstance(each.dependency, SessionScheme) for each in app.router.dependencies):
        raise ConfigurationError(LOGIN_BEHIND_AUTH)


@dataclass(frozen=True, slots=True)
class _Core:
    """The parts that know Descope or the time."""

    clock: Callable[[], float]
    client: DescopeApi
    keys: TokenVerifier
    store: RefreshStore
    resolver: Authenticator
    authenticator: LoginFlow


def _build_core(
    settings: DescopeSettings,
    events: EventBus,
    clock: Callable[[], float],
    transport: Transport | None,
    store: RefreshStore | None,
) -> _Core:
    # An injected clock drives the ages of caches too, so that a test moves one hand; in production
    # they go by a clock that nobody can set back (RF-17).
    monotonic = time.monotonic if clock is time.time else clock
    client = _client(settings, events, monotonic, transport)
    keys = _keys(settings, events, clock, monotonic, client)
    store = store if store is not None else _store(settings, events, monotonic)
    pairs = TokenService(client, keys, events=events, clock=clock)
    refresher = RefreshCoordinator(
        store=store,
        exchange=pairs.refresh,
        verify=pairs.verify,
        events=events,
        clock=clock,
        grace=settings.refresh_grace,
        # Long enough for the call of another process, and for the lease of one that died.
        wait_timeout=max(settings.upstream_timeout, _LEASE_SECONDS) + 1,
    )
    resolver = Authenticator(
        verifier=keys,
        coordinator=refresher,
        events=events,
        clock=clock,
        refresh_ahead=settings.refresh_ahead,
    )
    authenticator = LoginFlow(
        api=client, tokens=pairs, authenticator=resolver, coordinator=refresher, events=events
    )
    return _Core(clock, client, keys, store, resolver, authenticator)


def _client(
    settings: DescopeSettings,
    events: EventBus,
    monotonic: Callable[[], float],
    transport: Transport | None,
) -> DescopeApi:
    return DescopeApi(
        base_url=settings.base_url,
        project_id=settings.project_id,
        management_key=settings.auth_management_key,
        timeout=settings.upstream_timeout,
        transport=transport,
        monotonic=monotonic,
        events=events,
    )


def _keys(
    settings: DescopeSettings,
    events: EventBus,
    clock: Callable[[], float],
    monotonic: Callable[[], float],
    client: DescopeApi,
) -> TokenVerifier:
    return TokenVerifier(
        client.keys,
        policy=_policy(settings),
        clock=clock,
        monotonic=monotonic,
        events=events,
        max_stale=settings.jwks_max_stale,
        cache_size=settings.token_cache_size,
    )


def _policy(settings: DescopeSettings) -> TokenPolicy:
    """A project that renames its cookies names them in the tokens too (wire contract 3.2, ``drn``)."""
    return TokenPolicy(
        project_id=settings.project_id,
        issuers=settings.issuers,
        audience=settings.audience,
        session_names=frozenset({"DS", settings.session_cookie_name}) - {settings.refresh_cookie_name},
        refresh_names=frozenset({"DSR", settings.refresh_cookie_name}) - {settings.session_cookie_name},
        leeway=settings.leeway,
    )


def _store(settings: DescopeSettings, events: EventBus, monotonic: Callable[[], float]) -> RefreshStore:
    """The fleet's store, if there is a Redis; the process's own otherwise."""
    if settings.redis_url is None:
        # Longer than any refresh takes, its verification included: nobody else is there to take over.
        lease_seconds = 2 * settings.upstream_timeout + _DRAIN_SECONDS
        return MemoryRefreshStore(monotonic, lease_seconds=lease_seconds)
    try:
        from ._refresh.redis.store import RedisRefreshStore  # noqa: PLC0415 - needs the extra, asked for by name
    except ModuleNotFoundError:
        raise ConfigurationError(
            "DESCOPE_REDIS_URL is set, and the redis package is not installed:"
            " pip install 'fastapi-descope[redis]'"
        ) from None
    return RedisRefreshStore(
        settings.redis_url,
        project_id=settings.project_id,
        events=events,
        monotonic=monotonic,
        lease_seconds=_LEASE_SECONDS,
    )
