"""The plugin's pages as frozen values, for an app that renders them with its own template.

Every text in them is HTML that is escaped already, so that a template shows it safely whether or not it
escapes: a template that does, such as Jinja2's, knows from ``__html__`` that nothing is left to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from starlette.requests import Request

__all__ = ["Html", "Page", "PageField", "PageForm", "PageLink", "RenderPage"]


# BP-02
class Html(str):
    """HTML that is safe to insert into a page."""

    __slots__ = ()

    @classmethod
    def escape(cls, text: str) -> "Html":
        """Return plain text as HTML, also for the value of an attribute in quotes.

        Lone surrogates, which no response can contain, become question marks.
        """
        return cls(escape(text.encode(errors="replace").decode()))

    def __html__(self) -> str:
        """Return the HTML. Template engines do not escape an object with this method."""
        return self


_NO_HTML = Html()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """A link of a page. In a template, ``{{ link }}`` is the element.

    Attributes:
        label: The text of the link.
        url: The target. An empty one is the page itself, to load it again.
        is_quiet: Whether it is less important than the other links and buttons of the page.
    """

    label: Html
    url: Html
    is_quiet: bool = False

    def __html__(self) -> str:
        """Return the element."""
        quiet = ' class="quiet"' if self.is_quiet else ""
        return f'<a{quiet} href="{self.url}">{self.label}</a>'


@dataclass(frozen=True, slots=True, kw_only=True)
class PageField:
    """A text field of a form. In a template, ``{{ field }}`` is the label and the input.

    Attributes:
        name: The name of the input, which is also its id.
        label: The text of the label.
        value: The initial value.
        autocomplete: The value of the attribute of that name.
        max_length: The limit on the number of characters.
    """

    name: Html
    label: Html
    value: Html = field(default=_NO_HTML, repr=False)
    autocomplete: Html = _NO_HTML
    max_length: int

    def __html__(self) -> str:
        """Return the label and the input."""
        return (
            f'<label for="{self.name}">{self.label}</label>'
            f'<input id="{self.name}" name="{self.name}" value="{self.value}" required'
            f' maxlength="{self.max_length}" autocomplete="{self.autocomplete}" autocapitalize="none"'
            ' spellcheck="false" autofocus>'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageForm:
    """A form of a page, with one button. In a template, ``{{ form }}`` is the element.

    Attributes:
        action: Where the form is sent.
        method: ``get`` or ``post``.
        button: The text of the button.
        hidden: The hidden inputs by name. A form without them does not work.
        fields: The text fields.
    """

    action: Html
    method: Literal["get", "post"]
    button: Html
    hidden: Mapping[Html, Html] = field(default_factory=dict[Html, Html], repr=False)
    fields: tuple[PageField, ...] = ()

    def __html__(self) -> str:
        """Return the element."""
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{value}">' for name, value in self.hidden.items()
        )
        shown = "".join(each.__html__() for each in self.fields)
        return (
            f'<form action="{self.action}" method="{self.method}">{hidden}{shown}'
            f"<button>{self.button}</button></form>"
        )


# LG-02: the parts of some pages contain a state or an e-mail address, so repr does not show them.
@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the plugin. Every text in it is HTML that is escaped already.

    A template needs ``title``, ``detail``, ``content`` and, in the ``head`` element, ``head``. Instead of
    ``content`` it can render the ``parts``.

    Attributes:
        name: Which page it is: ``error``, ``organisation``, ``confirmation``, ``login``, ``link_sent``,
            ``link``, ``link_foreign``, ``signed_in``, ``notp`` or ``notp_pending``.
        language: The language of the texts, for the attribute ``lang`` of ``html``.
        direction: ``ltr`` or ``rtl``, for the attribute ``dir`` of ``html``.
        title: The title and the heading.
        detail: A sentence below the heading, or "".
        parts: The forms and links in their order, and as HTML whatever else the page has.
        code: The code of the error, or "".
        head: Elements for the ``head`` of the document, or "". A page without them does not work.
        script: The script of the page, or "". ``content`` includes it, and the policy of the response allows
            exactly it.
    """

    name: str
    language: Html
    direction: Literal["ltr", "rtl"]
    title: Html
    detail: Html = field(repr=False)
    parts: tuple[PageForm | PageLink | Html, ...] = field(repr=False)
    code: str = ""
    head: Html = field(default=_NO_HTML, repr=False)
    script: Html = field(default=_NO_HTML, repr=False)

    @property
    def content(self) -> Html:
        """The forms, the links and the script of the page."""
        parts = "".join(part.__html__() for part in self.parts)
        script = f"\n<script>{self.script}</script>" if self.script else ""
        return Html(f'<div class="actions">{parts}</div>{script}')

    @property
    def posts(self) -> bool:
        """Whether the page sends a POST request to this app, by a form or by its script."""
        forms = (part for part in self.parts if isinstance(part, PageForm))
        return bool(self.script) or any(form.method == "post" for form in forms)


RenderPage = Callable[[Request, Page], str]
"""Returns the HTML document for a page. It must not block, and must not need a session."""
