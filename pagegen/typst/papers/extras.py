"""Rarer blocks of papers: algorithms, contents, glossaries, biographies, questions, boxes."""

from __future__ import annotations

from pagegen.marks import Colour, colour
from pagegen.typst.blocks import fonts, markup
from pagegen.typst.figures import Canvas, shortened
from pagegen.typst.papers.blocks import PaperBlocks
from pagegen.typst.papers.figures import picture

BACK = [
    "Abbreviations", "Funding", "Acknowledgements", "Competing interests", "Ethics approval",
    "Consent for publication", "Author contributions", "Availability of data and materials",
    "Author details", "Conflict of interest", "Supplementary material", "Publisher’s note",
]  # fmt: skip
BACK_ZH = ["致谢", "利益冲突", "作者贡献", "基金项目", "数据可用性", "伦理声明"]
WORDS = ["for", "while", "if", "repeat", "return", "end for", "end if", "else", "do", "until"]


def _block(b: PaperBlocks, body: str, size: float, *, looks: str = "", par: str = "") -> str:
    """A block of its own that does not break over columns."""
    skip = b.style.leading + b.style.size * 0.5
    return (
        f"#block(above: {skip:.2f}pt, below: {skip:.2f}pt, width: 100%, breakable: false{looks})"
        f"[#set par(first-line-indent: 0pt, justify: false, leading: {size * 0.5:.2f}pt{par})\n"
        f"#set text(size: {size:.2f}pt, hyphenate: false)\n{body}]\n\n"
    )


def algorithm(b: PaperBlocks) -> str:
    """An algorithm between rules: its name, then numbered lines; one region."""
    r, s = b.rng, b.style
    size = s.size * r.choice([0.85, 0.9, 1.0])
    code = b.marks.unit(b.marks.region("Code"), size)
    rule = f"#line(length: 100%, stroke: {r.choice([0.5, 0.8])}pt + {colour(code)})"
    gap = f"#v({-size * 0.35:.1f}pt)"
    room = max(12, int(s.column_width / size / 0.62))
    title = shortened(b.prose.heading(), room - 14)
    lines = []
    depth = 0
    numbered = r.random() < 0.7
    for i in range(r.randint(4, 16)):
        word = r.choice(WORDS)
        rest = shortened(b.prose.figure_word_label().lower(), room - 12 - 2 * depth)
        lead = f"#box(width: 1.6em)[{markup(f'{i + 1}:')}]" if numbered else ""
        text = f"#strong[{markup(word)}]{markup(' ' + rest)}"
        if r.random() < 0.4:
            text = f"{markup(rest + ' ← ' + r.choice('xyzabkn'))}"
        lines.append(f"{lead}#h({depth * 1.0:.1f}em){text}")
        depth = min(3, depth + 1) if word in ("for", "while", "if") else max(0, depth - (i % 2))
    head = f"#strong[{markup(f'Algorithm {r.randint(1, 5)}')}]{markup(' ' + title)}"
    body = f"{rule}{gap}\n{head}\n{gap}{rule}{gap}\n{' #linebreak() '.join(lines)}\n{gap}{rule}"
    return _block(
        b, f"#set text(fill: {colour(code)})\n{body}", size, par=f", spacing: {size * 0.7:.1f}pt"
    )


