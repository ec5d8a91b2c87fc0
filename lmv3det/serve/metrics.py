"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one server.

    Args:
        taken: gives the requests that run or wait.
    """

    def __init__(self, taken: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "lmv3det"}
        self.requests = Counter("requests", "Requests answered", ["path", "status"], **own)
        self.seconds = Histogram(
            "request_seconds", "Time to answer", ["path"], buckets=SECONDS, **own
        )
        self.hangups = Counter("hangups", "Requests whose client hung up", **own)
        self.pages = Counter("pages", "Pages done", **own)
        self.failures = Counter("page_failures", "Pages that could not be done", **own)
        self.batch = Histogram(
            "pages_together", "Pages that the model took from the queue at once",
            buckets=BATCHES, **own,
        )  # fmt: skip
        Gauge("requests_under_way", "Requests that run or wait", **own).set_function(taken)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
