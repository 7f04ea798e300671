"""``Descope``: builds the parts, and installs them into an app. Nothing else constructs parts."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from ._auth.core import build_core
from ._refresh.store import MemoryRefreshStore, RefreshStore
from ._telemetry.otel import Telemetry
from ._upstream.api import Transport
from ._web.cookies import SessionCookies
from ._web.credentials import CredentialsReader
from ._web.csrf import CrossOriginProtection
from ._web.error_responses import ErrorResponses
from ._web.hooks import LoginHook, OptionsHook, require_async, require_sync
from ._web.login_transactions import LoginTransactions
from ._web.middleware import DescopeMiddleware, ErrorMiddleware, MiddlewareParts
from ._web.openapi import SessionScheme, describe_security
from ._web.public_origin import PublicOrigin
from ._web.redirects import RedirectPolicy
from ._web.request_auth import RequestAuthFactory
from ._web.routes.checks import raise_on_errors
from ._web.routes.login import LoginRoutes
from ._web.routes.router import LOGIN_BEHIND_AUTH, build_router
from ._web.routes.session import SessionRoutes
from .errors import ConfigurationError
from .events import EventBus, Subscriber
from .settings import DescopeSettings

__all__ = ["Descope"]


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
        self._core = build_core(
            self.settings, self.events, clock=clock, transport=transport, store=refresh_store
        )
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
        # The innermost middleware: later ones are added at the other end.
        app.user_middleware.append(
            Middleware(ErrorMiddleware, error_responses=self.middleware_parts.error_responses)
        )
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
        warming = asyncio.create_task(self._core.verifier.warm())
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
        await self._core.aclose()

    @contextmanager
    def override_upstream(self, transport: Transport, *, clock: Callable[[], float]) -> Generator[None]:
        """For tests of an app that is built already: another Descope and another clock behind it.

        For the length of a ``with`` all is as if ``transport`` and ``clock`` had been given to the
        constructor and nothing had happened yet: no key, token or refresh is remembered. Refreshes are
        remembered in this process, whatever store is configured. Settings, routes, hooks and subscribers
        stay, and whatever is verified otherwise is verified here. Not while requests are being served.
        """
        store = MemoryRefreshStore(clock)
        other = build_core(self.settings, self.events, clock=clock, transport=transport, store=store)
        former = self._core.replace(other)
        try:
            yield
        finally:
            self._core.replace(former)

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

    def on_event(self, subscriber: Subscriber) -> Subscriber:
        """Register a function that is called with every event of ``fastapi_descope.events``. A decorator.

        It runs inside the request, so it must not block. An exception that it raises is logged and ignored.

        Raises:
            ConfigurationError: The function is ``async``: it would never be awaited.
        """
        require_sync(subscriber, "on_event")
        self.events.subscribe(subscriber)
        return subscriber

    # ------------------------------------------------------------------ building the parts

    def _build_web(self) -> None:
        settings, events = self.settings, self.events
        cookies, public_origin = SessionCookies(settings), PublicOrigin(settings)
        redirects = RedirectPolicy(settings)
        factory = RequestAuthFactory(
            core=self._core,
            reader=CredentialsReader(settings),
            cookies=cookies,
            csrf=CrossOriginProtection(settings),
            events=events,
            leeway=settings.leeway,
        )
        self.middleware_parts = MiddlewareParts(factory, ErrorResponses(public_origin, redirects))
        login = LoginRoutes(
            core=self._core,
            settings=settings,
            transactions=LoginTransactions(),
            cookies=cookies,
            public_origin=public_origin,
            redirects=redirects,
            events=events,
            options=self._options,
            hooks=self._hooks,
        )
        session = SessionRoutes(core=self._core, settings=settings, redirects=redirects, events=events)
        self.router = build_router(login, session, self.lifespan)


def _refuse_guard(app: FastAPI) -> None:
    if any(isinstance(each.dependency, SessionScheme) for each in app.router.dependencies):
        raise ConfigurationError(LOGIN_BEHIND_AUTH)
