"""The plugin's pages for users: errors, the question for the organisation, and the forwarding page.

Only two values of the request appear in them, both escaped (CB-06, RT-15): the paths of login and logout, and
the validated parameters of a login. ``notp_page`` has the pages of an nOTP sign-in.
"""

from collections.abc import Mapping
from dataclasses import replace

from ..errors import (
    ConfigurationError,
    DescopeError,
    Forbidden,
    LoginRejected,
    SessionCheckFailed,
    SessionTooLarge,
    StepUpRequired,
    UpstreamUnavailable,
)
from ..page_texts import PageTexts
from ..pages import Html, Page, PageField, PageForm, PageLink

__all__ = [
    "confirmation_page",
    "error_page",
    "forwarding_page",
    "hidden_inputs",
    "home_link",
    "login_form",
    "organisation_page",
    "page_link",
    "page_of",
    "tenant_field",
    "turbo_page",
]


def page_of(texts: PageTexts, name: str, title: str, detail: str, *parts: PageForm | PageLink | Html) -> Page:
    """Return a page. Title and detail are plain text."""
    return Page(
        name=name,
        language=Html.escape(texts.language),
        direction=texts.direction,
        title=Html.escape(title),
        detail=Html.escape(detail),
        parts=parts,
    )


def error_page(
    texts: PageTexts,
    error: DescopeError,
    *,
    login_path: str | None,
    logout_path: str | None,
    home_path: str,
    can_retry: bool,
    has_session: bool,
) -> Page:
    """Return the page for ``error``, with links to continue.

    Args:
        texts: The texts.
        error: The error. Its detail is shown if it says more than its title.
        login_path: Target of the link to sign in; None hides the link.
        logout_path: Target of the form to sign out; None hides the form.
        home_path: Target of the link to the start page.
        can_retry: Whether the page may link to its own URL, to repeat the request after an outage.
        has_session: Whether the browser sent a session, so that the page can say that it is kept.
    """
    parts: list[PageForm | PageLink] = []
    if can_retry and isinstance(error, (UpstreamUnavailable, SessionCheckFailed)):
        parts.append(page_link(texts.again, ""))  # an empty href is the URL of the page itself
    elif login_path is not None and not isinstance(error, (ConfigurationError, SessionTooLarge)):
        is_step_up = isinstance(error, StepUpRequired)
        parts.append(page_link(texts.step_up if is_step_up else texts.sign_in_again, login_path))
    if logout_path is not None:
        button = Html.escape(texts.sign_out)
        parts.append(PageForm(action=Html.escape(logout_path), method="post", button=button))
    parts.append(home_link(texts, home_path))
    is_specific = error.detail != error.title
    detail = texts.translate(error.detail) if is_specific else _advice(texts, error, has_session=has_session)
    if isinstance(error, LoginRejected):
        detail = f"{detail} {texts.signed_in_as_before if has_session else texts.not_signed_in}"
    return replace(page_of(texts, "error", texts.title_of(error), detail, *parts), code=error.code)


def organisation_page(
    texts: PageTexts, *, login_path: str, carried: Mapping[str, str], is_invalid: bool
) -> Page:
    """Return the page that asks for a work e-mail or an organisation id.

    Args:
        texts: The texts.
        login_path: Where the form is submitted.
        carried: Validated parameters of the login, submitted along with the form.
        is_invalid: Whether the user has entered something that is neither.
    """
    detail = texts.organisation_invalid if is_invalid else texts.organisation_detail
    form = login_form(texts, login_path, carried, tenant_field(texts, ""))
    return page_of(texts, "organisation", texts.organisation_title, detail, form)


