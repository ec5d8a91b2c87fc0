"""A page cut in rectangles, each with a block of its own: articles, pictures, boxes, tables."""

from __future__ import annotations

from collections.abc import Mapping

from pagegen.html.blocks import figures, tables, text
from pagegen.html.writer import Writer

Rect = tuple[float, float, float, float]
DARK = ["#12355b", "#7a1f1f", "#1d4d2b", "#333", "#5b2a86", "#0b6e75", "#a04000", "#111"]


def split(w: Writer, rect: Rect, least: float, depth: int = 0) -> list[Rect]:
    """Cut a rectangle (x, y, width, height) in parts that are wider and higher than ``least``."""
    r = w.rng
    x, y, width, height = rect
    wide, high = width > 2 * least, height > 1.4 * least
    if depth > 3 or not (wide or high) or (depth > 0 and r.random() < 0.25):
        return [rect]
    share = r.choice([0.5, 0.5, 0.33, 0.67, r.uniform(0.3, 0.7)])
    if wide and (not high or r.random() < 0.45 * width / height + 0.1):
        first, rest = (x, y, width * share, height), (x + width * share, y, width * (1 - share),
                                                      height)  # fmt: skip
    else:
        first, rest = (x, y, width, height * share), (x, y + height * share, width,
                                                      height * (1 - share))  # fmt: skip
    return split(w, first, least, depth + 1) + split(w, rest, least, depth + 1)


def place(rect: Rect, inner: str, css: str = "", name: str = "clip") -> str:
    """A box at its place on the page."""
    x, y, width, height = rect
    if name == "clip" and "flex" not in css and "<img" not in inner[:40]:
        # Lines that do not fit go to a column beyond the box, whole.
        css += ";columns:1;column-fill:auto"
    return (
        f'<div class="{name}" style="position:absolute;left:{x:.0f}px;top:{y:.0f}px;'
        f'width:{width:.0f}px;height:{height:.0f}px;overflow:hidden;{css}">{inner}</div>'
    )


def module(w: Writer, rect: Rect, kind: str) -> str:
    """A block of a kind that fills a rectangle of the page."""
    r, look = w.rng, w.look
    _, _, width, height = rect
    if kind == "picture" or kind == "bleed":
        address, _ = w.pictures.photograph(r)
        labelled = r.random() < 0.75 and height > 90 and kind == "picture"
        with w.inside(width, height):
            label = tables.caption(w, "figure") if labelled else ""
        if labelled:
            img = (
                f'<img data-r="Figure" src="{address}" style="display:block;width:100%;'
                f'flex:1 1 0;min-height:0;object-fit:cover">'
            )
            return place(rect, img + label, "display:flex;flex-direction:column")
        img = (
            f'<img data-r="Figure" src="{address}" style="display:block;width:100%;height:100%;'
            f'object-fit:cover">'
        )
        return place(rect, img)
    if kind == "chart":
        with w.inside(width, height):
            inner = figures.figure_block(w, width * 0.95, kind="chart", most=height * 0.7)
        return place(rect, inner)
    if kind == "table":
        with w.inside(width, height):
            inner = tables.table_block(w, rows=max(2, int(height / look.size / 2.6)))
        return place(rect, inner)
    if kind == "quote":
        size = min(look.size * r.choice([1.5, 2, 2.5]), width / 9)
        with w.inside(width, height, 1, size):
            sign = w.mark("Text", w.text("“" + w.words.sentence() + "”"), "p",
                          "text-indent:0;text-align:start")  # fmt: skip
        return place(rect, sign, f"font:{size:.1f}px/1.25 '{look.head}';color:{look.accent}")
    return _article(w, rect, kind)


def _article(w: Writer, rect: Rect, kind: str) -> str:
    """A heading over running text, in columns, on a ground of its own in some."""
    from pagegen.html.kinds.mix import fill

    r, look = w.rng, w.look
    _, _, width, height = rect
    pad, css, accent = 0.0, "", ""
    if kind in ("tint", "dark", "frame"):
        pad = look.size * r.uniform(0.6, 1.2)
        css = {"tint": f"background:{look.tint}", "frame": f"border:1px solid {look.accent}",
               "dark": f"background:{r.choice(DARK)};color:#fff"}[kind]  # fmt: skip
        css += f";border-radius:{r.choice([0, 0, 6, 12])}px"
        accent = "#fff" if kind == "dark" else ""
    inner_width, inner_height = width - 2 * pad, height - 2 * pad
    size = look.size * (r.choice([0.9, 1, 1, 1.2, 1.5]) if kind != "article" else 1)
    most = max(1, int(inner_width / size / 15))
    columns = r.randint(1, min(4, most)) if kind == "article" else 1
    shares = {"article": {"p": 60, "h": 7, "quote": 2, "fig": 2, "ul": 3},
              "tint": {"p": 30, "ul": 15, "h": 8, "tab": 3, "ol": 4},
              "dark": {"p": 30, "ul": 10, "h": 8},
              "frame": {"p": 30, "ul": 12, "h": 8, "form": 2, "tab": 2},
              "list": {"ul": 20, "h": 5, "p": 4}}[kind]  # fmt: skip
    with w.inside(inner_width, inner_height, columns, size, accent):
        scale = r.choice([1.2, 1.5, 2.0, 2.6])
        if inner_width < 14 * size * scale:
            scale = 1.2
        start = ""
        if r.random() < 0.85:
            span = "column-span:all;" if r.random() < 0.6 else ""
            tint = "color:#fff;" if kind == "dark" else ""
            start = text.heading(w, 2, scale=scale, style=f"margin-top:0;{span}{tint}")
        if r.random() < 0.2:
            by = w.text(w.words.name())
            start += w.mark("Text", by, "p", "font-weight:bold;text-indent:0;font-size:.85em")
        body = fill(w, shares, start=start, full=r.choice([1, 1, 1, 0.5]))
    rule = "column-rule:1px solid #999;" if look.rule and columns > 1 else ""
    inner = (
        f'<div class="flow clip" style="width:{inner_width:.0f}px;height:{inner_height:.0f}px;'
        f"columns:{columns};column-gap:{size * 1.4:.0f}px;column-fill:auto;overflow:hidden;"
        f'font-size:{size:.1f}px;{rule}">{body}</div>'
    )
    return place(rect, inner, f"{css};padding:{max(0, pad - 1 if kind == 'frame' else pad):.1f}px",
                 "box")  # fmt: skip


def modular(w: Writer, rect: Rect, kinds: Mapping[str, float], least: float) -> str:
    """A rectangle of the page cut in parts and filled with blocks by their shares."""
    r = w.rng
    gap = w.look.size * r.uniform(0.7, 1.4)
    out = []
    for x, y, width, height in split(w, rect, least):
        part = (x + gap / 2, y + gap / 2, width - gap, height - gap)
        if part[2] < 60 or part[3] < 40:
            continue
        kind = r.choices(list(kinds), list(kinds.values()))[0]
        if kind == "table" and part[2] < 200:
            kind = "list"
        if kind == "quote" and part[3] > part[2] * 1.6:
            kind = "picture"
        out.append(module(w, part, kind))
    return "".join(out)
