"""The built-in look of the plugin's pages. It follows the colour scheme of the browser.

A page has inline styles, no external resources, and at most one script, so that it works while everything
else is down.
"""

from base64 import b64encode
from hashlib import sha256
from string import Template

from ..pages import Page

__all__ = ["STYLE_SOURCE", "html_document", "source_hash"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6474; --paper: #f5f6f8; --card: #fff;
  --line: #dfe3ea; --edge: #808a9b; --accent: #2456d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a3acbd; --paper: #12151c;
  --card: #1b202b; --line: #303849; --edge: #79849a; --accent: #8fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; padding: 2rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font-size: 1.25rem; line-height: 1.3; }
p { margin: 0 0 1.25rem; color: var(--soft); }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
input { width: 100%; margin-bottom: 1rem; padding: .6rem .75rem; font: inherit; color: inherit;
  background: transparent; border: 1px solid var(--edge); border-radius: .5rem; }
a, button { display: inline-block; padding: .6rem 1rem; border: 1px solid var(--accent);
  border-radius: .5rem; font: inherit; font-weight: 600; text-decoration: none; cursor: pointer;
  color: var(--card); background: var(--accent); }
.actions { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.actions > form:has(label), .actions > div { width: 100%; }
.login .actions { gap: .5rem; }
.login .actions > a { width: 100%; text-align: center; color: inherit; background: none;
  border-color: var(--edge); }
.login form:has(label):not(:last-child) { padding-bottom: 1rem; }
.login .actions > a + form { padding-top: 1rem; }
svg { display: block; width: 14rem; max-width: 100%; margin: 0 auto 1.25rem; }
[hidden] { display: none; }
a.quiet { padding-inline: 0; color: var(--accent); background: none; border-color: transparent; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

_DOCUMENT = Template(
    """<!doctype html>
<html lang="$language" dir="$direction">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$head<title>$title</title>
<style>$style</style>
</head>
<body>
<main class="$name">
<h1>$title</h1>
$detail
$content
</main>
</body>
</html>
"""
)


def source_hash(text: str) -> str:
    """Return the source expression of a Content-Security-Policy for an inline style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


STYLE_SOURCE = source_hash(_STYLE)
"""The style of the pages, as a source expression."""


def html_document(page: Page) -> str:
    """Return the document for ``page``."""
    return _DOCUMENT.substitute(
        name=page.name,
        language=page.language,
        direction=page.direction,
        head=page.head,
        title=page.title,
        style=_STYLE,
        detail=f"<p>{page.detail}</p>" if page.detail else "",
        content=page.content,
    )
