"""Kinds of pages, each a function from chance, a language and pictures to a page."""

from __future__ import annotations

from pagegen.html.kinds import business, running

KINDS = {**running.KINDS, **business.KINDS}
SHARES = {name: share for module in (running, business) for name, share in module.SHARES.items()}
