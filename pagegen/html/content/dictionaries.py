"""Words of many languages: the machine's dictionaries, and the few small words of each."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

FOLDERS = (Path("/usr/share/hunspell"), Path("/usr/share/myspell/dicts"))

SMALL = {
    "en": "the of and to in a is that for it as was with be by on not he his but at are this have "
    "from or had an they which one we all there were her their been has would will when who more",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als "
    "auch es "
    "an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum war",
    "fr": "de la le et les des en un une du dans que est pour qui a par sur pas au plus ne se ce "
    "il sont la avec son ou cette aux été ont mais comme être leur nous sa deux elle ces fait",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o "
    "pero sus "
    "le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había era muy",
    "it": "di e il la che in a per un del è una le i della con non si da al come sono più nel dei "
    "alla gli ha anche lo o delle ma dal su questo essere stato tra loro dalla degli suo cui",
    "nl": "de van het een en in is dat op te zijn voor met die niet aan er om ook als dan maar bij "
    "uit nog naar door over wordt tot je heeft worden hun zou deze geen was meer of al kan zo",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao "
    "ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso",
    "pl": "w i na z do nie się to jest o że za od jak po przez dla tym ale są co tego jego "
    "oraz lub "
    "może być tak już czy także jej która przy roku był tylko które który ich pod bez ze nad",
    "cs": "a v se na je že o s z do i to k ve pro za by ale si po jako podle od jeho které který "
    "jsou nebo tak jen při být bylo však další jejich než už až také bude rok která má let",
    "sv": "och i att en som är av på för med den till det ett om har de inte var kan vid från så "
    "eller men sig hade man nu under efter då skall mot här ska alla där över upp vid mer in",
    "da": "og i at er en til af det på for med den de som der ikke et fra har var ved om han men "
    "eller sig kan efter vi jeg blev over når være skal også alle mod under her ud op nu mere",
    "hu": "a az és hogy nem is egy meg ez de csak volt már mint vagy ki még azt el lehet "
    "kell pedig "
    "minden ha sem van ezt úgy mert ami két be át több nagy majd után között szerint első ilyen",
    "ro": "de și în a la cu o nu pe să care din că este mai un se pentru au fi sau prin "
    "fost dar ca "
    "între după sunt până ce fără cel lui sa când ori două toate acest această are numai",
    "tr": "ve bir bu da için ile de çok olarak daha olan gibi en ne kadar sonra ki var her ya o "
    "ama iki değil olduğu göre yeni diye ise mi şey zaman ilk önce bütün hem kendi şu büyük",
    "vi": "và của là có trong cho không được một với các này người những để đã khi về từ "
    "đến ra năm "
    "như cũng vào nhiều sẽ phải trên nhà tại thì hay sau nước theo họ tôi bị làm đó lại còn",
    "ru": "и в не на что с по это как к из у за от о но для так же все он бы его до при был то мы "
    "или их еще только также может если более быть она были уже где чем этого после под без",
    "uk": "і в не на що з по це як до у за від та але для так все він його при був то ми або їх "
    "ще тільки також може якщо більше бути вона були вже де чим цього після під без між року",
    "bg": "и на в да за се от с не по е са че като но или до във при си ще има бъде също със както "
    "това който която които може след през между без най още само тези този една един всички",
    "el": "και το να του η της με την που από για είναι στην τα των στο ο οι θα σε τον τη δεν ότι "
    "μια ένα στη στα στις ως αλλά κατά τους αυτό όταν έχει μετά όπως πολύ μόνο πριν χωρίς",
    "ar": "في من على أن إلى ما عن هذا هذه التي الذي كان كل مع لا قد بعد بين كما ذلك أو هو هي ثم "
    "عند حتى لم غير إذا منذ عام خلال أكثر حول دون يوم وقد تم جميع لكن",
    "he": "של את על לא הוא זה עם כי היא גם אל או יש כל אם אבל היה רק כך מה בין יותר לפי אשר אך "
    "עד כמו לאחר ידי זו אין בית שנת הם כדי אחד היו בו ביותר לפני",
}
"""The commonest words of each language, commonest first."""

FILES = {
    "en": "en_GB en_US", "de": "de_DE", "fr": "fr fr_FR", "es": "es_ES es", "it": "it_IT",
    "nl": "nl nl_NL", "pt": "pt_BR pt_PT", "pl": "pl_PL", "cs": "cs_CZ", "sv": "sv_SE",
    "da": "da_DK", "hu": "hu_HU", "ro": "ro_RO ro", "tr": "tr_TR", "vi": "vi_VN", "ru": "ru_RU",
    "uk": "uk_UA", "bg": "bg_BG", "el": "el_GR", "ar": "ar", "he": "he_IL he",
}  # fmt: skip

SPARE = [
    "system",
    "market",
    "number",
    "result",
    "report",
    "service",
    "water",
    "house",
    "power",
    "school",
    "family",
    "company",
    "history",
    "question",
    "business",
    "problem",
    "program",
    "government",
    "community",
    "information",
    "development",
    "management",
    "building",
    "material",
    "process",
    "department",
    "education",
    "research",
    "account",
    "period",
    "analysis",
    "committee",
    "resource",
    "support",
    "method",
    "environment",
    "technology",
    "project",
    "region",
    "annual",
    "public",
    "local",
    "national",
    "economic",
    "social",
    "general",
    "common",
    "special",
    "important",
    "possible",
    "different",
    "several",
    "large",
    "small",
]


def dictionary(language: str) -> Path | None:
    """The machine's word list of a language, or None."""
    for name in FILES.get(language, language).split():
        for folder in FOLDERS:
            if (folder / f"{name}.dic").is_file():
                return folder / f"{name}.dic"
    return None


MOST = 20_000
"""So many words of a language are used, spread over its dictionary."""


@lru_cache(maxsize=64)
def words_of(language: str) -> tuple[str, ...]:
    """Words of a language, most in lower case, as the dictionary has them."""
    path = dictionary(language)
    if path is None:
        return tuple(SMALL.get(language, SMALL["en"]).split() + SPARE)
    raw = path.read_bytes()
    affix = path.with_suffix(".aff")
    found = re.search(rb"SET\s+(\S+)", affix.read_bytes()[:4000]) if affix.is_file() else None
    coding = found[1].decode() if found else "utf-8"
    coding = {"microsoft-cp1251": "cp1251"}.get(coding.lower(), coding)
    text = raw.decode(coding, errors="ignore")
    words = re.findall(r"^[^\W\d_]{3,14}(?=[/\s])", text, re.MULTILINE)
    lower = [w for w in words if w.islower() or not w[0].isupper()]
    # German writes nouns with capitals; elsewhere they are names, of which few are wanted.
    names = [w for w in words if w[0].isupper() and w[1:].islower()]
    names = names if language == "de" else names[:: max(1, len(names) * 12 // (len(lower) + 1))]
    words = lower + names
    return tuple(words[:: max(1, -(-len(words) // MOST))])


def languages() -> list[str]:
    """The languages that words are there for."""
    return [name for name in SMALL if dictionary(name) is not None] or ["en"]
