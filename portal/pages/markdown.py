"""Shows Markdown that somebody else wrote, safely."""

import posixpath
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

import nh3
import yaml
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

# HTML inside Markdown is shown as text, so what nh3 sees is what the renderer made.
_RENDERER = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .use(front_matter_plugin)
)
# No images: the portal loads nothing from elsewhere, so they could only be broken.
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote"),
    *("ul", "ol", "li", "pre", "code", "em", "strong", "s", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}


@lru_cache(maxsize=128)  # the same few texts are read again and again, 20 ms each
def rendered(text: str, path: str = "", beside: frozenset[str] = frozenset()) -> SafeString:
    """HTML of `text` that cannot run anything, load anything, or leave the page's frame.

    path: of the file that the text is from. beside: paths of the other files of the proposal;
    links to them lead to their place on the files tab, other relative links lead nowhere.
    """
    tokens = _RENDERER.parse(text)
    for link in _links(tokens):
        link.attrSet("href", _address(str(link.attrGet("href") or ""), path, beside))
    # nh3 parses the HTML and rebuilds it from the allowed tags alone.
    return SafeString(
        nh3.clean(
            _RENDERER.renderer.render(tokens, _RENDERER.options, {}),
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer",
        )
    )


def front_matter(text: str) -> list[tuple[str, str]]:
    """What stands between the dashes at the top; empty when there is nothing usable."""
    for token in _RENDERER.parse(text)[:1]:
        if token.type == "front_matter":
            try:
                read = yaml.safe_load(token.content)
            except yaml.YAMLError:
                return []
            if isinstance(read, dict):
                return [(str(key), _said(value)) for key, value in read.items()]
    return []


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _links(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        if token.type == "link_open":
            yield token
        yield from _links(token.children or ())


def _address(href: str, path: str, beside: frozenset[str]) -> str:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return href
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
    return "?" + urlencode({"tab": "files", "file": target}) if target in beside else ""
