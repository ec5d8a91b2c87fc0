"""Fuzz targets that byte noise does not reach: addresses, faults of tar files, files of others.

Each says what must hold beside a clean answer, and fails with an `AssertionError` where not.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import fsspec
import numpy as np
from PIL import Image

from lmv3det.batch import documents
from lmv3det.batch.documents import find_documents
from lmv3det.data.addresses import PROTOCOLS, read_bytes
from lmv3det.inference.detector import Detector
from lmv3det.inference.job import JOURNAL, RESULT, predict_files
from tests.fuzz.target import Target
from tests.tiny_detector import tiny_checkpoint

_SCHEMES = [
    *fsspec.available_protocols(), "reference", "File", "MEMORY", "s3 ", "a b", "", "zip::file",
    "simplecache::memory", "reference::memory", "%66ile", "file+x", "memory.",
]  # fmt: skip
_NAMES = [
    "a.png", "evil.json", "reference::evil.json", "::", "a::b.png", "~", "~/a.png", "*", "[a",
    "a?b", "..", "../a.png", "\0", "\udcff.png", "a\nb.png", "list.txt", "x.tar", "x.tar::a.png",
    "%2e%2e",
    "a.png?x=1", "a" * 300 + ".png", "", " ", "//a.png", "C:\\a.png",
]  # fmt: skip
_SAFE = {name for name in PROTOCOLS if name in ("file", "memory")}


def _prepare_addresses(folder: Path) -> Path:
    Image.new("RGB", (8, 8), "white").save(folder / "a.png")
    shutil.copy(folder / "a.png", folder / "a::b.png")
    call = f"{{{{ cycler.__init__.__globals__.os.mkdir({str(folder / 'ran')!r}) }}}}"
    evil = f'{{"version": 1, "templates": {{"u": "{call}"}}, "refs": {{"a.png": ["{{{{u}}}}"]}}}}'
    for name in ("evil.json", "reference::evil.json"):
        (folder / name).write_text(evil)
    with tarfile.open(folder / "x.tar", "w") as archive:
        archive.add(folder / "a.png", "a.png")
    return folder


def _address(rng: Random, folder: Path) -> str:
    parts = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name = rng.choice(_NAMES)
        if rng.random() < 0.5:
            name = f"{folder}/{name}"
        scheme = rng.choice([None, None, *rng.sample(_SCHEMES, 3), "file", "memory"])
        parts.append(name if scheme is None else f"{scheme}{rng.choice(['://', '::', ':'])}{name}")
    return rng.choice(["::", "://", "/"]).join(parts)


def _write_addresses(rng: Random, seeds: Any, folder: Path) -> None:
    lines = [_address(rng, seeds) for _ in range(rng.randint(0, 3))]
    text = rng.choice(["\n", "\r\n"]).join([*lines, str(seeds / "a.png")])
    (folder / "list.txt").write_bytes(
        rng.choice([b"", b"", b"\xef\xbb\xbf"]) + text.encode("utf-8", "surrogateescape")
    )


def _read_addresses(rng: Random, seeds: Any, folder: Path) -> object:
    """Nothing but the named protocols is looked up, and no template is rendered."""
    known = fsspec.get_filesystem_class

    def watched(protocol: str) -> Any:
        assert protocol in PROTOCOLS, protocol
        if protocol not in _SAFE:  # no network here
            raise ImportError(protocol)
        return known(protocol)

    walk = documents._walk

    def walked(place: str) -> Any:  # not the whole disk
        return walk(place) if place.startswith(str(seeds)) else iter(())

    source = rng.choice([str(folder / "list.txt"), _address(rng, seeds)])
    if source.strip("/") in ("", ".", "..") or set(source) & set("*?[~"):
        source = str(folder / "list.txt")  # no walk through the whole disk
    here = Path.cwd()
    os.chdir(seeds)
    try:
        with (
            mock.patch.object(fsspec, "get_filesystem_class", watched),
            mock.patch.object(documents, "_walk", walked),
        ):
            found = find_documents([source])
            for document in found[:20]:
                if not document.problem and document.address.startswith(str(seeds)):
                    read_bytes(document.address, document.start, document.length)
    finally:
        os.chdir(here)
        assert not (seeds / "ran").exists(), "a template was rendered"
    return found


def _content(name: str, size: int) -> bytes:
    return (f"<{name}>".encode() * (size // 4 + 1))[:size]


def _shortened(content: bytes) -> bytes:
    """An archive whose end is marked by two blocks alone, as cpio writes it."""
    blocks = -(-len(content.rstrip(b"\0")) // 512)
    return content[: blocks * 512] + bytes(1024)


def _prepare_tars(folder: Path) -> None:
    return None


def _write_tars(rng: Random, seeds: Any, folder: Path) -> None:
    """One archive or two, of plain files with names of their own, and one fault or none."""
    whole, number = b"", 0
    fault = rng.choice(["none", "flip", "cut", "zero", "noise"])
    for _ in range(rng.choice([1, 1, 2])):
        stream = io.BytesIO()
        form = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            for _ in range(rng.randint(1, 6)):
                # Long names lie in blocks of their own, which no checksum protects.
                plain = form == tarfile.USTAR_FORMAT or fault != "none"
                long = "" if plain else rng.choice(["", "", "ü" * 60])
                name = f"{number:03d}{long}.png"
                member = tarfile.TarInfo(name)
                member.size = rng.choice([0, 10, 511, 512, 513, 2000])
                archive.addfile(member, io.BytesIO(_content(name, member.size)))
                number += 1
        content = stream.getvalue()
        whole += content if rng.random() < 0.8 else _shortened(content)
    data = bytearray(whole)
    if fault == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif fault == "cut":
        del data[rng.randrange(512, len(data)) :]
    elif fault in ("zero", "noise"):
        place = rng.randrange(0, len(data), 512)
        data[place : place + 512] = bytes(512) if fault == "zero" else rng.randbytes(512)
    (folder / "x.tar").write_bytes(data)
    (folder / "names").write_text("\n".join([fault, str(number)]))


def _read_tars(rng: Random, seeds: Any, folder: Path) -> object:
    """Of a whole archive every file is found; of another one each is found or a fault is told; and
    what is found is the file of its name."""
    fault, count = (folder / "names").read_text().split("\n")
    path = (folder / "x.tar").absolute()
    # Nothing tells that an archive followed where the cut is in the mark of the end before it.
    ended = fault == "cut" and not any(path.read_bytes()[-512:])
    found = find_documents([str(path)])
    good = [document for document in found if not document.problem]
    if fault == "none":
        assert len(good) == int(count) and len(found) == len(good), found
    elif len(good) < int(count):
        assert len(good) < len(found) or fault == "zero" or ended, "files are lost without a word"
    for document in good:
        content = read_bytes(document.address, document.start, document.length)
        if fault in ("none", "cut"):
            name = document.name.removeprefix("tar://").removesuffix(f"::{path}")
            assert content == _content(name, len(content)), document
    return good


def _prepare_overwriting(folder: Path) -> tuple[Path, Detector]:
    (folder / "pages").mkdir()
    for name in ("a", "b"):
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pages" / f"{name}.png")
    return folder / "pages", Detector.load(tiny_checkpoint(folder / "model.pth"), device="cpu")


_WRITTEN = [
    "a.png", "b.png", "a.md", "b.html", "images/a.png", "images/b.json", "pictures/a_1.png",
    "coco.json", "cvat.xml", "labels.txt", "label_studio.json", RESULT, JOURNAL, "notes.txt",
]  # fmt: skip


def _write_overwriting(rng: Random, seeds: Any, folder: Path) -> None:
    """Somebody's files and links in the folder that is written to, some after an earlier run."""
    pages, detector = seeds
    shutil.copytree(pages, folder / "pages")
    out = folder / "out"
    out.mkdir()
    if rng.random() < 0.5:
        formats = rng.sample(["markdown", "labelme", "coco", "html"], 2)
        predict_files(detector, [folder / "pages"], out, formats=formats, draw_score=0.0)
    for name in rng.sample(_WRITTEN, rng.randint(0, 3)):
        path = out / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        kind = rng.randrange(4)
        if kind == 0:
            path.symlink_to(folder / "pages" / "a.png")
        elif kind == 1:
            os.link(folder / "pages" / "b.png", path)
        else:
            path.write_text(f"somebody's {name}")


def _read_overwriting(rng: Random, seeds: Any, folder: Path) -> object:
    """Whatever is asked for, somebody's files, the inputs and links are as they were."""
    _, detector = seeds
    mine = {
        path: (path.is_symlink(), path.read_bytes())
        for path in folder.rglob("*")
        if path.is_symlink()
        or (path.is_file() and (path.parent.name == "pages" or b"somebody" in path.read_bytes()))
    }
    try:
        report = predict_files(
            detector, [folder / "pages"], folder / "out", draw_score=0.0,
            formats=rng.sample(["markdown", "labelme", "coco", "html", "cvat"], rng.randint(0, 2)),
            overwrite=rng.random() < 0.5, resume=rng.random() < 0.3, drawings=rng.random() < 0.7,
        )  # fmt: skip
    finally:
        for path, (link, content) in mine.items():
            assert path.is_symlink() == link and path.read_bytes() == content, path
    return report


TARGETS = [
    Target("addresses", _prepare_addresses, _write_addresses, _read_addresses),
    Target("tars", _prepare_tars, _write_tars, _read_tars),
    Target("overwriting", _prepare_overwriting, _write_overwriting, _read_overwriting),
]
