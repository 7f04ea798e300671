"""The pages of a sign-in by e-mail. They have no script."""

from ..page_texts import PageTexts
from ..pages import Html, Page, PageField, PageForm
from .pages import hidden_inputs, home_link, page_link, page_of

__all__ = ["link_form", "link_page", "sent_page"]


def link_form(texts: PageTexts, path: str, return_to: str) -> PageForm:
    """Return the form that asks for an e-mail address."""
    field = PageField(
        name=Html("email"),
        label=Html.escape(texts.link_label),
        autocomplete=Html("email"),
        max_length=254,
    )
    return PageForm(
        action=Html.escape(path),
        method="post",
        button=Html.escape(texts.link_send),
        hidden=hidden_inputs({"return_to": return_to}),
        fields=(field,),
    )


def sent_page(texts: PageTexts, login_path: str) -> Page:
    """Return the page after that form. It does not say whether the address is known (ML-02)."""
    again = page_link(texts.link_again, login_path, is_quiet=True)
    return page_of(texts, "link_sent", texts.link_sent_title, texts.link_sent_detail, again)


# ML-03, ML-04
def link_page(
    texts: PageTexts, *, host: str, path: str, state: str, token: str, home_path: str, is_own: bool
) -> Page:
    """Return the page that the link opens, with one button.

    Args:
        texts: The texts.
        host: The host of the app, to which the user is signed in.
        path: Where the form is sent.
        state: Selects the login cookie.
        token: The token of the link.
        home_path: Target of the link to the start page.
        is_own: Whether this browser has asked for the link.
    """
    form = PageForm(
        action=Html.escape(path),
        method="post",
        button=Html.escape(texts.link_confirm if is_own else texts.link_foreign_confirm),
        hidden=hidden_inputs({"state": state, "token": token}),
    )
    if is_own:
        detail = texts.link_detail.replace("{host}", host)
        return page_of(texts, "link", texts.link_title, detail, form)
    detail = texts.link_foreign_detail.replace("{host}", host)
    return page_of(texts, "link_foreign", texts.link_foreign_title, detail, form, home_link(texts, home_path))
