"""Which fonts the machine has for which script."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from functools import lru_cache

SCRIPTS = {
    "latin": "fr:lang=de:lang=pl",
    "vi": "vi",
    "cyrillic": "ru:lang=uk",
    "greek": "el",
    "zh": "zh-cn",
    "ja": "ja",
    "ko": "ko",
    "ar": "ar",
    "he": "he",
}
OF_LANGUAGE = {"vi": "vi", "ru": "cyrillic", "uk": "cyrillic", "bg": "cyrillic", "el": "greek",
               "zh": "zh", "ja": "ja", "ko": "ko", "ar": "ar", "he": "he"}  # fmt: skip
_ODD = re.compile(
    r"symbol|icon|awesome|emoji|math|ornament|dingbat|braille|music|d050000l|fallback|ext[ab]\b|"
    r"lisu|material|elusive|barcode|standard symbols|noto (sans|serif) (?!display|mono|cjk|"
    r"arabic|hebrew|thaana)[a-z]|nastaliq urdu|\bodd\b|mplus "
    r"1c|kouzan|\bcaps\b|smallcaps|upright italic|initials|"
    r"slanted|unslanted|titling|keyboard|babel|colored|quran|thin\b|rashi|stam "
    r"|elegante|ellhnikh|kacsttitlel|\bdecorative\b", re.I
)  # fmt: skip
_SHOW = re.compile(
    r"lobster|dancing|script|brush|kaushan|leckerli|comfortaa|bebas|oswald|league|humor|hand|"
    r"chancery|z003|beteckna|okolaks|isabella|ocr|rufscript|femkeklaver|breip|tomson|radis|jura|"
    r"osifont|pecita|irianis|kaffeesatz|dustin|domestic|staypuft|jsquare|mg open|kalapi|didot|"
    r"linex|mekanus|alarm|neo|rise|arkpandora|yanone|rekha|chilanka|keraleeyam|manjari|uroob", re.I
)  # fmt: skip
_MONO = re.compile(r"mono|courier|code|hack|inconsolata|typewriter|console|cursor|hermit|tlwgmono|"
                   r"typist|typo\b", re.I)  # fmt: skip
_SERIF = re.compile(
    r"serif|roman|times|garamond|caladea|libertine|bookman|schola|termes|pagella|bonum|palladio|"
    r"c059|p052|stix|vollkorn|junicode|didot|porson|gentium|charis|goudy|prociono|oldstandard|"
    r"old standard|baskervald|accanthis|berenis|romande|tribun|song|ming|sung|kai|mincho|"
    r"tinos|amiri|frank|david|ezra|naskh|century|book\b|linux l|nimbus rom|cmu (?!sans|bright)|"
    r"pt serif|playfair|solothurn|lmroman|latin modern roman", re.I
)  # fmt: skip


USUAL = re.compile(
    r"liberation|carlito|caladea|dejavu|nimbus|texgyre|tex gyre|open sans|lato|roboto|noto s|"
    r"arimo|tinos|free(sans|serif)|pt s|linux (libertine|biolinum) o|garamond|ubuntu|clear sans|"
    r"cmu serif$|source|uming cn|amiri|david|frank|kacst(book|naskh)|inter$|fira sans|cjk", re.I
)  # fmt: skip


def draw_family(rng: random.Random, script: str, kind: str) -> str:
    """A font family of a kind: every other time one of those that most documents are set in."""
    every = families(script)[kind]
    usual = [name for name in every if USUAL.search(name)]
    return rng.choice(usual if usual and rng.random() < 0.5 else every)


@lru_cache(maxsize=16)
def families(script: str) -> dict[str, tuple[str, ...]]:
    """Font families for a script: ``serif``, ``sans``, ``mono`` and ``show``, each sorted."""
    found: set[str] = set()
    if shutil.which("fc-list"):
        pattern = f":lang={SCRIPTS[script]}"
        if script == "latin":
            pattern = ":lang=fr"
        listed = subprocess.run(
            ["fc-list", pattern, "family"], capture_output=True, text=True, check=False
        ).stdout
        found = {line.split(",")[0].strip().replace("\\", "") for line in listed.splitlines()}
    kinds: dict[str, list[str]] = {"serif": [], "sans": [], "mono": [], "show": []}
    for name in sorted(found):
        if not name or _ODD.search(name):
            continue
        if script not in ("zh", "ja", "ko") and re.match(
            r"AR PL|cwTeX|WenQuan|Noto S.* CJK|Nanum", name
        ):
            continue
        if _SHOW.search(name):
            kinds["show"].append(name)
        elif _MONO.search(name):
            kinds["mono"].append(name)
        elif _SERIF.search(name) and "sans" not in name.lower():
            kinds["serif"].append(name)
        else:
            kinds["sans"].append(name)
    every = kinds["serif"] + kinds["sans"]
    return {k: tuple(v or every or [_GENERIC[k]]) for k, v in kinds.items()}


_GENERIC = {"serif": "serif", "sans": "sans-serif", "mono": "monospace", "show": "sans-serif"}
