"""Fuzz targets: exports of annotation tools, shards, corpora and their jobs, requests."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import tarfile
import threading
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from lmv3det.batch.job import read_results, run_batch
from lmv3det.batch.plan import DOCUMENTS, JOB
from lmv3det.batch.shard import BatchOptions
from lmv3det.data.check import check_dataset
from lmv3det.data.coco import CocoDataset
from lmv3det.data.shards import INDEX, ShardDataset
from lmv3det.data.write_shards import write_shards
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.inference.formats import load_format
from lmv3det.inference.options import DetectorOptions, PredictOptions
from tests.fuzz.data_targets import small_pages
from tests.fuzz.mutations import (
    NUMBERS,
    TEXTS,
    json_bytes,
    mutate_bytes,
    mutate_digits,
    mutate_text,
    mutate_value,
)
from tests.fuzz.target import Target
from tests.hand_made_pdf import words, write_pdf
from tests.tiny_detector import tiny_checkpoint, tiny_config

EXPORTS = {"labelme": "images", "label-studio": "label_studio.json", "cvat": "cvat.xml"}
"""Format of `predict` → what of its folder is read."""


def _prepare_tools(folder: Path) -> Path:
    """What `predict` writes for LabelMe, Label Studio (annotated by somebody) and CVAT."""
    (folder / "images").mkdir()
    entries = []
    for name, size in (("a.png", (40, 60)), ("b.png", (40, 50))):
        Image.new("RGB", size, "white").save(folder / "images" / name)
        regions = [
            {"bbox": box, "score": 0.5, "category": label, "order": k}
            for k, (box, label) in enumerate((([4, 5, 20, 10], "Text"), ([1, 30, 30, 20], "Table")))
        ]
        entries.append({"file": name, "page": 1, "width": size[0], "height": size[1],
                        "detections": regions, "image": f"images/{name}"})  # fmt: skip
    for format in EXPORTS:
        load_format(format).write(lambda: iter(entries), folder, ["Text", "Table"])
    path = folder / EXPORTS["label-studio"]
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks):
        results = task.pop("predictions")[0]["result"]
        task |= {"id": number, "annotations": [{"was_cancelled": False, "result": results}]}
    path.write_text(json.dumps(tasks))
    return folder


def _write_tools(rng: Random, seeds: Any, folder: Path) -> None:
    shutil.copytree(seeds, folder / "export")
    format = rng.choice(list(EXPORTS))
    path = folder / "export" / EXPORTS[format]
    if format == "labelme":
        path = path / "a.json"
    if path.suffix == ".json":
        path.write_bytes(json_bytes(rng, json.loads(path.read_bytes())))
        return
    text, kind = path.read_text(), rng.randrange(6)
    if kind < 2:
        values = re.findall('="([^"]*)"', text)
        odd = str(rng.choice((*NUMBERS, *TEXTS))).replace('"', "")
        text = text.replace(f'="{rng.choice(values)}"', f'="{odd}"', rng.choice((1, -1)))
    elif kind == 2:
        text = mutate_text(rng, text)
    elif kind == 3:
        entities = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">' + "".join(
            f'<!ENTITY b{k} "{f"&b{k - 1 or str()};" * 10}">' for k in range(1, 9)
        )
        outside = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
        text = text.replace("<annotations>", rng.choice((entities + "]>", outside)) +
                            "<annotations><b>&b;</b>")  # fmt: skip
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutate_digits(rng, data) if kind == 4 else
                     mutate_bytes(rng, data) if kind == 5 else data)  # fmt: skip


def _read_tools(rng: Random, seeds: Any, folder: Path) -> object:
    export = folder / "export"
    found = []
    for path in EXPORTS.values():
        dataset = CocoDataset(export / path, export / "images", quiet=True)
        samples = [dataset[number] for number in range(len(dataset))]
        assert all(np.isfinite(sample.boxes).all() for sample in samples)
        found.append(check_dataset(dataset).summary())
    return found


def _prepare_shards(folder: Path) -> Path:
    content = small_pages(folder)
    content["images"][1] |= {"width": 50, "height": 40}  # as the file has it, without its EXIF
    Image.new("RGB", (50, 40)).save(folder / "images/sub/b.jpg")
    (folder / "annotations.json").write_text(json.dumps(content))
    dataset = CocoDataset(
        folder / "annotations.json", folder / "images", folder / "OCR", with_text=True
    )
    write_shards(dataset, folder / "shards", 2)
    return folder / "shards"


def _write_shards(rng: Random, seeds: Any, folder: Path) -> None:
    shutil.copytree(seeds, folder / "shards")
    index = folder / "shards" / INDEX
    tar = folder / "shards" / f"pages-00{rng.randrange(2)}.tar"
    kind, data = rng.randrange(6), tar.read_bytes()
    if kind < 2:
        index.write_bytes(json_bytes(rng, json.loads(index.read_bytes())))
    elif kind == 2:
        index.write_bytes(mutate_digits(rng, index.read_bytes()))
    elif kind == 3:
        tar.write_bytes(data[: rng.randrange(len(data))])
    elif kind == 4:
        tar.write_bytes(mutate_digits(rng, data))
    else:
        tar.write_bytes(mutate_bytes(rng, data, 30))


def _read_shards(rng: Random, seeds: Any, folder: Path) -> object:
    pattern = str(folder / "shards/pages-{000..001}.tar")
    dataset = ShardDataset(pattern, with_text=True, malformed_ocr=rng.choice(("error", "skip")),
                           missing_ocr="empty", keep_empty=rng.random() < 0.5)  # fmt: skip
    dataset.aspect_ratios()
    samples = [dataset[number] for number in range(len(dataset))]
    assert all(np.isfinite(sample.boxes).all() for sample in samples)
    return dataset.share(0, 2)


def _prepare_batch(folder: Path) -> Path:
    """Two pages and a PDF in a folder and in a tar file, a list, and a job that has one shard."""
    pages = folder / "pages"
    pages.mkdir()
    for name, side in (("a.png", 40), ("b.jpg", 60)):
        Image.new("RGB", (side, 50), "white").save(pages / name)
    write_pdf(pages / "c.pdf", words(20, 300, "some words"))
    with tarfile.open(folder / "pages.tar", "w") as archive:
        for path in sorted(pages.iterdir()):
            archive.add(path, path.name)
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in sorted(pages.iterdir())))
    tiny_checkpoint(folder / "model.pth", tiny_config(model={"mask_on": False}))
    _run(folder, folder / "job", folder / "pages")
    (folder / "job/pages-000001.parquet").unlink()
    return folder


def _run(seeds: Path, out: Path, source: Path) -> object:
    options = BatchOptions(
        DetectorOptions(str(seeds / "model.pth"), "cpu"), PredictOptions(ocr="none"), threads=1
    )
    return run_batch([source], out, options, shard_size=2, resume=True)


def _write_batch(rng: Random, seeds: Any, folder: Path) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        data = (seeds / "pages.tar").read_bytes()
        change = rng.choice((mutate_bytes, mutate_digits))
        data = change(rng, data) if rng.random() < 0.8 else data[: rng.randrange(len(data))]
        (folder / "pages.tar").write_bytes(data)
    elif kind == 1:
        lines = (seeds / "list.txt").read_bytes().split(b"\n")
        odd = (b"nothing.png", b"memory://nothing.png", b"tar://a.png", b"a\0b.png", b"[a.png",
               b"**/nothing*.png", b"file://a.png", b"what://a.png", b"\xff\xfe.png", b"x" * 5000,
               b"zip://a.png::nothing.zip", b"/dev/null", b"#", b"::", b"s3:")  # fmt: skip
        lines[rng.randrange(len(lines))] = rng.choice(odd)
        (folder / "list.txt").write_bytes(b"\n".join(lines))
    else:
        shutil.copytree(seeds / "job", folder / "job")
        path = folder / "job" / (DOCUMENTS if kind == 2 else JOB)
        if kind == 2:
            lines = path.read_bytes().split(b"\n")
            at = rng.randrange(len(lines))
            value = json.loads(lines[at] or b"[]")
            lines[at] = json.dumps(mutate_value(rng, value)).encode("ascii", "replace")
            path.write_bytes(b"\n".join(lines))
        elif kind == 3:
            path.write_bytes(json_bytes(rng, json.loads(path.read_bytes())))
        else:
            path = folder / "job/pages-000000.parquet"
            data = path.read_bytes()
            damaged = data[: rng.randrange(len(data))] if kind == 4 else mutate_bytes(rng, data)
            path.write_bytes(damaged)


def _read_batch(rng: Random, seeds: Any, folder: Path) -> object:
    own = [folder / name for name in ("pages.tar", "list.txt") if (folder / name).exists()]
    report = _run(seeds, folder / "job", own[0] if own else seeds / "pages")
    rows = read_results(folder / "job").count_rows()
    return report, rows


class _Server:
    """The application in this process, with an event loop in a thread of its own."""

    def __init__(self, checkpoint: Path) -> None:
        from lmv3det.serve.app import create_app
        from lmv3det.serve.limits import Limits

        limits = Limits(file_bytes=100_000, pages=3, pixels=1_000_000, seconds=8, page_seconds=5,
                        readers=1)  # fmt: skip
        self.app = create_app(
            Detector.load(checkpoint, "cpu"), limits, options=PredictOptions(ocr="layer")
        )
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.life = self.app.router.lifespan_context(self.app)
        self._await(self.life.__aenter__())

    def _await(self, task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self.loop).result()

    def ask(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body of the answer to a request (method, path, query, headers, body)."""
        return self._await(self._ask(request))

    async def _ask(self, request: dict[str, Any]) -> tuple[int, bytes]:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": request["method"], "path": request["path"], "root_path": "",
            "raw_path": request["path"].encode(), "query_string": request["query"],
            "headers": request["headers"], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
            "state": {},
        }  # fmt: skip
        parts = [{"type": "http.request", "body": request["body"], "more_body": False}]
        status, body, ended = 0, b"", asyncio.Event()

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")

        try:
            await self.app(scope, receive, send)
        finally:
            ended.set()
        return status, body


