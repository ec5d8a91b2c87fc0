"""Photographs, drawings and charts with their captions."""

from __future__ import annotations

from pagegen.html.blocks.tables import caption
from pagegen.html.content import charts
from pagegen.html.writer import Writer


def look_dark(w: Writer) -> bool:
    """Whether the words are white on a dark ground, where drawings need paper of their own."""
    return w.look.accent == "#fff"


def image(w: Writer, width: float, most: float, *, kind: str = "") -> str:
    """A picture as wide as asked, at most ``most`` high: one Figure."""
    r = w.rng
    kind = kind or r.choice(["photo", "photo", "photo", "chart", "chart", "clip"])
    if kind == "chart":
        height = min(width * r.uniform(0.45, 0.8), most)
        size = max(7.0, w.look.size * r.uniform(0.65, 0.9))
        inner = charts.chart(r, w.words, width, height, size)
        return w.mark("Figure", inner, "div",
                      f"width:{width:.0f}px;height:{height:.0f}px;margin-inline:auto;"
                      f"background:{'#fff' if look_dark(w) else 'none'};color:#000;"
                      f"font-family:'{w.look.head}';"
                      f"line-height:1", 'dir="ltr" data-ink')  # fmt: skip
    address, shape = w.pictures.photograph(r) if kind == "photo" else w.pictures.clip(r)
    if kind == "clip":
        width = min(width, width * r.uniform(0.3, 0.8))
    height = width / shape
    if height > most:
        if kind == "photo":
            height = most
        else:
            height, width = most, most * shape
    frame = (
        r.choice(["", "", "", "border:1px solid #888;", "border-radius:6px;"])
        if kind == "photo"
        else ""
    )
    ink = "data-ink" if kind == "clip" else ""
    return (
        f'<img data-r="Figure" {ink} src="{address}" style="display:block;width:{width:.0f}px;'
        f'height:{height:.0f}px;object-fit:cover;margin-inline:auto;{frame}">'
    )


def figure_block(w: Writer, width: float = 0.0, *, captioned: float = 0.9, kind: str = "",
                 most: float = 0.0) -> str:  # fmt: skip
    """A figure with its caption."""
    r, look = w.rng, w.look
    width = width or look.column_width * r.choice([1, 1, 1, 0.8, 0.6])
    most = most or look.body_height * r.uniform(0.15, 0.45)
    if r.random() < 0.12 and width > 250:
        cells = "".join(f"<div>{image(w, width * 0.47, most, kind=kind)}</div>" for _ in range(2))
        inner = f'<div style="display:flex;justify-content:space-between">{cells}</div>'
    else:
        inner = image(w, width, most, kind=kind)
    if r.random() < captioned:
        inner += caption(w, "figure")
    return f'<div style="break-inside:avoid;margin:1em 0;text-align:start">{inner}</div>'
