"""The files of the page, from the package: no path of a request is ever looked up on disk."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from typing import Any

FILES = {
    "/": ("page/page.html", "text/html"),
    "/page.css": ("page/page.css", "text/css"),
    "/docs.css": ("page/docs.css", "text/css"),
    "/house.css": ("house.css", "text/css"),
    "/page.js": ("page/page.js", "text/javascript"),
    "/viewer.js": ("page/viewer.js", "text/javascript"),
    "/icon.svg": ("page/icon.svg", "image/svg+xml"),
}
"""Path of a request → file, and its type."""


def read_asset(name: str) -> str:
    """The text of a file: of this room, or the style that all pages of lmv3det share."""
    if name == "house.css":
        folder = resources.files("lmv3det.visualization") / "templates"
    else:
        folder = resources.files("lmv3det.serve")
    return folder.joinpath(name).read_text(encoding="utf-8")


def docs_page(openapi: dict[str, Any]) -> str:
    """The API's description as a page without scripts.

    Swagger UI and Redoc are loaded from the network, or are megabytes, and need a looser
    Content-Security-Policy.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lmv3det.serve", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment.get_template("docs.html").render(api=openapi)


def _code(text: str) -> Any:
    """Text as HTML, what stands between backticks as code."""
    from markupsafe import Markup

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split()))))