def _prepare_serve(folder: Path) -> tuple[_Server, list[bytes]]:
    server = _Server(tiny_checkpoint(folder / "m.pth", tiny_config(model={"mask_on": False})))
    picture = io.BytesIO()
    Image.new("RGB", (40, 60), "white").save(picture, "png")
    write_pdf(folder / "words.pdf", words(20, 300, "some words"))
    files = [picture.getvalue(), (folder / "words.pdf").read_bytes()]
    status, body = server.ask(_request(Random(0), files[0]))
    assert status == 200, body
    return server, [*files, body]


def _request(rng: Random, content: bytes, name: bytes = b"a.png", query: str = "") -> Any:
    """A file as a form's field, or as the body itself."""
    headers, body = [(b"content-type", b"image/png")], content
    if rng.random() < 0.6:
        edge = b"--edge"
        body = (
            edge
            + b'\r\nContent-Disposition: form-data; name="file"; filename="'
            + name
            + b'"\r\nContent-Type: image/png\r\n\r\n'
            + content
            + b"\r\n"
            + edge
            + b"--\r\n"
        )
        headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    headers.append((b"content-length", str(len(body)).encode()))
    return {"method": "POST", "path": "/v1/detect", "query": query.encode(), "headers": headers,
            "body": body}  # fmt: skip


