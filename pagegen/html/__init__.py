"""Pages of every kind by HTML and CSS, set by Chromium, with exact regions and words."""

from pagegen.html.job import generate

__all__ = ["generate"]
