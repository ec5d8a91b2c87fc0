"""What the server refuses, and that it lives on."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hand_made_pdf import words, write_pdf
from live_server import FORM, form, running, wait_for
from PIL import Image

from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.serve.limits import Limits, Refusal
from lmv3det.serve.reader import Readers, Reading
from tools.serve_load import pdf_bomb


def sentence(answer) -> str:
    """The error of an answer, which is one sentence in one line without a path of this computer."""
    content = answer.json()
    assert list(content) == ["error"]
    text = content["error"]
    assert text.endswith(".") and "\n" not in text and "lmv3det-serve" not in text
    return text


def png_head(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"no picture at all", 422, "It is neither a PDF nor a readable image"),
        (b"%PDF-1.4\nno more", 422, "It cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 422, "or damaged"),
        (png_head(60_000, 60_000), 422, "Too many pixels"),
        (png_head(2000, 2000), 422, "more than the 1,000,000 allowed"),
        (bytes(200_001), 413, "larger than 0.2 MB"),
    ],
)
def test_files_that_are_refused(live, png, content, status, says):
    answer = live.detect(content)
    assert answer.status == status and says in sentence(answer)
    raw = live.ask("POST", "/v1/detect", content)
    assert raw.status == status and says in sentence(raw)
    assert live.detect(png).status == 200


def test_in_json_lines_a_file_that_is_refused_is_a_line(live):
    answer = live.detect(b"no picture", "format=jsonl")
    assert answer.status == 200 and "readable image" in sentence(answer)


def test_pages_that_are_refused(live, tmp_path):
    many = write_pdf(tmp_path / "many.pdf", *[words(10, 10, "a")] * 6)
    assert "More than the 5 pages allowed" in sentence(live.detect(many))
    large = write_pdf(tmp_path / "large.pdf", "", box="0 0 14400 14400")
    answer = live.detect(large)
    assert answer.status == 422 and "pixels" in sentence(answer)
    assert "LMV3DET" not in answer.json()["error"]
    answer = live.detect(pdf_bomb(1100, side=100))
    assert answer.status == 422 and "A picture on page 1: 1100×1100 pixels" in sentence(answer)


@pytest.mark.slow
def test_a_pdf_made_to_take_for_ever(checkpoint, png):
    """A few kilobytes that show a picture of 1000×1000 ten thousand times on one page: some 20
    seconds' work for a fast machine."""
    bomb = pdf_bomb(1000, side=300, times=10_000)
    assert len(bomb) < 200_000
    with running(Detector.load(checkpoint, "cpu"), Limits(page_seconds=4)) as live:
        answer = live.detect(bomb)
        assert answer.status == 422 and "longer than 4 s" in sentence(answer)
        assert live.detect(png).status == 200


def test_a_broken_page_does_not_spoil_the_others(live, tmp_path):
    images = [Image.new("RGB", size, "white") for size in ((50, 60), (2000, 2000), (60, 50))]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], compression="raw")
    path = tmp_path / "b.tif"
    images[0].save(path, save_all=True, append_images=images[1:], compression="tiff_deflate")
    pages = live.detect(path).json()["pages"]
    assert [sorted(page) for page in pages][1] == ["error", "file", "page"]
    assert "4,000,000" in pages[1]["error"] or "2000×2000" in pages[1]["error"]
    assert [page["page"] for page in pages if "detections" in page] == [1, 3]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("format=docx", "format: Input should be 'json'"),
        ("score=2", "score: Input should be less than or equal to 1"),
        ("score=nan", "score"),
        ("scores=0.5", "scores"),
    ],
)
def test_a_wrong_query(live, png, query, says):
    answer = live.detect(png, query)
    assert answer.status == 422 and says in sentence(answer)


