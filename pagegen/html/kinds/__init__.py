"""Kinds of pages, each a function from chance, a language and pictures to a page."""

from __future__ import annotations

from pagegen.html.kinds import business, foreign, money, official, running, spreads, technical

_MODULES = (running, business, official, money, technical, spreads, foreign)
KINDS = {name: kind for module in _MODULES for name, kind in module.KINDS.items()}
SHARES = {name: share for module in _MODULES for name, share in module.SHARES.items()}
"""How often each kind comes, in no unit."""
