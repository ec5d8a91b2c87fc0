"""Kinds of pages, each a function from chance, a language and pictures to a page."""

from __future__ import annotations

from pagegen.html.kinds import business, running, spreads

KINDS = {**running.KINDS, **business.KINDS, **spreads.KINDS}
SHARES = {
    name: share for module in (running, business, spreads) for name, share in module.SHARES.items()
}