def test_wrong_forms(live, png):
    def send(body: bytes, kind: str = FORM):
        return live.ask("POST", "/v1/detect", body, Content_Type=kind)

    assert "other fields than `file`" in sentence(send(form(("other", "a.png", png.read_bytes()))))
    assert "no file" in sentence(send(form(("file", None, b"text"))))
    two = form(("file", "a.png", b"x"), ("file", "b.png", b"y"))
    assert "one file" in sentence(send(two))
    assert "one file" in sentence(send(b"x", "multipart/form-data"))
    assert sentence(send(b"garbage"))
    assert live.get("/v1/detect").status == 405 and sentence(live.get("/v1/detect"))
    assert sentence(live.get("/nothing"))


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "..\\..\\x.png", "a/../b.png", "..", "x" * 3000, "\x07"],
)
def test_a_path_in_the_file_name(live, png, tmp_path, name):
    """Names are shown, and offered for downloads; they name no file here."""
    before = set(tmp_path.parent.rglob("*")), set(Path.cwd().iterdir())
    for query in ("", "format=coco", "format=labelme", "format=markdown&archive=true"):
        answer = live.detect(png, query, name=name)
        assert answer.status == 200, answer.body
        if not query:
            shown = answer.json()["file"]
            assert "/" not in shown and "\\" not in shown.replace("\\x07", "")
            assert len(shown) <= 200
        else:
            disposition = answer.headers["content-disposition"]
            assert "/" not in disposition.replace("UTF-8", "") and "\x07" not in disposition
    assert (set(tmp_path.parent.rglob("*")), set(Path.cwd().iterdir())) == before


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page/page.html", "/..",
     "/page.js/../docs.html", "/static/..%5c..", "/v1/../page/docs.html"],
)  # fmt: skip
def test_no_other_file_is_served(live, path):
    assert live.get(path).status == 404


def test_more_than_fit_are_told_to_come_again(live, png):
    live.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(live.detect, png) for _ in range(6)]
        wait_for(lambda: live.taken == 6)
        answer = live.detect(png)
        assert answer.status == 429 and "busy" in sentence(answer)
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert live.get("/v1/health").json()["requests"] == 6
        live.gate.set()
        assert [future.result().status for future in running] == [200] * 6
    assert live.detect(png).status == 200


def test_what_waits_is_batched(live, detector, png, tmp_path):
    """Pages of one size go together, and each gets its own regions."""
    paths = []
    for number in range(5):
        image = Image.open(png).rotate(180) if number % 2 else Image.open(png)
        image.save(tmp_path / f"{number}.png")
        paths.append(tmp_path / f"{number}.png")
    live.gate.clear()
    live.batches.clear()
    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(live.detect, paths[0])]
        wait_for(lambda: live.app.state.work.batcher.waiting.empty() and live.taken == 1)
        time.sleep(0.2)  # the first has reached the model
        running += [pool.submit(live.detect, path) for path in paths[1:]]
        wait_for(lambda: live.app.state.work.batcher.waiting.qsize() == 4)
        live.gate.set()
        found = [future.result().json()["pages"][0]["detections"] for future in running]
    assert live.batches == [1, 4]
    for path, regions in zip(paths, found, strict=True):
        (wanted,) = [page.to_dict()["detections"] for page in detector.predict(path)]
        assert [r["category"] for r in regions] == [r["category"] for r in wanted]
        for mine, theirs in zip(regions, wanted, strict=True):
            assert mine["bbox"] == pytest.approx(theirs["bbox"], abs=0.05)