def confirmation_page(
    texts: PageTexts,
    *,
    login_path: str,
    home_path: str,
    carried: Mapping[str, str],
    is_crowded: bool = False,
) -> Page:
    """Return the page on which a user confirms a login that another site has begun.

    Args:
        texts: The texts.
        login_path: Where the form is submitted.
        home_path: Target of the link to the start page.
        carried: Validated parameters of the login. The user sees the organisation.
        is_crowded: Whether many such logins begin at the moment. Otherwise the user may be signed in.
    """
    tenant = carried.get("tenant")
    hidden = {name: value for name, value in carried.items() if name != "tenant"}
    shown = (tenant_field(texts, tenant),) if tenant else ()
    parts = login_form(texts, login_path, hidden, *shown), home_link(texts, home_path)
    if is_crowded:
        return page_of(texts, "confirmation", texts.crowded_title, texts.crowded_detail, *parts)
    detail = texts.confirm_detail_organisation if tenant else texts.confirm_detail
    return page_of(texts, "confirmation", texts.confirm_title, detail, *parts)


def forwarding_page(texts: PageTexts, url: str) -> Page:
    """Return a page that navigates to ``url``, so that the navigation is same-site."""
    link = page_link(texts.go_on, url)
    page = page_of(texts, "signed_in", texts.signed_in_title, texts.signed_in_detail, link)
    return replace(page, head=_refresh(url))


def turbo_page(page: Page, url: str | None, *, in_frame: bool) -> Page:
    """Return ``page`` with marks for Turbo.

    Args:
        page: The page.
        url: Where the browser navigates as soon as Turbo shows the page; None to stay.
        in_frame: Whether a frame has requested it. It replaces the whole page then.
    """
    marks = '<meta name="turbo-visit-control" content="reload">' if in_frame else ""
    return replace(page, head=Html(marks + (_refresh(url) if url else "")))


def home_link(texts: PageTexts, home_path: str) -> PageLink:
    """Return the link to the start page."""
    return PageLink(label=Html.escape(texts.home), url=Html.escape(home_path), is_quiet=True)


def hidden_inputs(values: Mapping[str, str]) -> Mapping[Html, Html]:
    """Return the hidden inputs of a form."""
    return {Html.escape(name): Html.escape(value) for name, value in values.items()}


def page_link(label: str, url: str, *, is_quiet: bool = False) -> PageLink:
    """Return a link."""
    return PageLink(label=Html.escape(label), url=Html.escape(url), is_quiet=is_quiet)


def login_form(
    texts: PageTexts,
    login_path: str,
    hidden: Mapping[str, str],
    *shown: PageField,
    button: str | None = None,
) -> PageForm:
    """Return the form that starts a login. ``button`` replaces the text of its button."""
    return PageForm(
        action=Html.escape(login_path),
        method="get",
        button=Html.escape(button or texts.go_on),
        hidden=hidden_inputs(hidden),
        fields=shown,
    )


def tenant_field(texts: PageTexts, tenant: str) -> PageField:
    """Return the field for a work e-mail or an organisation, which contains ``tenant``."""
    return PageField(
        name=Html("tenant"),
        label=Html.escape(texts.organisation_label),
        value=Html.escape(tenant),
        autocomplete=Html("username"),
        max_length=254,
    )


def _refresh(url: str) -> Html:
    return Html(f'<meta http-equiv="refresh" content="0;url={Html.escape(url)}">')


def _advice(texts: PageTexts, error: DescopeError, *, has_session: bool) -> str:
    """Return what the user can do about an error whose detail is only its title."""
    if has_session and isinstance(error, (UpstreamUnavailable, SessionCheckFailed)):
        return texts.advice_503_session
    if isinstance(error, SessionTooLarge):
        return f"{texts.session_kept if has_session else texts.not_signed_in} {texts.session_too_large}"
    if not has_session and isinstance(error, Forbidden):  # raised by a hook during a login
        return texts.advice_403_login
    return texts.details.get(error.code) or _advice_by_status(texts).get(error.status, "")


def _advice_by_status(texts: PageTexts) -> Mapping[int, str]:
    return {
        400: texts.advice_400,
        401: texts.advice_401,
        403: texts.advice_403,
        500: texts.advice_500,
        502: texts.advice_502,
        503: texts.advice_503,
    }