def _write_serve(rng: Random, seeds: Any, folder: Path) -> None:
    """The request, in a file."""
    kind, content = rng.randrange(6), rng.choice(seeds[1][:2])
    if kind == 0:
        request = _request(rng, mutate_bytes(rng, content))
    elif kind == 1:
        name = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        request = _request(rng, content, name)
    elif kind == 2:
        names = ("score", "document_score", "format", "archive", "picture", "text_lines", "x")
        odd = [str(rng.choice((*NUMBERS, *TEXTS, "markdown", "coco", "true", 0.5))) for _ in "ab"]
        pairs = [f"{rng.choice(names)}={quote(v, errors='replace')}" for v in odd]
        request = _request(rng, content, query="&".join(pairs))
    elif kind == 3:
        request = _request(rng, content)
        at = rng.randrange(len(request["headers"]))
        key, value = request["headers"][at]
        request["headers"][at] = key, mutate_bytes(rng, value)
    elif kind == 4:
        request = _request(rng, content)
        request["body"] = mutate_bytes(rng, request["body"])
    else:
        request = _request(Random(0), b"")
        body = json_bytes(rng, json.loads(seeds[1][2]))
        format = rng.choice(("markdown", "coco", "html", "labelme", "label-studio", "cvat", "?"))
        request |= {"path": "/v1/convert", "query": f"format={format}".encode(), "body": body,
                    "headers": [(b"content-type", b"application/json")]}  # fmt: skip
    (folder / "request.txt").write_text(repr(request))


def _read_serve(rng: Random, seeds: Any, folder: Path) -> object:
    import ast

    status, body = seeds[0].ask(ast.literal_eval((folder / "request.txt").read_text()))
    if 400 <= status < 500:
        raise InputError(json.loads(body)["error"])
    assert status == 200, (status, body[:200])
    return body


TARGETS = (
    Target("tools", _prepare_tools, _write_tools, _read_tools),
    Target("shards", _prepare_shards, _write_shards, _read_shards),
    Target("batch", _prepare_batch, _write_batch, _read_batch),
    Target("serve", _prepare_serve, _write_serve, _read_serve),
)
