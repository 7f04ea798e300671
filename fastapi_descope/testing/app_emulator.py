"""The emulator that serves one app under test. It plays the project that the app is configured for."""

from dataclasses import replace
from functools import cache

from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ..emulator import Emulator, Project, SigningKey
from ..settings import DescopeSettings
from .clients import EMULATOR_HOST

__all__ = ["AppEmulator"]


class AppEmulator(Emulator):
    """An emulator whose project id, audience and keys come from the app's settings.

    Args:
        settings: The settings of the app.
        origin: The app's origin. Logins may redirect to it.
        project: Tenants, users and options; None for the emulator's default project.
    """

    def __init__(self, settings: DescopeSettings, origin: str, project: Project | None) -> None:
        super().__init__(
            _adapt_project(project or Project(approved_redirects=()), settings, origin),
            base_url=settings.base_url,  # the app accepts an issuer URL only below its own base URL
            signing_key=_shared_signing_key().with_new_kid(),
        )

    @property
    @override
    def project(self) -> Project:
        """The current project."""
        return self._auth_server.project

    @project.setter
    def project(self, project: Project) -> None:
        """Replace the project while the app runs.

        Raises:
            ValueError: The project id differs from the one in the app's settings.
        """
        if project.project_id != self.project_id:
            raise ValueError(
                f"The app is configured for project {self.project_id}, so the emulator cannot change to"
                f" {project.project_id}. Use dataclasses.replace(emulator.project, ...) to keep the id."
            )
        self._auth_server.project = project

    async def accept_any_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whatever its ``Host``.

        The app sends the host of its ``DESCOPE_BASE_URL``; an emulator accepts loopback hosts only.
        """
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await self({**scope, "headers": [(b"host", EMULATOR_HOST.encode()), *headers]}, receive, send)


def _adapt_project(project: Project, settings: DescopeSettings, origin: str) -> Project:
    """Return the project with the id, audience and management key that the app expects."""
    key = settings.auth_management_key
    return replace(
        project,
        project_id=settings.project_id,
        audience=settings.audience,
        auth_management_key=key.get_secret_value() if key else None,
        approved_redirects=(*project.approved_redirects, origin),
    )


@cache
def _shared_signing_key() -> SigningKey:
    """Return the process's RSA key. Each emulator publishes it under its own key id.

    Generating a key takes longer than most tests.
    """
    return SigningKey.generate()
