"""The page that offers the ways to sign in. It has no script, and each way is a link or a form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from ..page_texts import PageTexts
from ..pages import Page, PageForm, PageLink
from .magic_link_page import link_form
from .pages import login_form, page_link, page_of, tenant_field

__all__ = ["LoginPage"]

_NAMES: Mapping[str, str] = {"github": "GitHub", "gitlab": "GitLab", "linkedin": "LinkedIn"}
"""Providers whose names are not their capitalised ids."""


# SI-05
@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPage:
    """The page. The paths are those of the ways that the app offers, None for others.

    Attributes:
        sso_path: Where the form with the work e-mail is submitted.
        social_paths: The paths of social logins by provider.
        link_path: Where the form that asks for a link by e-mail is submitted.
        notp_path: The page of the sign-in with WhatsApp.
        return_to: Where the login ends; validated.
        params: Further validated parameters of the login.
        tenant: The tenant that the form suggests.
        is_confirmation: Whether a signed-in user confirms who they are: then the tenant is that of the
            session, and the form does not ask for it. Ways that confirm nothing are not offered.
    """

    sso_path: str | None
    social_paths: Mapping[str, str]
    link_path: str | None
    notp_path: str | None
    return_to: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    tenant: str = field(default="", repr=False)
    is_confirmation: bool = False

    def page(self, texts: PageTexts) -> Page:
        """Return the page."""
        title, detail = texts.login_title, texts.login_detail
        if self.is_confirmation:
            title, detail = texts.step_up, texts.login_confirm_detail
        parts: list[PageForm | PageLink] = []
        if self.sso_path is not None:
            parts.append(self._sso_form(texts, self.sso_path))
        parts += self._links(texts)
        if self.link_path is not None and not self.is_confirmation:
            parts.append(link_form(texts, self.link_path, self.return_to))
        return page_of(texts, "login", title, detail, *parts)

    @property
    def _carried(self) -> Mapping[str, str]:
        return {"return_to": self.return_to, **self.params}

    def _sso_form(self, texts: PageTexts, path: str) -> PageForm:
        if self.is_confirmation:
            return login_form(texts, path, self._carried, button=texts.login_sso)
        return login_form(texts, path, self._carried, tenant_field(texts, self.tenant))

    def _links(self, texts: PageTexts) -> list[PageLink]:
        targets = {_name(provider): path for provider, path in self.social_paths.items()}
        if self.notp_path is not None and not self.is_confirmation:
            targets["WhatsApp"] = self.notp_path
        query = urlencode(self._carried)
        return [
            page_link(texts.login_provider.replace("{name}", name), f"{path}?{query}")
            for name, path in targets.items()
        ]


def _name(provider: str) -> str:
    return _NAMES.get(provider, provider.capitalize())