def request_bytes(live, body: bytes, query: str = "", length: int | None = None) -> bytes:
    return (
        f"POST /v1/detect?{query} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    ).encode() + body


@pytest.mark.parametrize("query", ["", "format=jsonl"])
def test_a_client_that_hangs_up_frees_its_place(live, png, query):
    """While its page waits for the model, which then does not see it."""
    live.gate.clear()
    before = live.metric("pages_total")
    first = socket.create_connection(("127.0.0.1", live.port))
    first.sendall(request_bytes(live, png.read_bytes(), query))
    second = socket.create_connection(("127.0.0.1", live.port))
    second.sendall(request_bytes(live, png.read_bytes(), query))
    wait_for(lambda: live.taken == 2 and len(live.folders()) == 2)
    time.sleep(0.3)
    first.close()
    second.close()
    wait_for(lambda: live.taken == 0 and live.folders() == [])
    live.gate.set()
    assert live.detect(png).status == 200
    assert live.metric("pages_total") == before + 1


def test_a_client_that_hangs_up_while_sending(live):
    client = socket.create_connection(("127.0.0.1", live.port))
    client.sendall(request_bytes(live, bytes(1000), length=100_000))
    wait_for(lambda: live.taken == 1)
    client.close()
    wait_for(lambda: live.taken == 0 and live.folders() == [])


@pytest.mark.parametrize("chunked", [False, True])
def test_an_endless_upload_is_refused_early(live, chunked):
    """A terabyte, told beforehand or not: the server stops reading long before its end."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    sent, total, block = 0, 1 << 40, bytes(1 << 16)

    def zeros():
        nonlocal sent
        while sent < total:
            sent += len(block)
            yield block

    headers = {} if chunked else {"Content-Length": str(total)}
    try:
        connection.request("POST", "/v1/detect", zeros(), headers, encode_chunked=chunked)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server has stopped reading
    else:
        answer = connection.getresponse()
        assert answer.status == 413
    assert sent < total
    connection.close()


def test_other_sites_and_names_are_refused(checkpoint, png):
    detector = Detector.load(checkpoint, "cpu")
    with running(detector, hosts=("localhost", "127.0.0.1", "::1")) as live:
        assert live.get("/v1/health", Host=f"127.0.0.1:{live.port}").status == 200
        assert live.get("/v1/health", Host="localhost").status == 200
        assert live.get("/v1/health", Host="[::1]:80").status == 200
        for host in ("evil.example", "127.0.0.1.evil.example:80", ""):
            answer = live.get("/v1/health", Host=host)
            assert answer.status == 403 and sentence(answer), host
        body = form(("file", "a.png", png.read_bytes()))
        cross = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
        answer = live.ask("POST", "/v1/detect", body, Content_Type=FORM, **cross)
        assert answer.status == 403 and "other sites" in sentence(answer)
        # A link from elsewhere opens the page.
        link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
        assert live.get("/", **link).status == 200


def test_what_takes_too_long(checkpoint, png):
    limits = Limits(seconds=1.5)
    with running(Detector.load(checkpoint, "cpu"), limits) as live:
        client = socket.create_connection(("127.0.0.1", live.port))
        client.sendall(request_bytes(live, bytes(1000), length=100_000))  # and no more
        assert b"408" in client.recv(1000).splitlines()[0]
        client.close()
        live.gate.clear()
        answer = live.detect(png)
        assert answer.status == 504 and "1.5 s" in sentence(answer)
        wait_for(lambda: live.taken == 0 and live.folders() == [])
        live.gate.set()
        assert live.detect(png).status == 200


def test_a_clean_end(checkpoint, png):
    """What runs is finished, what is new is refused, and the temporary folder has gone."""
    with running(Detector.load(checkpoint, "cpu")) as live:
        live.gate.clear()
        folder, found = live.app.state.folder, []
        client = threading.Thread(target=lambda: found.append(live.detect(png)))
        client.start()
        wait_for(lambda: live.taken == 1)
        live.server.should_exit = True

        def is_closed() -> bool:
            try:
                live.connect().connect()
            except ConnectionRefusedError:
                return True
            return False

        wait_for(is_closed)
        assert not found and folder.exists()
        live.gate.set()
        client.join(60)
        live.thread.join(60)
        assert found[0].status == 200 and found[0].json()["pages"]
        assert not folder.exists()


def test_readers_that_hang_or_crash_are_replaced(detector, png):
    """As a file could make them do."""
    source = Reading(PredictOptions(), detector.config, False)
    readers = Readers(source, Limits(page_seconds=1, readers=1))

    async def use() -> None:
        for function, argument, says in (
            (time.sleep, 60, "longer than 1 s"),
            (os._exit, 3, "cannot be read"),
        ):
            with pytest.raises(Refusal, match=says):
                await readers._call(function, argument)
        assert await readers.count(png, None) == 1
        hanging = asyncio.create_task(readers._call(time.sleep, 60))
        await asyncio.sleep(0.2)
        hanging.cancel()  # the client hung up
        sample, picture = await readers.page(png, 0, 1, None, True)
        assert sample.image.shape == (96, 72, 3) and picture.startswith("data:image/jpeg")

    try:
        asyncio.run(use())
    finally:
        readers.close()


def test_a_model_that_fails_says_so(live, png, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of order")

    monkeypatch.setattr(live.detector.model, "predict", fail)
    answer = live.detect(png)
    assert answer.status == 500 and "log" in sentence(answer)
    assert "order" not in answer.json()["error"]


def test_a_folder_is_no_source_of_text(detector, tmp_path):
    from lmv3det.serve.app import create_app

    with pytest.raises(InputError, match="must be one of layer, none"):
        create_app(detector, options=PredictOptions(ocr=str(tmp_path)))
