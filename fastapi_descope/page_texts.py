"""The texts of the plugin's pages as a frozen value: one field for each text, in English by default."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from .errors import ConfigurationError, ConflictingCookies, DescopeError, LoginLoop

__all__ = ["ENGLISH", "PageTexts"]

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_PLACEHOLDER = re.compile(r"\{\w*\}")

_DETAILS = {
    "session_ended": "Please sign in again.",
    "too_many_attempts": "Please wait a minute, and try again.",
    "login_rejected": "You can start again. If that does not help, ask the people who run this application.",
    "step_up_required": "You are signed in, but this step needs your confirmation."
    " What you sent was not saved. Please confirm, and then send it again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTexts:
    """The texts of the pages in one language.

        german = PageTexts(language="de", sign_out="Abmelden", titles={"forbidden": "Kein Zugriff"})
        descope = Descope(app, texts=[german, PageTexts()])

    A field that is not given keeps its English text. The names of the fields are stable. ``{host}``,
    ``{name}`` and ``{time}`` are replaced. The texts are plain text: markup in them is shown, not
    interpreted.

    Messages for operators, about the configuration or a proxy, and problem documents are always in English.

    Attributes:
        language: The language tag of the texts, such as ``de`` or ``pt-BR``.
        direction: ``rtl`` for a language that is written from right to left.
        titles: The titles of error pages by error code. Without one, it is the title of the error's class.
        details: The sentences below these titles by error code, for errors without a sentence of their own.
            Without one, it is the advice for the status.

    Raises:
        ConfigurationError: The language is not a language tag, or a text has other placeholders than its
            English text.
    """

    language: str = "en"
    direction: Literal["ltr", "rtl"] = "ltr"
    titles: Mapping[str, str] = field(default_factory=dict[str, str])
    details: Mapping[str, str] = field(default_factory=lambda: dict(_DETAILS))

    # Links and buttons
    again: str = "Try again"
    go_on: str = "Continue"
    home: str = "Go to the start page"
    sign_in_again: str = "Sign in again"
    sign_out: str = "Sign out"
    step_up: str = "Confirm who you are"

    # Error pages: advice by status, and statements about the session
    advice_400: str = "Nothing was changed. Please go back and start again."
    advice_401: str = "You are not signed in, or your session has ended."
    advice_403: str = "You are signed in, but your account is not allowed to do this."
    advice_403_login: str = "Your account is not allowed to do this."
    advice_500: str = "Please tell the people who run this application."
    advice_502: str = "This is not your fault. Please try again in a moment."
    advice_503: str = "This is not your fault. Please try again in a moment."
    advice_503_session: str = "This is not your fault. You are still signed in. Please try again in a moment."
    not_signed_in: str = "You are not signed in."
    signed_in_as_before: str = "You are still signed in as before."
    session_kept: str = "You are still signed in, but this application cannot use the new session."
    session_too_large: str = (
        "Your account has more data than a browser can keep. Signing in again does not help. Please tell the"
        " people who run this application."
    )

    # Error pages: logins that did not succeed
    login_expired: str = "This sign-in has expired, was started in another browser, or was already used."
    login_refused: str = "The sign-in was cancelled, or your organisation refused it."
    login_without_code: str = "The sign-in service did not send a valid code."
    login_too_late: str = "The sign-in took too long, or was finished already."
    login_over: str = "This sign-in was refused, or its session has ended."
    login_started_elsewhere: str = (
        "Your organisation sent you here, but a sign-in has to begin in this application. Sign in again: if"
        " your organisation still knows you, it asks for no password."
    )
    login_other_address: str = (
        "You opened this application at another address than the one that it signs users in at. Open its"
        " usual address, and sign in there."
    )
    organisation_unknown: str = "This organisation is not known here, or has no single sign-on."
    not_a_member: str = "You are not a member of this organisation"
    loop_session: str = LoginLoop("session").detail
    loop_step_up: str = LoginLoop("step_up").detail
    loop_mfa: str = LoginLoop("mfa").detail
    two_sessions: str = ConflictingCookies().detail

    # The question for the organisation
    organisation_title: str = "Sign in"
    organisation_detail: str = "Your organisation decides how you sign in."
    organisation_invalid: str = "That is neither a work e-mail nor the id of an organisation."
    organisation_label: str = "Work e-mail or organisation"

    # The page that offers the ways to sign in
    login_title: str = "Sign in"
    login_detail: str = "Choose how you sign in."
    login_confirm_detail: str = "Sign in again to continue."
    login_sso: str = "Continue with single sign-on"
    login_provider: str = "Continue with {name}"
    login_unavailable: str = "This way to sign in is not available here."

    # A link by e-mail
    link_label: str = "E-mail"
    link_send: str = "E-mail me a link"
    link_again: str = "Use another way"
    link_sent_title: str = "Look in your mailbox"
    link_sent_detail: str = (
        "If this address is known here, an e-mail with a link is on its way. Open the link in this browser,"
        " within ten minutes."
    )
    link_title: str = "Finish signing in"
    link_detail: str = "You opened the link from your e-mail. Press the button to sign in to {host}."
    link_confirm: str = "Sign in"
    link_foreign_title: str = "Sign in with this browser?"
    link_foreign_detail: str = (
        "This link was not requested in this browser, or more than ten minutes ago. Continue only if you have"
        " requested it yourself: then you are signed in to {host} here, in this browser. If another person"
        " has sent you the link, do not continue."
    )
    link_foreign_confirm: str = "Sign in here"
    link_incomplete: str = "This link is not complete. Open it from the e-mail, or ask for a new one."
    link_invalid_address: str = "That is not an e-mail address."
    link_spent: str = "This link has expired, or was used already. Ask for a new one."

    # The confirmation of a login that another site has begun
    confirm_title: str = "Sign in again?"
    confirm_detail: str = (
        "Another site sent you here to sign in. If you were signed in, you still are. Continue only if you"
        " want to sign in again, possibly as another user."
    )
    confirm_detail_organisation: str = (
        "Another site sent you here to sign in at the organisation below. If you were signed in, you still"
        " are. Continue only if you want to sign in again, possibly as another user."
    )
    crowded_title: str = "Sign in?"
    crowded_detail: str = (
        "Other sites send many browsers here to sign in at the moment. Continue if you want to sign in."
    )

    # The page between a login and the app, if cookies are Strict
    signed_in_title: str = "Signed in"
    signed_in_detail: str = "One moment."

    # Signing in with WhatsApp
    notp_title: str = "Sign in with WhatsApp"
    notp_detail: str = (
        "Scan the code with your phone, or open WhatsApp on this device. Then send the prepared message."
    )
    notp_who: str = "The person who sends this message is signed in to {host}, in this browser."
    notp_warning: str = (
        "Do not show the code to other people, and do not scan a code that another person sent you."
    )
    notp_open: str = "Open WhatsApp"
    notp_waiting: str = "Waiting for your message."
    notp_time_left: str = "The code is valid for {time}."
    notp_expired: str = "This code has expired."
    notp_signed_in: str = "Signed in as {name}."
    notp_failed: str = "Signing in did not work."
    notp_sent: str = "I have sent the message"
    notp_check: str = "Check again"
    notp_restart: str = "Start again"
    notp_pending_title: str = "Not signed in yet"
    notp_pending_detail: str = (
        "Your message has not arrived yet. Send it, wait a few seconds, and check again. If you have not"
        " scanned the code yet, start again."
    )
    notp_unavailable: str = "Signing in with WhatsApp is not available here."

    def __post_init__(self) -> None:
        """Check the language and the placeholders."""
        if not _LANGUAGE.fullmatch(self.language):
            raise ConfigurationError("PageTexts: language is a language tag, such as 'de' or 'pt-BR'")
        for name, english in _english_texts().items():
            if set(_PLACEHOLDER.findall(english)) != set(_PLACEHOLDER.findall(getattr(self, name))):
                raise ConfigurationError(f"PageTexts: {name} has other placeholders than {english!r}")

    def title_of(self, error: DescopeError) -> str:
        """Return the title of the page for ``error``."""
        return self.titles.get(error.code, error.title)

    def translate(self, sentence: str) -> str:
        """Return the text for one of our English sentences. A sentence of the app is returned unchanged."""
        name = _NAMES.get(sentence)
        return sentence if name is None else str(getattr(self, name))


def _english_texts() -> dict[str, str]:
    """Return the defaults of the texts by name."""
    return {
        each.name: each.default
        for each in fields(PageTexts)
        if isinstance(each.default, str) and each.name not in {"language", "direction"}
    }


_NAMES = {english: name for name, english in _english_texts().items()}

ENGLISH = PageTexts()
"""The built-in texts. Errors of this package have their details from it, so that pages can translate them."""
