"""`lmv3det serve` under load on loopback, and what strangers may send it.

    python -m tools.serve_load examples/pages/*.jpg --requests 500 --at-once 20

Starts a server of its own, whose options come after `--`. A client that is told 429 waits as it is
told and goes on with its next request. Linux alone: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = bytes(1 << 20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=20)
    words, options = sys.argv[1:], []
    if "--" in words:
        words, options = words[: words.index("--")], words[words.index("--") + 1 :]
    args = parser.parse_args(words)
    before = folders()
    command = [sys.executable, "-m", "lmv3det", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(re.findall(r":(\d+)/", server.stdout.readline())[0])
            load(port, server.pid, [path.read_bytes() for path in args.files], args)
            abuse(port, args.files[0].read_bytes())
            print(f"after all that: {megabytes(server.pid)} MB")
        finally:
            server.send_signal(signal.SIGTERM)
            print("ended with", server.wait(120))
    print("temporary folders left:", len(folders() - before))
    return 0


def folders() -> set[Path]:
    """Temporary folders of servers, also of those that were killed."""
    return set(Path(tempfile.gettempdir()).glob("lmv3det-serve-*"))


def load(port: int, pid: int, files: list[bytes], args: argparse.Namespace) -> None:
    statuses: collections.Counter[object] = collections.Counter()
    seconds, lock = [], threading.Lock()
    began = time.monotonic()
    print(f"before: {megabytes(pid)} MB")

    def ask(number: int) -> None:
        start = time.monotonic()
        try:
            status, headers, _ = post(port, files[number % len(files)])
        except OSError as error:
            status, headers = type(error).__name__, {}
        with lock:
            statuses[status] += 1
            if status == 200:
                seconds.append(time.monotonic() - start)
            count = statuses.total()
            if count % max(args.requests // 10, 1) == 0:
                print(f"{count}: {megabytes(pid)} MB, {time.monotonic() - began:.0f} s")
        time.sleep(float(headers.get("retry-after", 0)))

    with ThreadPoolExecutor(args.at_once) as pool:
        list(pool.map(ask, range(args.requests)))
    took = time.monotonic() - began
    seconds.sort()
    print(f"{statuses.total()} answers in {took:.1f} s: {dict(statuses)}")
    if seconds:
        middle, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
        print(f"answered with 200: median {middle:.2f} s, 95 of 100 within {late:.2f} s")


def abuse(port: int, page: bytes) -> None:
    """What it says to each; the server answers after it."""
    large, endless_page = pdf_bomb(60_000), pdf_bomb(5000, times=10_000)
    for name, attack in (
        ("a client that hangs up", lambda: hang_up(port, page)),
        ("2 GB, told beforehand", lambda: endless(port, False)),
        ("2 GB in chunks", lambda: endless(port, True)),
        ("a PDF of a picture of 60000×60000", lambda: post(port, large)[::2]),
        ("a PDF that shows 5000×5000 ten thousand times", lambda: post(port, endless_page)[::2]),
        ("a PDF of a page of 5 m", lambda: post(port, pdf_bomb(100, side=14_400))[::2]),
        ("a path in the file name", lambda: post(port, page, "../../../tmp/x.png")[0::2]),
        ("a path in the address", lambda: get(port, "/../../../etc/passwd")),
    ):
        start = time.monotonic()
        outcome = str(attack())[:160]
        took = time.monotonic() - start
        print(f"{name}: {outcome} ({took:.1f} s)")
        deadline = time.monotonic() + 60
        while (health := json.loads(get(port, "/v1/health")[1]))["requests"]:
            assert time.monotonic() < deadline, "a place is lost"
            time.sleep(0.05)
        assert health["status"] == "ok"


def post(port: int, content: bytes, name: str = "page.png") -> tuple[int, dict, bytes]:
    boundary = "----load"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    fields = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", "/v1/detect", body, fields)
    answer = connection.getresponse()
    headers = {key.lower(): value for key, value in answer.getheaders()}
    result = answer.status, headers, answer.read()
    connection.close()
    return result


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


def hang_up(port: int, page: bytes) -> str:
    head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(page)}\r\n\r\n"
    for part in (page[:100], page):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + part)
            time.sleep(0.1)
    return "twice, while sending and while waiting"


def endless(port: int, chunked: bool) -> str:
    sent, total = 0, 2 << 30

    def zeros() -> Iterator[bytes]:
        nonlocal sent
        while sent < total:
            sent += len(BLOCK)
            yield BLOCK

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {} if chunked else {"Content-Length": str(total)}
    try:
        connection.request("POST", "/v1/detect", zeros(), fields, encode_chunked=chunked)
    except OSError as error:
        outcome = type(error).__name__
    else:
        outcome = "sent"
    try:
        answer = connection.getresponse()
        outcome = f"{answer.status} {answer.read().decode()}"
    except (OSError, http.client.HTTPException):
        pass
    connection.close()
    return f"{outcome} after {sent >> 20} MB"


def pdf_bomb(pixels: int, side: int = 600, times: int = 1) -> bytes:
    """A small PDF of a picture of so many pixels a side, black, shown again and again on a page of
    `side` points."""
    packer, packed = zlib.compressobj(9), b""
    row = bytes(pixels)
    for _ in range(pixels):
        packed += packer.compress(row)
    packed += packer.flush()
    shown = b"%d 0 0 %d 0 0 cm " % (side, side) + b"/I Do " * times
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R "
        b"/Resources << /XObject << /I 5 0 R >> >> >>" % (side, side),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(shown), shown),
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray "
        b"/BitsPerComponent 8 /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream"
        % (pixels, pixels, len(packed), packed),
    ]
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 6\n0000000000 65535 f \n"
    tail = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + head + table + tail


def megabytes(pid: int) -> int:
    """Memory of a process and those that it started, shared pages counted once."""
    total, left = 0, [pid]
    while left:
        one = left.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue  # it has just ended
        total += int(re.findall(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[0])
        left += map(int, children)
    return total // 1024


if __name__ == "__main__":
    sys.exit(main())
