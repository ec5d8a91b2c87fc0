"""Sources on servers: http from a server of this test, S3 from moto's; and their errors."""

from __future__ import annotations

import functools
import http.server
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_helpers import draw_page, rows

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from lmv3det.batch.documents import find_documents  # noqa: E402
from lmv3det.batch.job import run_batch  # noqa: E402
from lmv3det.batch.shard import BatchOptions  # noqa: E402
from lmv3det.errors import InputError  # noqa: E402

REFUSED = "127.0.0.1:9"
"""Nothing listens there."""


class Handler(http.server.SimpleHTTPRequestHandler):
    """A folder, of which some names are errors; notes what it is asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        for name, status in (("secret", 403), ("broken", 500)):
            if name in self.path:
                self.send_error(status)
                return
        super().do_GET() if self.command == "GET" else super().do_HEAD()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        pass


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def store(tmp_path) -> Path:
    """Three pages, one of them in a folder below."""
    for number, name in enumerate(("page0.png", "page1.png", "below/page2.png")):
        draw_page(tmp_path / "store" / name, number)
    return tmp_path / "store"


def without_names(found: list[dict]) -> list[dict]:
    return sorted(({**row, "document": ""} for row in found), key=lambda row: row["sha256"])


def test_pages_of_a_web_server(store, options, tmp_path):
    """A folder, a glob and a file; errors are rows of a list, and a line of what is named."""
    pytest.importorskip("aiohttp")
    server = serve(store)
    try:
        site = f"http://127.0.0.1:{server.server_port}"
        run_batch([store], tmp_path / "files", options)
        run_batch([f"{site}/"], tmp_path / "site", options)
        found = rows(tmp_path / "site")
        assert {row["document"] for row in found} == {
            f"{site}/{name}" for name in ("page0.png", "page1.png", "below/page2.png")
        }
        assert without_names(found) == without_names(rows(tmp_path / "files"))
        names = [d.name for d in find_documents([f"{site}/page*.png", f"{site}/page0.png"])]
        assert names == [f"{site}/page0.png", f"{site}/page1.png"]

        gone = [f"{site}/gone.png", f"{site}/secret.png", f"{site}/broken.png"]
        gone += [f"http://{REFUSED}/page.png"]
        (tmp_path / "list.txt").write_text("\n".join([f"{site}/page0.png", *gone]))
        report = run_batch([tmp_path / "list.txt"], tmp_path / "list", options)
        assert (report.pages, report.failed) == (5, 4)
        errors = {row["document"]: row["error"] for row in rows(tmp_path / "list")}
        assert errors.pop(f"{site}/page0.png") is None
        for (name, error), why in zip(
            errors.items(), ("500", "no such file", "403", "Cannot connect"), strict=True
        ):
            assert error.startswith(f"{name}: ") and why in error and "\n" not in error
        for name, why in zip(gone, ("no such file", "403", "500", "Cannot connect"), strict=True):
            with pytest.raises(InputError, match=why) as refused:
                find_documents([name])
            assert str(refused.value).startswith(f"{name}: ")
            assert "\n" not in str(refused.value)
    finally:
        server.shutdown()
        server.server_close()


def test_addresses_of_a_web_server_without_a_suffix(store, options, tmp_path):
    """They, those with a query, and names with `::` are pages by their content."""
    pytest.importorskip("aiohttp")
    draw_page(tmp_path / "page.png", 5).rename(store / "page")
    draw_page(store / "a::b.png", 6)
    server = serve(store)
    try:
        site = f"http://127.0.0.1:{server.server_port}"
        named = [f"{site}/page", f"{site}/page0.png?size=2", f"{site}/a::b.png"]
        assert [d.name for d in find_documents(named)] == sorted(named)
        (tmp_path / "list.txt").write_text("\n".join([*named, f"{site}/gone"]))
        report = run_batch([tmp_path / "list.txt"], tmp_path / "out", options)
        assert (report.pages, report.failed) == (4, 1)
        (bad,) = (row for row in rows(tmp_path / "out") if row["error"])
        assert bad["document"] == f"{site}/gone" and "no such file" in bad["error"]
    finally:
        server.shutdown()
        server.server_close()


def test_links_to_other_servers_are_not_followed(store, tmp_path):
    pytest.importorskip("aiohttp")
    other = serve(store)
    (tmp_path / "links").mkdir()
    draw_page(tmp_path / "links/here/page.png")
    address = f"127.0.0.1:{other.server_port}"
    links = (f"http://{address}/page0.png", f"http://{address}/below/", f"//{address}/page1.png")
    anchors = "".join(f'<a href="{link}">x</a>' for link in (*links, "/", "/up.png", "page.png"))
    (tmp_path / "links/here/index.html").write_text(anchors)
    server = serve(tmp_path / "links")
    try:
        site = f"http://127.0.0.1:{server.server_port}/here/"
        assert [document.name for document in find_documents([site])] == [f"{site}page.png"]
        assert other.asked == []  # type: ignore[attr-defined]
    finally:
        for one in (server, other):
            one.shutdown()
            one.server_close()


@pytest.fixture
def bucket(store, monkeypatch) -> Iterator[str]:
    """The endpoint of an S3 store whose bucket `pages` has the pages, for s3fs as by its user."""
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    pytest.importorskip("flask")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = fsspec.filesystem("s3")
    fs.mkdir("pages")
    fs.put(f"{store}/", "pages/scans/", recursive=True)
    yield endpoint
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_pages_of_s3(bucket, store, options, tmp_path, monkeypatch):
    import s3fs

    run_batch([store], tmp_path / "files", options)
    run_batch(["s3://pages/scans"], tmp_path / "s3", options)
    assert without_names(rows(tmp_path / "s3")) == without_names(rows(tmp_path / "files"))
    names = [d.name for d in find_documents(["s3://pages/scans/page*.png"])]
    assert names == ["s3://pages/scans/page0.png", "s3://pages/scans/page1.png"]
    lines = ["s3://pages/scans/page0.png", "s3://pages/scans/gone.png", "s3://none/page.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    report = run_batch([tmp_path / "list.txt"], tmp_path / "list", options)
    assert (report.pages, report.failed) == (3, 2)
    for row in rows(tmp_path / "list")[:2]:
        assert row["error"] == f"{row['document']}: no such file"
    for name in lines[1:]:
        with pytest.raises(InputError, match=f"^{name}: no such file"):
            find_documents([name])

    # From here on the server knows no key.
    address, plain = f"{bucket}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(address, b"0", plain, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    s3fs.S3FileSystem.clear_instance_cache()
    assert_failed(
        lines[0], r"cannot be read \(.*(Forbidden|Access Key Id|denied)", options, tmp_path / "key"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{REFUSED}")
    s3fs.S3FileSystem.clear_instance_cache()
    assert_failed(lines[0], r"cannot be read \(.*connect", options, tmp_path / "refused")


def assert_failed(name: str, why: str, options: BatchOptions, out: Path) -> None:
    """A source that is named is refused in a line; in a list it is a failed row."""
    with pytest.raises(InputError, match=f"^{name}: {why}") as refused:
        find_documents([name])
    assert "\n" not in str(refused.value)
    out.with_suffix(".txt").write_text(name)
    report = run_batch([out.with_suffix(".txt")], out, options)
    assert (report.pages, report.failed) == (1, 1)
    assert rows(out)[0]["error"].startswith(f"{name}: cannot be read")
