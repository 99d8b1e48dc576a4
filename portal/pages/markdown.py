"""Shows Markdown that somebody else wrote, safely."""

from typing import Any

import nh3
import yaml
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
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


def rendered(text: str) -> SafeString:
    """HTML of `text` that cannot run anything, load anything, or leave the page's frame."""
    html = _RENDERER.render(text)
    # nh3 has parsed it and rebuilt it from the allowed tags alone.
    return SafeString(
        nh3.clean(
            html,
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer",
        )
    )


def front_matter(text: str) -> dict[str, Any]:
    """What stands between the dashes at the top; empty when there is nothing usable."""
    for token in _RENDERER.parse(text)[:1]:
        if token.type == "front_matter":
            try:
                read = yaml.safe_load(token.content)
            except yaml.YAMLError:
                return {}
            return read if isinstance(read, dict) else {}
    return {}
