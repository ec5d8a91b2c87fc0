"""Formats of images: which are read, and by what their files are told."""

from __future__ import annotations

import contextlib
import os

from PIL import features

from lmv3det.data.pdf import HEAD
from lmv3det.errors import install_extra

FORMATS: tuple[str, ...] = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What an image may be, whatever its name: Pillow would also open PostScript, with Ghostscript.
AVIF where Pillow is built with it, HEIF where pillow-heif is installed."""
_SUFFIXES = "bmp gif jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
if features.check("avif"):
    FORMATS += ("AVIF",)
    _SUFFIXES += " avif"
with contextlib.suppress(ImportError):  # it brings libheif and its decoder, of another licence
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)
    _SUFFIXES += " heic heif"
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())


def format_of(head: bytes) -> str:
    """The format of an image by how its file begins; empty for what is not known here."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        brands = {brand, *(head[k : k + 4] for k in range(16, min(len(head), 64), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}:
            return "HEIF"
        return ""
    for name, begin in _HEADS:
        if head.startswith(begin):
            return name
    return "WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


_HEADS = (
    ("PNG", b"\x89PNG\r\n\x1a\n"), ("JPEG", b"\xff\xd8\xff"), ("GIF", b"GIF8"),
    ("TIFF", b"II*\0"), ("TIFF", b"MM\0*"), ("TIFF", b"II+\0"), ("TIFF", b"MM\0+"),
    ("JPEG2000", b"\0\0\0\x0cjP  "), ("JPEG2000", b"\xff\x4f\xff\x51"),
    ("DjVu", b"AT&TFORM"), ("PostScript", b"%!PS"), ("JPEG XL", b"\0\0\0\x0cJXL "),
    ("JPEG XL", b"\xff\x0a"), ("PSD", b"8BPS"),
)  # fmt: skip


def unread_format(path: str | os.PathLike) -> str:
    """What a file is that is neither a PDF nor an image that can be read; empty where it is not
    known, or is read."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return ""
    kind = format_of(head)
    if kind in FORMATS:
        return ""
    if kind == "HEIF":
        return f"HEIC, which is read with the package pillow-heif: {install_extra('heif')}"
    return f"{kind}, a format that is not read: save it as PNG" if kind else ""
