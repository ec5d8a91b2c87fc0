"""Drawn figures: block diagrams, trees, networks, molecules, geometry, layers, flow charts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pagegen.marks import BLACK, Colour
from pagegen.typst.figures import Canvas, Point, shortened
from pagegen.typst.papers.photos import PHOTOS

FACES: list[Colour | None] = [
    None,
    None,
    (0xE0, 0xE0, 0xF0),
    (0xF0, 0xE0, 0xC0),
    (0xD0, 0xF0, 0xD0),
    (0xF0, 0xC0, 0xC0),
    (0xB0, 0xD0, 0xF0),
    (0xE0, 0xE0, 0xE0),
    (0x30, 0x60, 0xA0),
]


def arrow(c: Canvas, a: Point, b: Point, pen: float = 0.6, base: Colour = BLACK) -> None:
    """A line from a to b with a head at b."""
    c.way([a, b], pen, base)
    length = math.dist(a, b) or 1.0
    ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    q = 3 + pen
    c.area(
        [
            b,
            (b[0] - q * ux - q * 0.5 * uy, b[1] - q * uy + q * 0.5 * ux),
            (b[0] - q * ux + q * 0.5 * uy, b[1] - q * uy - q * 0.5 * ux),
        ],
        base,
    )


def _word(c: Canvas, width: float) -> str:
    letter = c.size * (1.0 if c.prose.language == "zh" else 0.58)
    return shortened(c.prose.figure_word_label(), max(1, int(width / letter)))


def _symbol(c: Canvas) -> str:
    return c.rng.choice("ABCDEGHKLMNPQRSTUVXYZabcdefghkmnpqrstuvwxyzαβγδεθλμπσφψω0123456789")


def chain(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Boxes in a grid, joined by arrows, in frames at times."""
    r, s = c.rng, c.size
    columns = max(1, min(r.randint(1, 6), int(w / (s * 6))))
    rows = max(1, min(r.randint(1, 6), int(h / (s * 3))))
    if columns * rows < 2:
        rows = 2
    sw, sh = w / columns, h / rows
    bw, bh = sw * r.uniform(0.6, 0.8), sh * r.uniform(0.4, 0.7)
    face, own = r.choice(FACES), r.random() < 0.3
    for i in range(rows):
        for j in range(columns):
            if r.random() < 0.1 and columns * rows > 4:
                continue
            bx, by = x + sw * j + (sw - bw) / 2, y + sh * i + (sh - bh) / 2
            c.rec(bx, by, bw, bh, r.choice(FACES) if own else face, 0.6)
            if bh > s * 2.6 and r.random() < 0.6:
                c.label(bx + bw / 2, by + bh / 2 - s * 0.7, _word(c, bw))
                c.label(bx + bw / 2, by + bh / 2 + s * 0.7, _word(c, bw))
            else:
                c.label(bx + bw / 2, by + bh / 2, _word(c, bw))
            if j + 1 < columns and r.random() < 0.85:
                arrow(c, (bx + bw, by + bh / 2), (bx + sw, by + bh / 2))
            if i + 1 < rows and r.random() < (0.8 if columns == 1 else 0.4):
                arrow(c, (bx + bw / 2, by + bh), (bx + bw / 2, by + sh))


