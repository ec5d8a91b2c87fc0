"""What the server takes, and what it says when it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        requests: taken at a time, running or waiting; more are answered with 429.
        file_bytes: of an upload.
        pages: of a PDF or TIFF.
        pixels: of a page.
        seconds: for a request, its upload and its waiting included.
        page_seconds: to read and draw a page, and to recognize its text.
        readers: processes that read files.
        reader_bytes: of memory that such a process may take (Linux).
        upload_rate: least bytes a second of an upload, after `upload_grace`.
        upload_grace: seconds in which an upload need not have reached that rate.
    """

    requests: int = 16
    file_bytes: int = 50_000_000
    pages: int = 200
    pixels: int = 50_000_000
    seconds: float = 300
    page_seconds: float = 60
    readers: int = 2
    reader_bytes: int = 4 << 30
    upload_rate: float = 20_000
    upload_grace: float = 10

    @property
    def uploads(self) -> int:
        """Uploads that may be under way at a time; they take no place of `requests`."""
        return 4 * self.requests

    @property
    def client_uploads(self) -> int:
        """Of these, of one client: three quarters, so that others get in beside it."""
        return max(1, 3 * self.uploads // 4)


class Refusal(Exception):
    """A request that is not answered with regions.

    Args:
        status: of HTTP.
        sentence: what is wrong, for the client.
        headers: of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


CLOSE = {"Connection": "close"}
"""For answers that are given before the upload has been read."""
