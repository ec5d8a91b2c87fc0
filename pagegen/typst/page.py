"""A page of any setting, as typst source."""

from __future__ import annotations

import random
from pathlib import Path

from pagegen.text import Corpus
from pagegen.typst.papers.writer import write_paper
from pagegen.typst.typeset import Page, write_plain


def write_page(
    rng: random.Random,
    *,
    language: str,
    setting: str,
    share: float,
    corpus: Corpus | None,
    folder: Path,
    name: str,
) -> Page:
    """One page's source, its marks and style; images that it shows are put in ``folder``.

    Args:
        rng: what the page is drawn from.
        language: ``en``, ``zh`` or ``mixed``.
        setting: ``plain``, ``papers`` or ``text_matters``.
        share: ``text_matters``: fraction of the regions that look alike.
        corpus: text of the user's own, or None.
        folder: where pictures go.
        name: of the page, for its pictures.
    """
    if language == "mixed":
        if setting == "papers":
            language = "zh" if rng.random() < 0.33 else "en"
        else:
            language = rng.choice(["en", "zh"])
    if setting == "papers":
        return write_paper(rng, language=language, corpus=corpus, folder=folder, name=name)
    return write_plain(
        rng,
        language=language,
        setting=setting,
        share=share,
        corpus=corpus,
        folder=folder,
        name=name,
    )
