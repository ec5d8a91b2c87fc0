"""A server on a free port of this computer, in a thread, for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from lmv3det.inference.detector import Detector
from lmv3det.serve.app import create_app
from lmv3det.serve.limits import Limits
from lmv3det.serve.server import open_port

BOUNDARY = "----a-boundary-of-the-tests"


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, dict(response.getheaders())
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)


class Live:
    """A running server.

    Attributes:
        gate: the model waits while it is not set.
        batches: how many pages the model was given, batch by batch.
    """

    def __init__(self, app: FastAPI, detector: Detector) -> None:
        self.app, self.detector = app, detector
        self.gate, self.batches = threading.Event(), []
        self.gate.set()
        given = detector.model.predict

        def predict(batch: Any, **options: Any) -> Any:
            self.gate.wait(60)
            self.batches.append(len(batch))
            return given(batch, **options)

        detector.model.predict = predict  # type: ignore[method-assign]
        self.socket = open_port("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=30)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def start(self) -> None:
        self.thread.start()
        wait_for(lambda: self.server.started)

    def stop(self) -> None:
        self.gate.set()
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = self.connect()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        with contextlib.closing(connection):
            return Answer(connection.getresponse())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def detect(self, file: Path | bytes, query: str = "", name: str = "page.png") -> Answer:
        """Send a file as the field of a form."""
        content = file if isinstance(file, bytes) else file.read_bytes()
        body = form(("file", name, content))
        return self.ask("POST", f"/v1/detect?{query}", body, Content_Type=FORM)

    @property
    def taken(self) -> int:
        return self.app.state.places.taken

    def metric(self, name: str, **labels: str) -> float:
        return self.app.state.metrics.registry.get_sample_value(f"lmv3det_{name}", labels) or 0.0

    def folders(self) -> list[Path]:
        """What is in the temporary folder."""
        return list(self.app.state.folder.iterdir())


FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*fields: tuple[str, str | None, bytes]) -> bytes:
    """A multipart body of (field, file name, content)."""
    parts = []
    for field, name, content in fields:
        file = "" if name is None else f'; filename="{name}"'
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextlib.contextmanager
def running(detector: Detector, limits: Limits | None = None, **options: Any) -> Iterator[Live]:
    """A server until the block ends."""
    live = Live(create_app(detector, limits, **options), detector)
    live.start()
    try:
        yield live
    finally:
        live.stop()
