"""What would hold the server: long conversions, slow uploads, other sites, one that is killed."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from live_server import FORM, form, running, wait_for

from lmv3det.documents.text import join_lines
from lmv3det.files import LOCK, scratch_folder, sweep_scratch
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.ocr.engine import join_words
from lmv3det.serve.limits import Limits, Refusal
from lmv3det.serve.reader import Readers, Reading
from lmv3det.serve.schema import MAX_REGIONS


def page_of(*regions: dict, number: int = 1) -> dict:
    return {"page": number, "width": 100, "height": 100, "detections": list(regions)}


def region(category: str = "Text", order: int = 0, **fields) -> dict:
    box = [1, 2, 30, 40]
    return {"bbox": box, "score": 0.9, "category": category, "order": order, **fields}


def convert(live, content: object):
    return live.ask("POST", "/v1/convert", json.dumps(content).encode())


def joined_one_by_one(lines: list[str]) -> str:
    """The definition, in quadratic time."""
    text = ""
    for line in map(str.strip, lines):
        if re.search(r"[a-z]-$", text) and re.match(r"[a-z]", line):
            text = text[:-1] + line
        elif re.search(r"[^\W\d_]-$", text) and re.match(r"\w", line):  # the word's own hyphen
            text = text + line
        else:
            text = join_words([text, line]) if text and line else text + line
    return text


@pytest.mark.parametrize(
    "lines",
    [
        [], [""], ["a"], ["a-", "b-", "c"], ["x", "-", "b"], ["xy-", "", "b"], ["中", "文 字", "a"],
        ["中 文"], [" A-", "b "], ["re-", "Do"], ["a-", "b"], ["a", "", "中"], ["one-", "-", "two"],
    ],
)  # fmt: skip
def test_lines_are_joined_as_one_by_one(lines):
    assert join_lines(lines) == joined_one_by_one(lines)


def test_a_long_conversion_takes_linear_time(checkpoint):
    """In the time of a page; one line after another it would take many minutes."""
    limits = Limits(file_bytes=5_000_000, page_seconds=30)
    with running(Detector.load(checkpoint, "cpu"), limits) as live:
        lines = ["wordone wo-", "rd two"] * 90_000
        answer = convert(live, {"pages": [page_of(region(lines=lines))]})
        assert answer.status == 200
        assert answer.body.decode().startswith("<!-- page 1 -->\n\nwordone word two wordone")
        assert live.get("/v1/health").json()["status"] == "ok"


def test_too_much_to_convert_is_refused(checkpoint):
    limits = Limits(file_bytes=20_000_000)
    with running(Detector.load(checkpoint, "cpu"), limits) as live:
        many = [page_of(*[region() for _ in range(1000)], number=n + 1) for n in range(21)]
        answer = convert(live, {"pages": many})
        assert answer.status == 422 and str(MAX_REGIONS) in answer.json()["error"]
        answer = convert(live, {"pages": [page_of(region(lines=["a"] * 200_001))]})
        assert answer.status == 422 and "200001 lines" in answer.json()["error"]


def test_what_is_written_can_be_ended(detector, tmp_path):
    """A format is written in a process that a timeout and the end of the server end."""
    readers = Readers(
        Reading(PredictOptions(), detector.config, False), Limits(page_seconds=1, readers=1)
    )

    async def use() -> None:
        with pytest.raises(Refusal, match="longer than 1 s to write"):
            await readers._call(time.sleep, 60, pool=readers.writers)
        pages = [{**page_of(region(lines=["a"])), "file": "x"}]
        output = await readers.write("markdown", pages, ["Text"], tmp_path, False)
        assert output.content == b"<!-- page 1 -->\n\na\n"

    asyncio.run(use())
    readers.writers.schedule(time.sleep, args=(600,))
    readers.close()  # which does not wait for it
    assert not readers.writers.active


def test_health_tells(checkpoint, png):
    with running(Detector.load(checkpoint, "cpu"), Limits(requests=1, seconds=60)) as live:
        live.gate.clear()
        client = live.connect()
        client.request("POST", "/v1/detect", png.read_bytes())
        wait_for(lambda: live.get("/v1/health").json()["status"] == "busy")
        assert live.get("/v1/health").status == 200
        wait_for(lambda: live.app.state.work.batcher.busy_since is not None)
        live.app.state.work.batcher.busy_since -= 1000  # as if it hung
        answer = live.get("/v1/health")
        assert answer.status == 503 and answer.json()["status"] == "stuck"
        assert answer.json()["oldest_seconds"] >= 1000
        live.gate.set()
        assert client.getresponse().status == 200
        client.close()
        wait_for(lambda: live.get("/v1/health").json()["status"] == "ok")


def test_pages_of_other_sites_send_nothing(checkpoint, png):
    """Whatever a browser calls it: a form that navigates, another port, an old browser."""
    body = form(("file", "a.png", png.read_bytes()))
    with running(Detector.load(checkpoint, "cpu")) as live:
        own = f"http://127.0.0.1:{live.port}"

        def post(**headers: str) -> int:
            return live.ask("POST", "/v1/detect", body, Content_Type=FORM, **headers).status

        for site in ("cross-site", "same-site"):
            for mode in ("navigate", "no-cors", "cors"):
                assert post(Sec_Fetch_Site=site, Sec_Fetch_Mode=mode) == 403, (site, mode)
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{live.port + 1}", ""):
            assert post(Origin=origin) == 403, origin
        assert post() == 200  # a program
        assert post(Origin=own) == 200
        assert post(Sec_Fetch_Site="same-origin", Origin="https://behind-a-proxy.example") == 200
        assert live.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
        assert live.get("/v1/model", Sec_Fetch_Site="same-site").status == 403


def slow(live, path: str = "/v1/detect") -> socket.socket:
    """An upload of which a byte comes."""
    client = socket.create_connection(("127.0.0.1", live.port))
    client.sendall(
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        "Content-Length: 100000\r\n\r\nx".encode()
    )
    return client


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/convert"])
def test_slow_uploads_keep_nobody_out(checkpoint, png, path):
    """Forty at a time, of one client: a file that comes at once is answered at once."""
    limits = Limits(upload_grace=3, seconds=60)
    with running(Detector.load(checkpoint, "cpu"), limits) as live:
        clients = [slow(live, path) for _ in range(40)]
        wait_for(lambda: len(live.app.state.places.uploads) == 40)
        assert live.detect(png).status == 200
        assert live.get("/v1/health").json() | {"oldest_seconds": 0} == {
            "status": "ok", "requests": 0, "places": 16, "uploads": 40, "oldest_seconds": 0
        }  # fmt: skip
        clients += [slow(live, path) for _ in range(20)]
        wait_for(lambda: len(live.app.state.places.uploads) == limits.client_uploads)
        answer = live.detect(png)
        assert answer.status == 429 and int(answer.headers["retry-after"]) == 3
        for client in clients[:40]:  # each is cut off
            assert b" 408 " in client.recv(1000).splitlines()[0]
        wait_for(lambda: live.taken == 0)  # what Retry-After said was true
        assert live.detect(png).status == 200
        for client in clients:
            client.close()


def test_retry_after_is_the_time_that_is_left(checkpoint):
    from lmv3det.serve.visit import Places, Visit

    places = Places(Limits(requests=2))
    places.usual_seconds = 30
    now = time.monotonic()
    for age in (5, 21):
        visit = object.__new__(Visit)
        places.running[visit] = now - age
    with pytest.raises(Refusal) as busy:
        places._check_running()
    assert busy.value.headers["Retry-After"] in ("9", "10")


def test_a_killed_server_leaves_no_file_for_long(checkpoint, png, tmp_path):
    """SIGKILL leaves the uploaded file; the next start removes it, and nobody else's."""
    command = [sys.executable, "-m", "lmv3det", "serve", "--ckpt", str(checkpoint), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client.putrequest("POST", "/v1/detect")
        client.putheader("Content-Length", "100000")
        client.endheaders()
        client.send(b"a secret" * 1000)
        wait_for(lambda: any(p.stat().st_size for p in tmp_path.rglob("stored")))
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait(60)
        client.close()
    assert list(tmp_path.rglob("stored"))
    (tmp_path / "lmv3det-serve-mine").mkdir()
    (tmp_path / "lmv3det-serve-mine" / "kept.txt").write_text("not a server's")
    code = (
        "from lmv3det.files import scratch_folder\n"
        "with scratch_folder('serve') as folder: print(folder)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert [path.name for path in tmp_path.glob("lmv3det*")] == ["lmv3det-serve-mine"]
    assert not list(tmp_path.rglob("stored"))


def test_the_folder_of_a_running_server_is_left(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder("serve") as folder:
        (folder / "a").write_text("x")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / LOCK).write_text("")
        (tmp_path / "lmv3det-serve-link").symlink_to(tmp_path / "elsewhere")
        with scratch_folder("serve"):
            assert (folder / "a").exists()
        sweep_scratch("serve")
        assert (folder / "a").exists() and (tmp_path / "elsewhere").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "lmv3det-serve-link"]
