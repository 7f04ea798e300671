"""The emulator behind one app: it plays the project that the app is configured for, and no other."""

from dataclasses import replace
from functools import cache

from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ..emulator import Emulator, Project, SigningKey
from ..settings import DescopeSettings
from .clients import EMULATOR_HOST

__all__ = ["AppEmulator"]


class AppEmulator(Emulator):
    """Plays ``project`` (the emulator's default one without) under the id and with the keys of the settings.

    ``origin`` is where the app is reached: sign-ins may lead back there.
    """

    def __init__(self, settings: DescopeSettings, origin: str, project: Project | None) -> None:
        fitted = _fitted(project or Project(approved_redirects=()), settings, origin)
        super().__init__(
            fitted,
            base_url=settings.base_url,  # what the app expects of an issuer that is an address
            signing_key=_signing_key().with_new_kid(),
        )

    @property
    @override
    def project(self) -> Project:
        """The project as it is now."""
        return self._auth_server.project

    @project.setter
    def project(self, project: Project) -> None:
        """Change it while the app runs. Raises ValueError for another id: the app would know none of it."""
        if project.project_id != self.project_id:
            raise ValueError(
                f"The app is configured for the project {self.project_id}, so the emulator behind it cannot"
                f" become {project.project_id}: dataclasses.replace(emulator.project, ...) keeps the rest"
            )
        self._auth_server.project = project

    async def on_loopback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer under whichever address the app has for Descope: an emulator answers to the loopback."""
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await self({**scope, "headers": [(b"host", EMULATOR_HOST.encode()), *others]}, receive, send)


def _fitted(project: Project, settings: DescopeSettings, origin: str) -> Project:
    """The project, so that the app works with it."""
    key = settings.auth_management_key
    return replace(
        project,
        project_id=settings.project_id,
        audience=settings.audience,
        auth_management_key=key.get_secret_value() if key else None,
        approved_redirects=(*project.approved_redirects, origin),
    )


@cache
def _signing_key() -> SigningKey:
    """One for all emulators of a process, under another id in each: to make it takes longer than a test."""
    return SigningKey.generate()
