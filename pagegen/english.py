"""Made-up English scientific prose: sentence patterns, names, references."""

from __future__ import annotations

from pagegen.english_words import (
    ACTIVE,
    CITIES,
    COMMON_ADJS,
    COMMON_NOUNS,
    COUNTRIES,
    DEPARTMENTS,
    FIELDS,
    GIVEN,
    ITEM_VERBS,
    LEADS,
    MATHS,
    PUBLISHERS,
    SECTIONS,
    SURNAMES,
    TAILS,
    VERBS,
)
from pagegen.text import MATH_END, MATH_START, Prose, barred, spaced


def _plural(noun: str) -> str:
    if noun.endswith("is"):
        return noun[:-2] + "es"
    if noun.endswith(("s", "x", "sh", "ch")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


class EnglishProse(Prose):
    """English of one made-up paper: its field's words, its authors, its running numbers."""

    language = "en"
    subject_plural = False

    def _start(self) -> None:
        field = FIELDS[self.rng.choice(sorted(FIELDS))]
        self.nouns = spaced(field["noun"])
        self.adjs = spaced(field["adj"])
        self.acts = spaced(field["act"])
        self.units = spaced(field["unit"])
        self.journals = barred(field["journal"])
        # A paper has its own favourite words: their ranks differ from paper to paper.
        for words in (self.nouns, self.adjs, self.acts):
            self.rng.shuffle(words)

    def noun(self, *, plural: bool = False) -> str:
        """A noun, two in three from the field."""
        word = self.zipf(self.nouns if self.chance(0.62) else COMMON_NOUNS)
        return _plural(word) if plural else word

    def adjective(self) -> str:
        """An adjective of the field or a common one."""
        return self.zipf(self.adjs if self.chance(0.55) else COMMON_ADJS)

    def phrase(self, *, article: bool = True, depth: int = 0) -> str:
        """A noun phrase."""
        plural = self.chance(0.35)
        words = [self.noun(plural=plural)]
        if self.chance(0.2):
            words.insert(0, self.zipf(self.acts))
        if self.chance(0.55):
            words.insert(0, self.adjective())
        text = " ".join(words)
        if article:
            if plural:
                text = self.rng.choice(["the ", "these ", "", "", "all ", "several "]) + text
            else:
                first = "an " if text[0] in "aeiou" else "a "
                text = self.rng.choice(["the ", "the ", "the ", first, "this ", "each "]) + text
        if depth < 1 and self.chance(0.28):
            link = self.rng.choice(["of", "of", "of", "in", "for", "between", "with", "under"])
            other = self.phrase(depth=depth + 1)
            if link == "between":
                other += " and " + self.phrase(depth=depth + 1)
            text += f" {link} {other}"
        self.subject_plural = plural
        return text

    def verb(self) -> str:
        """A verb that agrees with the noun phrase made last."""
        text = self.zipf(VERBS)
        if not self.subject_plural:
            return text
        first, _, rest = text.partition(" ")
        first = "are" if first == "is" else first.removesuffix("s")
        return f"{first} {rest}".strip()

    def math(self) -> str:
        """A short inline formula between the marks of mathematics."""
        code = self.inline() if self.inline is not None else self.zipf(MATHS)
        return MATH_START + code + MATH_END

    def quantity(self) -> str:
        """A number with its unit."""
        r = self.rng
        number = r.choice([f"{r.randint(2, 99)}", f"{r.uniform(0.1, 60):.1f}", f"{r.random():.2f}"])
        return f"{number} {self.zipf(self.units)}"

    def cite(self) -> str:
        """A citation in this paper's style."""
        r = self.rng
        if self.cite_style == "number":
            first = r.randint(1, 60)
            return r.choice([f"[{first}]", f"[{first}, {first + r.randint(1, 9)}]"])
        name = self.zipf(SURNAMES)
        return (
            f"({name} {r.choice(['et al.', '& ' + r.choice(SURNAMES)])}, {r.randint(1985, 2023)})"
        )

    def sentence(self) -> str:
        """One sentence, with its full stop."""
        r = self.rng
        kind = r.random()
        if kind < 0.34:
            text = f"{self.phrase()} {self.verb()} {self.phrase()}"
        elif kind < 0.52:
            text = f"we {self.zipf(ACTIVE)} {self.phrase()}"
            if self.chance(0.5):
                how = ["using", "by means of", "for", "as a function of", "with respect to"]
                text += f" {r.choice(how)} {self.phrase()}"
        elif kind < 0.64:
            text = (
                f"it {r.choice(['can be seen', 'is clear', 'follows', 'was found', 'is known'])} "
                f"that {self.phrase()} {self.verb()} {self.phrase()}"
            )
        elif kind < 0.72:
            value = self.math() if self.math_share and self.chance(0.6) else self.quantity()
            verb = r.choice(["is", "was", "reaches", "was set to", "is close to", "equals"])
            text = f"the {self.adjective()} {self.noun()} {verb} {value}"
        elif kind < 0.8:
            what = r.choice(["Fig.", "Table", "Section", "Eq."])
            number = r.randint(1, 8)
            mark = f"({number})" if what == "Eq." else str(number)
            text = (
                f"{r.choice(['as shown in', 'according to', 'as listed in', 'see also'])} "
                f"{what} {mark}, {self.phrase()} {self.verb()} {self.phrase()}"
            )
        elif kind < 0.88:
            text = (
                f"{r.choice(['if', 'when', 'although', 'since', 'while', 'because'])} "
                f"{self.phrase()} {self.verb()} {self.phrase()}, {self.phrase()} "
                f"{self.verb()} {self.phrase()}"
            )
        elif kind < 0.94:
            text = (
                f"{self.zipf(self.acts)} of {self.phrase()} "
                f"{r.choice(['was performed', 'was repeated', 'is required', 'has been studied'])}"
                f" {r.choice(['before', 'after', 'during', 'without'])} {self.zipf(self.acts)}"
            )
        else:
            what = self.phrase()
            exist = "exist" if self.subject_plural else "exists"
            start = r.choice([f"there {exist}", "we thus have", "the proof needs"])
            text = f"{start} {what} such that {self.phrase()} {self.verb()} {self.phrase()}"
        if self.math_share and self.chance(self.math_share):
            text += f" {r.choice(['with', 'for', 'where', 'at', 'and'])} {self.math()}"
        if self.chance(0.22):
            text += " " + self.zipf(TAILS)
        if self.chance(0.16):
            text += " " + self.cite()
        if self.chance(0.2):
            lead = self.zipf(LEADS)
            text = f"{lead} {text}"
        return text[0].upper() + text[1:] + "."

    def _title_case(self, text: str) -> str:
        small = {"of", "in", "for", "the", "a", "an", "and", "with", "between", "under", "on", "by"}
        words = text.split()
        return " ".join(
            w if i and w in small else w[0].upper() + w[1:] for i, w in enumerate(words)
        )

    def title(self) -> str:
        """The title of a paper."""
        r = self.rng
        one = self.phrase(article=False)
        two = self.phrase()
        act = self.zipf(self.acts)
        text = r.choice(
            [
                f"{act} of {two} with {self.phrase(article=False)}",
                f"{one}: {self.phrase(article=False)} for {act}",
                f"On {two} and {self.phrase()}",
                f"{self.adjective()} {act} in {self.phrase(article=False)}",
                f"Towards {self.adjective()} {act}: {two}",
                f"A {self.noun()} {self.noun()} for {self.adjective()} {act} of {one}",
                f"Effects of {one} on {two}",
            ]
        )
        text = text[0].upper() + text[1:]
        return self._title_case(text) if self.chance(0.5) else text

    def heading(self) -> str:
        """A section's title, without its number."""
        if self.chance(0.5):
            return self.zipf(SECTIONS)
        text = self.rng.choice(
            [
                self.phrase(article=False),
                f"{self.zipf(self.acts)} of {self.phrase()}",
                f"{self.adjective()} {self.zipf(self.acts)}",
                f"effect of {self.phrase()}",
                f"{self.noun()} and {self.noun()}",
            ]
        )
        text = text[0].upper() + text[1:]
        return self._title_case(text) if self.headline_case else text

    def caption(self, kind: str) -> str:
        """First sentence of a caption, after its label. ``kind`` is ``figure`` or ``table``."""
        r = self.rng
        head = ["comparison", "summary", "overview", "results", "dependence", "distribution"]
        if kind == "figure":
            head += ["schematic view", "evolution", "illustration", "image", "histogram"]
        else:
            head += ["list", "parameters", "values", "statistics"]
        text = f"{r.choice(head)} of {self.phrase()}"
        if self.chance(0.5):
            text += f" {r.choice(['for', 'as a function of', 'under', 'with'])} {self.phrase()}"
        return text[0].upper() + text[1:] + "."

    def caption_label(self, kind: str, number: str) -> str:
        """``Fig. 3`` or ``Table 2`` in this paper's spelling."""
        return f"{self.figure_word if kind == 'figure' else self.table_word} {number}"

    def _labels(self) -> None:
        self.figure_word = self.rng.choice(["Figure", "Fig.", "Figure", "FIG."])
        self.table_word = self.rng.choice(["Table", "Table", "TABLE"])

    def person(self, *, short: bool = False) -> str:
        """A name; short: initials first."""
        r = self.rng
        family = self.zipf(SURNAMES)
        if short:
            initials = " ".join(
                f"{r.choice('ABCDEFGHJKLMNPRSTVWY')}." for _ in range(r.choice((1, 1, 2)))
            )
            return f"{initials} {family}"
        return f"{r.choice(GIVEN)} {family}"

    def affiliation(self) -> str:
        """An institute's address."""
        r = self.rng
        city = r.choice(CITIES)
        return (
            f"{r.choice(DEPARTMENTS)}, University of {city}, {city} {r.randint(1000, 99999)}, "
            f"{r.choice(COUNTRIES)}"
        )

    def abstract_label(self) -> str:
        """The word before an abstract."""
        return self.rng.choice(["Abstract", "ABSTRACT", "Abstract.", "Summary", "Abstract—"])

    def keywords(self) -> tuple[str, str]:
        """Label and text of the keywords."""
        label = self.rng.choice(["Keywords:", "Key words:", "Index Terms—", "Keywords"])
        return label, self.rng.choice(["; ", ", "]).join(
            self.phrase(article=False, depth=1) for _ in range(self.rng.randint(3, 6))
        )

    def received(self) -> str:
        """Dates of an article's history."""
        r = self.rng
        months = ["January", "March", "April", "June", "July", "October", "December"]
        return (
            f"Received {r.randint(1, 28)} {r.choice(months)} {r.randint(1995, 2023)}; "
            f"accepted {r.randint(1, 28)} {r.choice(months)} {r.randint(1995, 2023)}"
        )

    def reference(self) -> str:
        """One entry of a reference list, without its mark."""
        r = self.rng
        count = r.choice((1, 2, 2, 3, 3, 4))
        year = r.randint(1975, 2023)
        volume, page = r.randint(2, 480), r.randint(3, 2400)
        title = self.phrase(article=False)
        title = title[0].upper() + title[1:]
        journal = self.zipf(self.journals)
        last = page + r.randint(3, 30)
        if self.reference_style == "authoryear":
            names = []
            for _ in range(count):
                names.append(f"{self.zipf(SURNAMES)} {r.choice('ABCDEFGHJKLMNPRSTVW')}")
            where = f"{journal} {volume}:{page}–{last}"
            return f"{', '.join(names)} ({year}) {title}. {where}"
        if self.reference_style == "apa":
            people = [
                f"{self.zipf(SURNAMES)}, {r.choice('ABCDEFGHJKLMPRSTW')}." for _ in range(count)
            ]
            joined = people[0] if count == 1 else ", ".join(people[:-1]) + " & " + people[-1]
            where = f"{journal}, {volume}({r.randint(1, 12)}), {page}–{last}"
            return f"{joined} ({year}). {title}. {where}."
        people = [self.person(short=True) for _ in range(count)]
        joined = people[0] if count == 1 else ", ".join(people[:-1]) + " and " + people[-1]
        if self.chance(0.15):
            return f"{joined}. {title}. {r.choice(PUBLISHERS)}, {r.choice(CITIES)}, {year}."
        if self.reference_style == "physics":
            return f"{joined}, {journal} {volume}, {page} ({year})."
        if self.chance(0.2):
            where = f"in Proc. Int. Conf. {self.zipf(self.acts)}, {year}, pp. {page}–{last}."
            return f"{joined}, “{title},” {where}"
        return f"{joined}. {title}. {journal}, vol. {volume}, pp. {page}–{last}, {year}."

    def list_item(self) -> str:
        """One item of a list in the text."""
        r = self.rng
        verb = r.choice(ITEM_VERBS)
        if self.chance(0.6):
            text = f"{verb} {self.phrase()}"
            if self.chance(0.6):
                text += f" {r.choice(['using', 'for', 'until', 'with', 'from'])} {self.phrase()}"
            return text + r.choice([".", ";", "."])
        return self.sentence()

    def item_sentence(self) -> str:
        """A sentence that continues a list's item."""
        return self.sentence()

    def running_head(self) -> str:
        """The words of a page's head."""
        r = self.rng
        journal = self.zipf(self.journals)
        authors = f"{self.zipf(SURNAMES)} et al."
        title = self.phrase(article=False)
        year = r.randint(1990, 2023)
        return r.choice(
            [
                f"{journal} {r.randint(2, 400)} ({r.randint(1990, 2023)}) {r.randint(10, 4000)}–"
                f"{r.randint(4001, 9999)}",
                f"{authors} / {journal} {r.randint(2, 300)} ({r.randint(1990, 2023)})",
                f"{authors}: {title[0].upper() + title[1:]}",
                f"{journal}, Vol. {r.randint(2, 99)}, No. {r.randint(1, 12)}, {year}",
                title.upper(),
                f"{self.person(short=True)} and {self.person(short=True)}",
                f"Submitted to {journal}",
                f"arXiv:{r.randint(7, 23):02d}{r.randint(1, 12):02d}.{r.randint(1, 9999):04d}v1",
            ]
        )

    def sure_running_head(self) -> str:
        """A running head that its first words give away."""
        r = self.rng
        journal = self.zipf(self.journals)
        authors = f"{self.zipf(SURNAMES)} et al."
        year = r.randint(1990, 2023)
        return r.choice(
            [
                f"{authors} / {journal} {r.randint(2, 300)} ({year})",
                f"{authors}: {self.phrase(article=False)}",
                f"{journal}, Vol. {r.randint(2, 99)}, No. {r.randint(1, 12)}, {year}",
                f"Vol. {r.randint(2, 99)}, No. {r.randint(1, 12)}, {journal}, {year}",
            ]
        )

    def foot(self) -> str:
        """The words at a page's foot."""
        r = self.rng
        return r.choice(
            [
                f"© {r.randint(1995, 2023)} The Authors. Published by {r.choice(PUBLISHERS)}.",
                f"{self.zipf(self.journals)} | Volume {r.randint(1, 60)} | {r.randint(1990, 2023)}",
                f"Downloaded from the archive on {r.randint(1, 28)} May {r.randint(2000, 2023)}",
                f"{self.person(short=True)}, Preprint",
                f"doi:10.{r.randint(1000, 1999)}/j.{r.randint(1000, 99999)}",
            ]
        )

    def footnote(self) -> str:
        """A footnote's text."""
        r = self.rng
        name = self.zipf(SURNAMES).lower().replace("'", "").replace("ü", "u")
        site = r.choice(["example.org", "example.edu", "example.net"])
        return r.choice(
            [
                self.sentence(),
                self.sentence(),
                f"See {self.person(short=True)} for {self.phrase()}.",
                f"Available at https://{site}/{self.noun()}/{self.noun()}.",
                f"Corresponding author. E-mail: {name}@{site}",
            ]
        )

    def cell_head(self) -> str:
        """The head of a table's column."""
        r = self.rng
        noun = self.noun().capitalize()
        words = ["Mean", "SD", "Total", "Method", "AP", "N", "p", self.adjective().capitalize()]
        return r.choice([noun, noun, f"{noun} ({self.zipf(self.units)})", *words])

    def row_head(self) -> str:
        """The head of a table's row."""
        return self.rng.choice(
            [
                f"{self.adjective()} {self.noun()}".capitalize(),
                self.noun().capitalize(),
                f"{self.noun().capitalize()} {self.rng.choice('ABCDE')}",
                f"{self.zipf(SURNAMES)} et al.",
                f"+ {self.noun()}",
            ]
        )

    def figure_word_label(self) -> str:
        """A word or two as they stand on an axis, in a legend or in a diagram's box."""
        return self.rng.choice(
            [
                self.noun().capitalize(),
                f"{self.noun().capitalize()} ({self.zipf(self.units)})",
                f"{self.adjective().capitalize()} {self.noun()}",
            ]
        )

    def references_title(self) -> str:
        """The title above a reference list."""
        return self.rng.choice(["References", "REFERENCES", "References", "Bibliography"])
