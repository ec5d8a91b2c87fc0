"""Tagged PDF files written by hand, so that trees can be as no program makes them."""

from __future__ import annotations

from pathlib import Path

TOP = 700


def write_pdf(objects: dict[int, bytes], path: Path) -> Path:
    """A PDF of numbered objects; 1 is the catalog."""
    data = b"%PDF-1.7\n"
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, count = len(data), max(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n" % count
    for number in range(1, count):
        data += b"%010d 00000 %s \n" % (places.get(number, 0), b"n" if number in places else b"f")
    data += b"trailer <</Size %d /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (count, start)
    path.write_bytes(data)
    return path


def tagged(
    path: Path,
    elements: dict[int, bytes],
    owners: list[int],
    lines: list[str] | None = None,
    *,
    roles: bytes = b"",
    extra: str = "",
) -> Path:
    """A page of lines of text, line i with the marked content id i.

    Args:
        path: of the file.
        elements: object number (20 and above) → dictionary of a structure element, without Type;
            20 is the top.
        owners: for each id, the number of its element.
        lines: the texts; "words of line N" by default.
        roles: the role map's content.
        extra: more of the page's content, without a mark.
    """
    lines = [f"words of line {number}" for number in range(len(owners))] if lines is None else lines
    content = "".join(
        f"/P <</MCID {number}>> BDC BT /F 12 Tf 72 {TOP - 40 * number} Td ({text}) Tj ET EMC\n"
        for number, text in enumerate(lines)
    )
    stream = (content + extra).encode("latin-1")
    parents = b" ".join(b"%d 0 R" % number for number in owners)
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R/StructTreeRoot 6 0 R/MarkInfo<</Marked true>>>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/StructParents 0"
        b"/Resources<</Font<</F 5 0 R>>>>>>",
        4: b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        6: b"<</Type/StructTreeRoot/K 20 0 R/ParentTree 7 0 R/RoleMap<<%s>>>>" % roles,
        7: b"<</Nums[0[%s]]>>" % parents,
    }
    for number, body in elements.items():
        objects[number] = b"<</Type/StructElem/Pg 3 0 R%s>>" % body
    return write_pdf(objects, path)


def simple(path: Path, lines: int = 3) -> Path:
    """A heading and paragraphs."""
    elements = {20: b"/S/Document/P 6 0 R/K[%s]" % b" ".join(
        b"%d 0 R" % (21 + number) for number in range(lines))}  # fmt: skip
    for number in range(lines):
        kind = b"H1" if number == 0 else b"P"
        elements[21 + number] = b"/S/%s/P 20 0 R/K %d" % (kind, number)
    return tagged(path, elements, [21 + number for number in range(lines)])
