"""Sentences, titles, names and numbers in a language."""

from __future__ import annotations

import random

from pagegen.chinese import ChineseProse
from pagegen.html.content.dictionaries import SMALL, words_of
from pagegen.html.content.texts import Texts, sentences, texts_of

RTL = {"ar", "he"}
CJK = {"zh", "ja"}
"""Languages without spaces."""
MONTHS = "January February March April May June July August September October November December"


class Words:
    """Words of one language, drawn at random."""

    def __init__(self, rng: random.Random, language: str) -> None:
        self.rng = rng
        self.language = language
        self.cjk = language in CJK
        self.prose = ChineseProse(rng) if self.cjk else None
        # Most pages speak in real sentences, where the machine has them.
        real = language in ("ja", "ko") or rng.random() < 0.75
        self.texts: Texts | None = texts_of(language) if real else None
        self.small = () if self.cjk else SMALL.get(language, SMALL["en"]).split()
        self.long = () if self.cjk else self._long()
        # A page speaks of few things: the same words come again.
        self.topic = [] if self.cjk else self._topic()

    def _long(self) -> tuple[str, ...]:
        if self.language == "ko" and self.texts is not None:
            return tuple(sentences(self.rng, self.texts, 2000).split())
        return words_of(self.language)

    def _topic(self) -> list[str]:
        if self.texts is not None:
            found = [w.strip(".,;:()“”\"'") for w in sentences(self.rng, self.texts, 900).split()]
            found = [w for w in found if len(w) > 3 and w.isalpha()]
            if len(found) > 20:
                return found
        return [self.rng.choice(self.long) for _ in range(60)]

    def word(self) -> str:
        """One word that means something."""
        if self.cjk and self.texts is not None:
            text = self.rng.choice(self.texts.titles)
            start = self.rng.randrange(max(1, len(text) - 3))
            return text[start : start + self.rng.randint(2, 4)].strip("、。，？ （）") or text[:2]
        if self.cjk:
            assert self.prose is not None
            return self.prose.heading()[: self.rng.randint(2, 4)]
        share = 0.5 if self.texts is None else 0.9
        return self.rng.choice(self.topic if self.rng.random() < share else self.long)

    def words(self, count: int) -> str:
        """So many words as in running text, no stops."""
        if self.cjk:
            text = ""
            while len(text) < count * 2:
                text += self.word()
            return text
        r = self.rng
        out = []
        small = False
        for _ in range(count):
            small = not small and r.random() < 0.62
            if small:
                out.append(self.small[min(int(r.expovariate(0.09)), len(self.small) - 1)])
            else:
                out.append(self.word())
        return " ".join(out)

    def phrase(self, low: int, high: int) -> str:
        """A few words, the first with a capital."""
        text = self.words(self.rng.randint(low, high))
        return text[:1].upper() + text[1:]

    def title(self, low: int = 2, high: int = 8) -> str:
        """A heading's words."""
        if self.cjk:
            assert self.prose is not None
            if self.texts is not None and self.texts.titles:
                return self.rng.choice(self.texts.titles)[: 3 * high]
            return self.prose.heading() if high < 8 else self.prose.title()
        if self.texts is not None and self.texts.titles:
            for _ in range(6):
                text = self.rng.choice(self.texts.titles)
                if low <= text.count(" ") + 1 <= high:
                    return text
        text = self.phrase(low, high)
        return text.title() if self.rng.random() < 0.3 else text

    def sentence(self) -> str:
        """A sentence with its stop."""
        r = self.rng
        if self.texts is not None:
            return sentences(r, self.texts, 12 if self.cjk else 30)
        if self.cjk:
            assert self.prose is not None
            return self.prose.sentence()
        parts = [self.words(r.randint(3, 9)) for _ in range(r.choice([1, 1, 2, 2, 3]))]
        text = r.choice([", ", ", ", "; ", " – "]).join(parts)
        roll = r.random()
        if roll < 0.08:
            text += f" ({self.words(r.randint(1, 4))})"
        elif roll < 0.16:
            text += f" {self.number()}"
        elif roll < 0.2:
            text += f" “{self.words(r.randint(1, 4))}”"
        return text[:1].upper() + text[1:] + r.choices([".", "?", "!", ":"], [90, 3, 2, 2])[0]

    def paragraph(self, length: int) -> str:
        """Sentences of about so many letters."""
        if self.texts is not None:
            return sentences(self.rng, self.texts, int(length / 2.5) if self.cjk else length)
        text = self.sentence()
        goal = length / 2.5 if self.cjk else length
        while len(text) < goal:
            text += ("" if self.cjk else " ") + self.sentence()
        return text

    def name(self) -> str:
        """A person's name."""
        if self.cjk:
            assert self.prose is not None
            return self.prose.person()
        first = self.rng.choice(self.long).capitalize()
        if self.rng.random() < 0.3:
            first = first[0] + "."
        return f"{first} {self.rng.choice(self.long).capitalize()}"

    def company(self) -> str:
        """A firm's or an office's name."""
        if self.cjk:
            return self.word() + self.rng.choice(["有限公司", "集团", "委员会", "管理局", "中心"])
        tail = self.rng.choice(["Ltd", "GmbH", "S.A.", "Inc.", "& Co.", "AG", "S.p.A.", "", "plc"])
        return f"{self.phrase(1, 3).title()} {tail}".strip()

    def number(self) -> str:
        """A number in one of many forms."""
        r = self.rng
        return r.choice(
            [
                str(r.randint(0, 99)),
                f"{r.randint(1, 999)},{r.randint(0, 999):03d}",
                f"{r.uniform(0, 100):.1f}",
                f"{r.uniform(0, 100):.2f}",
                f"{r.randint(1, 99)} %",
                str(r.randint(1900, 2030)),
                f"{r.randint(1, 99)}.{r.randint(0, 999):03d}",
            ]
        )

    def amount(self) -> str:
        """A sum of money."""
        r = self.rng
        value = 10 ** r.uniform(0, 6.5)
        text = f"{value:,.{r.choice([0, 2])}f}"
        if r.random() < 0.3:
            text = text.replace(",", " ")
        return text

    def date(self) -> str:
        """A date."""
        r = self.rng
        d, m, y = r.randint(1, 28), r.randint(1, 12), r.randint(1950, 2030)
        if self.cjk:
            return f"{y}年{m}月{d}日"
        month = self.phrase(1, 1) if self.language != "en" else MONTHS.split()[m - 1]
        return r.choice([f"{d}.{m}.{y}", f"{d:02d}/{m:02d}/{y}", f"{d} {month} {y}",
                         f"{y}-{m:02d}-{d:02d}"])  # fmt: skip

    def address(self) -> list[str]:
        """Lines of an address."""
        r = self.rng
        street = f"{self.phrase(1, 2)} {r.randint(1, 250)}"
        return [self.name(), street, f"{r.randint(1000, 99999)} {self.phrase(1, 1)}"]

    def contact(self) -> str:
        """A telephone number, mail or web address."""
        r = self.rng
        latin = r.choice(words_of("en")).lower()
        return r.choice(
            [
                f"+{r.randint(1, 99)} {r.randint(10, 999)} {r.randint(1000, 9999999)}",
                f"{latin}@example.org",
                f"www.{latin}.example",
            ]
        )