def contents(b: PaperBlocks, count: int) -> str:
    """Lines of a table of contents with their pages; one region."""
    r, s = b.rng, b.style
    code = b.marks.unit(b.marks.region("Table of contents", flows=True), s.size)
    dots = r.random() < 0.6
    page = r.randint(1, 9)
    rows = []
    for i in range(count):
        deep = r.random() < 0.6
        number = f"{i // 4 + 1}.{i % 4 + 1}" if deep else str(i // 4 + 1)
        room = max(8, int(s.column_width / s.size / (1.1 if s.language == "zh" else 0.62)) - 8)
        text = markup(f"{number}  {shortened(b.prose.heading(), room)}")
        fill = "#box(width: 1fr, repeat[.#h(2pt)])" if dots else "#h(1fr)"
        page += r.randint(0, 5)
        body = f"#h({1.5 if deep else 0}em){text}{fill}{markup(str(page))}"
        rows.append(f"#par[{body if deep else f'#strong[{body}]'}]")
    gap = s.leading * r.choice([1.0, 1.4])
    inner = "\n\n".join(rows)
    return (
        f"#block(width: 100%)[#set par(first-line-indent: 0pt, justify: false, "
        f"spacing: {gap:.2f}pt)\n#set text(fill: {colour(code)}, hyphenate: false)\n{inner}]\n\n"
    )


def glossary(b: PaperBlocks) -> str:
    """Short signs with what they mean, in two columns; one region."""
    r, s = b.rng, b.style
    size = s.size * r.choice([0.85, 0.95])
    region = b.marks.region("Text")
    cells = []
    for _ in range(r.randint(4, 14)):
        sign = "".join(r.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(r.randint(2, 4)))
        words = shortened(b.prose.caption("table").rstrip("."), 60 // b.density())
        cells += [f"[{b.words(t, region, size)}]" for t in (sign, words)]
    body = (
        f"#grid(columns: (auto, 1fr), column-gutter: {size * 1.5:.1f}pt, "
        f"row-gutter: {size * r.choice([0.4, 0.6]):.1f}pt, {', '.join(cells)})"
    )
    return _block(b, body, size)


def biography(b: PaperBlocks) -> str:
    """A small portrait with words beside it: a figure and a paragraph."""
    r, s = b.rng, b.style
    size = s.size * 0.85
    region = b.marks.region("Figure")
    b.pictures += 1
    width = min(72.0, s.column_width * 0.3)
    canvas = Canvas(
        r, b.prose, b.marks, region, b.folder, width, width * 1.25, 5.0, f"{b.name}-b{b.pictures}"
    )
    picture(canvas, 0, 0, width, width * 1.25)
    code = b.marks.unit(b.marks.region("Text"), size)
    name = f"#strong[{markup(b.prose.person() + ' ')}]"
    text = markup(b.prose.paragraph(r.choice([250, 400]) // b.density()))
    body = (
        f"#grid(columns: ({width:.1f}pt, 1fr), column-gutter: {size:.1f}pt, "
        f"{canvas.code()}, [#set par(justify: true)\n#text(fill: {colour(code)})[{name}{text}]])"
    )
    return _block(b, body, size)


def box(b: PaperBlocks) -> str:
    """A paragraph in a frame or on a coloured ground."""
    r, s = b.rng, b.style
    size = s.size * r.choice([0.9, 1.0])
    looks = f", inset: {s.size * r.uniform(0.5, 1):.1f}pt"
    tints: list[Colour] = [(0xF0, 0xF0, 0xF0), (0xE0, 0xF0, 0xF0), (0xF0, 0xF0, 0xE0)]
    if r.random() < 0.6:
        looks += f", fill: {colour(0, r.choice(tints))}"
    if r.random() < 0.6:
        looks += f", stroke: 0.5pt + {colour(0, (0x40, 0x40, 0x40))}"
    parts = []
    if r.random() < 0.5:
        title = b.words(b.prose.heading(), b.marks.region("Section header"), size)
        parts.append(f"#par[#strong[{title}]]")
    region = b.marks.region("Text")
    words = b.words(b.prose.paragraph(r.choice([150, 350]) // b.density()), region, size)
    parts.append(f"#par[{words}]")
    return _block(b, "\n\n".join(parts), size, looks=looks, par=f", spacing: {size:.1f}pt")


def verbatim(b: PaperBlocks) -> str:
    """Lines of a typewriter's type between paragraphs: sums, addresses, commands."""
    r, s = b.rng, b.style
    size = s.size * r.choice([0.8, 0.9, 1.0])
    code = b.marks.unit(b.marks.region("Code"), size)
    most = int(s.column_width / size / 0.62)
    lines = []
    for _ in range(r.randint(1, 6)):
        form = r.random()
        if form < 0.5:
            text = "".join(r.choice("0123456789ABCDEF") for _ in range(r.choice([16, 32, 40])))
        elif form < 0.75:
            text = f"https://example.org/{b.prose.figure_word_label().lower().replace(' ', '/')}"
        else:
            text = f"$ {r.choice(['run', 'make', 'fit'])} --{r.choice('abcd')} {r.randint(0, 999)}"
        lines.append(markup(text[:most]))
    body = (
        f'#set text(font: "DejaVu Sans Mono", fill: {colour(code)})\n'
        f"#h({r.choice([0, 1, 2])}em){' #linebreak() '.join(lines)}"
    )
    return _block(b, body, size)


def back_matter(b: PaperBlocks) -> str:
    """Bold one-line heads, each over a line or two of small type."""
    r, s = b.rng, b.style
    size = s.size * r.choice([0.8, 0.85, 0.9, 1.0])
    tight = r.random() < 0.6
    parts = []
    names = BACK_ZH if s.language == "zh" else BACK
    for name in r.sample(names, r.randint(2, min(7, len(names)))):
        title = b.words(name, b.marks.region("Section header"), size)
        region = b.marks.region("Text", flows=True)
        words = b.words(b.prose.paragraph(r.choice([30, 90, 200]) // b.density()), region, size)
        gap = size * (0.3 if tight else 0.8)
        parts.append(
            f"#block(above: {size * 1.1:.1f}pt, below: {gap:.1f}pt, sticky: true)"
            f"[#strong[{title}]]\n#par(first-line-indent: 0pt)[{words}]\n\n"
        )
    return (
        f"#block(width: 100%)[#set text(size: {size:.2f}pt, font: {fonts(s.fonts)})\n"
        f"#set par(leading: {s.leading * size / s.size:.2f}pt)\n{''.join(parts)}]\n\n"
    )


def extra(b: PaperBlocks) -> str:
    """One of the rarer blocks that stand in running text."""
    english = [algorithm, algorithm, glossary, biography, box, box, verbatim, verbatim]
    chinese = [glossary, biography, box, verbatim]
    return b.rng.choice(chinese if b.style.language == "zh" else english)(b)