def stacks(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Stacks of coloured boxes side by side, a word in each, a thumbnail above or below."""
    r, s = c.rng, c.size
    columns = max(1, min(r.randint(2, 5), int(w / (s * 5.5))))
    slot = w / columns
    thumb = min(slot * 0.7, h * 0.22) if r.random() < 0.6 else 0.0
    top = y + (thumb + s if thumb else 0.0)
    rows = max(2, min(r.randint(3, 12), int((y + h - top) / (s * 1.7))))
    sh = (y + h - top) / rows
    bw, bh = slot * r.uniform(0.7, 0.9), sh * r.uniform(0.55, 0.85)
    faces: list[Colour] = [f for f in FACES if f is not None]
    own = [r.choice(faces) for _ in range(rows)]
    look = r.randrange(len(PHOTOS))
    for j in range(columns):
        left = x + slot * j + (slot - bw) / 2
        if thumb:
            noise = np.random.default_rng(r.getrandbits(64))
            px = x + slot * (j + 0.5) - thumb / 2
            c.image(px, y, thumb, thumb, PHOTOS[look](noise, 48, 48))
        for i in range(rows):
            if i and r.random() < 0.05:
                continue
            py = top + sh * i
            face = own[i] if r.random() < 0.8 else r.choice(faces)
            c.rec(left, py, bw, bh, face, r.choice([0.0, 0.4]))
            c.label(left + bw / 2, py + bh / 2, _word(c, bw))
            if i + 1 < rows and sh - bh > 2:
                arrow(c, (left + bw / 2, py + bh), (left + bw / 2, py + sh), 0.4)


def network(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Nodes and edges: a random graph, a ring, or layers."""
    r = c.rng
    kind = r.choice(["free", "ring", "layers"])
    n = r.randint(5, 14)
    rad = max(2.0, min(c.size * r.choice([0.35, 0.9]), min(w, h) * 0.08))
    nodes: list[Point] = []
    edges: list[tuple[int, int]] = []
    if kind == "layers":
        sizes = [r.randint(2, 5) for _ in range(r.randint(3, 5))]
        start = 0
        for k, size in enumerate(sizes):
            px = x + rad + (w - 2 * rad) * k / (len(sizes) - 1)
            nodes += [(px, y + h * (i + 0.5) / size) for i in range(size)]
            if k:
                before = range(start - sizes[k - 1], start)
                edges += [(a, b) for a in before for b in range(start, start + size)]
            start += size
    else:
        for i in range(n):
            turn = 2 * math.pi * i / n
            u, v = (0.5 + 0.45 * math.cos(turn), 0.5 + 0.45 * math.sin(turn))
            if kind == "free":
                u, v = r.uniform(0.06, 0.94), r.uniform(0.06, 0.94)
            nodes.append((x + w * u, y + h * v))
            edges.append((i, (i + 1) % n if kind == "ring" else r.randrange(n)))
        edges += [(r.randrange(n), r.randrange(n)) for _ in range(r.randint(0, n))]
    pointed = r.random() < 0.3
    for a, b in edges:
        if a != b and pointed and len(edges) < 25:
            arrow(c, nodes[a], nodes[b], 0.4)
        elif a != b:
            c.way([nodes[a], nodes[b]], 0.4, BLACK)
    face = r.choice([(0xF0, 0xF0, 0xF0), (0, 0, 0), *FACES[2:]])
    for px, py in nodes:
        c.dot(px, py, rad, face, 0.5)
        if rad > c.size * 0.7 and face != BLACK:
            c.label(px, py, _symbol(c))


def tree(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A tree: words or dots, or a dendrogram with right angles."""
    r, s = c.rng, c.size
    depth = r.randint(2, 4)
    square, worded = r.random() < 0.5, r.random() < 0.6

    def grow(px0: float, px1: float, level: int) -> Point:
        at = ((px0 + px1) / 2, y + s + (h - 2 * s) * level / depth)
        if level < depth and (level < 2 or r.random() < 0.8):
            parts = r.randint(2, 3 if px1 - px0 > s * 14 else 2)
            for k in range(parts):
                q0 = px0 + (px1 - px0) * k / parts
                child = grow(q0, q0 + (px1 - px0) / parts, level + 1)
                if square:
                    c.way([at, (child[0], at[1]), child], 0.5, BLACK)
                else:
                    c.way([at, child], 0.5, BLACK)
        elif worded:
            c.label(at[0], at[1] + s * 0.7, _word(c, px1 - px0))
            return at
        if not square:
            c.dot(at[0], at[1], 2.2, r.choice([(0, 0, 0), (0xF0, 0xF0, 0xF0)]), 0.5)
        return at

    grow(x, x + w, 0)


def molecule(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Rings and bonds with letters at their ends."""
    r, s = c.rng, c.size
    side = min(h / 4.2, w / 5, s * 2.4)
    for row in range(max(1, int(h / (side * 4.2)))):
        px = x + side * 1.2
        cy = y + (row + 0.5) * h / max(1, int(h / (side * 4.2)))
        while px + side * 1.2 < x + w:
            if r.random() < 0.25 and px > x + side * 2:
                end = min(x + w, px + side * 1.6)
                arrow(c, (px, cy), (end, cy))
                px = end + side * 1.4
                continue
            n = r.choice([6, 6, 5])
            ring = [
                (
                    px + side * math.sin(2 * math.pi * k / n),
                    cy - side * math.cos(2 * math.pi * k / n),
                )
                for k in range(n + 1)
            ]
            c.way(ring, 0.6, BLACK)
            for k in range(0, n, 2):
                (ax, ay), (bx, by) = ring[k], ring[k + 1]
                inner = [
                    (px + 0.8 * (ax - px), cy + 0.8 * (ay - cy)),
                    (px + 0.8 * (bx - px), cy + 0.8 * (by - cy)),
                ]
                c.way(inner, 0.5, BLACK)
            k = r.randrange(n)
            ox, oy = ring[k][0] - px, ring[k][1] - cy
            c.way([ring[k], (px + 1.6 * ox, cy + 1.6 * oy)], 0.6, BLACK)
            c.label(
                px + 1.9 * ox, cy + 1.9 * oy, r.choice(["OH", "NH", "O", "N", "Cl", "R", "Me", "F"])
            )
            px += side * r.choice([1.74, 3.4])


def geometry(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A sketch: circles, polygons, axes and letters."""
    r = c.rng
    cx, cy, rad = x + w / 2, y + h / 2, min(w, h) * 0.42
    if r.random() < 0.6:
        arrow(c, (cx - w * 0.48, cy), (cx + w * 0.48, cy), 0.5)
        arrow(c, (cx, cy + h * 0.48), (cx, cy - h * 0.48), 0.5)
    for _ in range(r.randint(1, 3)):
        q = rad * r.uniform(0.3, 1.0)
        ox, oy = r.uniform(-1, 1) * (rad - q), r.uniform(-1, 1) * (rad - q)
        c.dot(cx + ox, cy + oy, q, r.choice(FACES[:4]) if r.random() < 0.3 else None, 0.6)
    n = r.randint(3, 8)
    turns = sorted(r.uniform(0, 2 * math.pi) for _ in range(n))
    corners = [(cx + rad * math.cos(t), cy + rad * math.sin(t)) for t in turns]
    c.way([*corners, corners[0]], 0.6, c.palette[0])
    for px, py in corners:
        c.dot(px, py, 1.3, BLACK)
        c.label(px + (px - cx) * 0.12, py + (py - cy) * 0.12, _symbol(c))
    for _ in range(r.randint(0, 5)):
        c.way([r.choice(corners), (cx, cy)], 0.5, BLACK, r.choice(["solid", "dashed"]))


def layers(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Slanted boxes in a row, as of a neural network, with numbers below."""
    r, s = c.rng, c.size
    n = r.randint(3, 9)
    slot = w / n
    for i in range(n):
        bh = (h - s * 3) * r.uniform(0.35, 0.95)
        bw, d = slot * r.uniform(0.2, 0.5), slot * 0.2
        px, py = x + slot * (i + 0.2), y + d + (h - s * 2 - d - bh) / 2
        face: Colour = r.choice(FACES[2:]) or BLACK
        c.rec(px, py, bw, bh, face, 0.5)
        side = [
            (px + bw, py),
            (px + bw + d, py - d),
            (px + bw + d, py + bh - d),
            (px + bw, py + bh),
        ]
        c.way(side, 0.5, BLACK)
        c.way([(px, py), (px + d, py - d), (px + bw + d, py - d)], 0.5, BLACK)
        if slot > s * 3:
            c.label(px + bw / 2, y + h - s, str(2 ** r.randint(3, 10)))
        if i + 1 < n:
            arrow(c, (px + bw + d, y + h / 2), (px + slot, y + h / 2), 0.4)


def lattice(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Sites of a lattice with bonds; two kinds of sites."""
    r = c.rng
    columns, rows = r.randint(3, 9), r.randint(2, 6)
    dx, dy = w / (columns + 0.5), h / rows
    slant = r.choice([0.0, 0.5])
    rad = min(dx, dy) * r.uniform(0.1, 0.3)
    at = {
        (i, j): (x + dx * (j + 0.5 + slant * (i % 2)), y + dy * (i + 0.5))
        for i in range(rows)
        for j in range(columns)
    }
    for (i, j), a in at.items():
        for b in ((i, j + 1), (i + 1, j)):
            if b in at:
                c.way([a, at[b]], 0.5, BLACK)
    for (i, j), (px, py) in at.items():
        c.dot(px, py, rad, c.palette[(i + j) % 2], 0.3)


def pie(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A pie with its words beside."""
    r, s = c.rng, c.size
    rad = min(w * 0.3, h * 0.48)
    cx, cy = x + rad, y + h / 2
    n = r.randint(2, 6)
    cuts = [0.0, *sorted(r.uniform(0.05, 0.95) for _ in range(n - 1)), 1.0]
    for k in range(n):
        face: Colour = FACES[2 + k % 7] or BLACK
        turns = [cuts[k] + (cuts[k + 1] - cuts[k]) * q / 12 for q in range(13)]
        edge = [
            (cx + rad * math.cos(2 * math.pi * t), cy + rad * math.sin(2 * math.pi * t))
            for t in turns
        ]
        c.area([(cx, cy), *edge], face)
        c.way([(cx, cy), *edge, (cx, cy)], 0.4, BLACK)
        ly = cy + (k - (n - 1) / 2) * s * 1.5
        if x + w - cx - rad > s * 6 and abs(ly - cy) < h / 2 - s * 0.5:
            c.rec(cx + rad + s, ly - s * 0.4, s * 0.8, s * 0.8, face, 0.3)
            c.label(cx + rad + s * 2.2, ly, _word(c, x + w - cx - rad - s * 3), 0)


DIAGRAMS: list[Callable[[Canvas, float, float, float, float], None]] = [
    chain, chain, chain, stacks, stacks, stacks, network, network, tree, molecule, geometry,
    layers, lattice, pie,
]  # fmt: skip
