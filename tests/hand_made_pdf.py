"""PDF files written by hand, for tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def write_pdf(
    path: Path,
    *pages: str,
    rotate: int = 0,
    box: str = "0 0 300 400",
    password: str | None = None,
) -> Path:
    """A PDF of 300×400 points a page, from content streams in Helvetica.

    With a password it is encrypted (RC4 of 40 bits, ISO 32000-1, section 7.6.3).
    """
    owner, permissions = b"", (-4).to_bytes(4, "little", signed=True)
    key = b""
    if password is not None:
        padded = (password.encode() + _PADDING)[:32]
        owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
        key = hashlib.md5(padded + owner + permissions + b"id").digest()[:5]
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
        number, stream = len(objects) + 1, content.encode("latin-1")
        if key:
            own = key + number.to_bytes(3, "little") + bytes(2)
            stream = _rc4(hashlib.md5(own).digest()[:10], stream)
        text = stream.decode("latin-1")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{text}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(kids)}] >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    more = ""
    if key:
        user = _rc4(key, _PADDING).hex()
        more = f"/ID [<{b'id'.hex()}> <{b'id'.hex()}>] /Encrypt << /Filter /Standard /V 1 /R 2 "
        more += f"/O <{owner.hex()}> /U <{user}> /P -4 >>"
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R {more} >>\n"
    trailer += f"startxref\n{len(data)}\n%%EOF\n"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    path.write_bytes(data + (head + table + trailer).encode())
    return path


def words(x: int, y: int, text: str, size: int = 12) -> str:
    """Content that shows a text at a place, in points from the lower left corner."""
    return f"BT /F {size} Tf {x} {y} Td ({text}) Tj ET\n"


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
