"""PDF files written by hand, for tests."""

from __future__ import annotations

from pathlib import Path


def write_pdf(path: Path, *pages: str, rotate: int = 0, box: str = "0 0 300 400") -> Path:
    """A PDF of 300×400 points a page, from content streams in Helvetica."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = []
    for content in pages:
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Rotate {rotate} "
            f"/Contents {number + 1} 0 R /Resources << /Font << /F {font} >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(kids)}] >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    path.write_bytes(data + (head + table + trailer).encode())
    return path


def words(x: int, y: int, text: str, size: int = 12) -> str:
    """Content that shows a text at a place, in points from the lower left corner."""
    return f"BT /F {size} Tf {x} {y} Td ({text}) Tj ET\n"
