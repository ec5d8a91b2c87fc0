"""One thread runs the model on the pages of all requests; what waits is batched."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from lmv3det.inference.detections import PageDetections
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions

if TYPE_CHECKING:
    from lmv3det.structures import Sample

AT_ONCE = 4
"""Batches' worth of waiting pages that are sorted by shape, so that like ones come together."""

Waiting = tuple["Sample", "Future[PageDetections]"]


class Batcher:
    """Predicts on pages in the order of their arrival, by batches of those that wait.

    Args:
        detector: predicts.
        options: which regions; `batch_size` is that of a batch at most.
        told: of how many pages were taken from the queue together.
    """

    def __init__(
        self, detector: Detector, options: PredictOptions, told: Callable[[int], object] = int
    ) -> None:
        self.detector, self.options, self.told = detector, options, told
        self.batch_size = options.batch_size or detector.config.test.batch_size
        self.waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self.busy_since: float | None = None
        self.thread = threading.Thread(target=self._run, name="lmv3det-model", daemon=True)
        self.thread.start()

    def submit(self, sample: Sample) -> Future[PageDetections]:
        """The regions of a page, those that the options keep. A page whose future is
        cancelled before its turn is left out."""
        future: Future[PageDetections] = Future()
        self.waiting.put((sample, future))
        return future

    @property
    def busy_seconds(self) -> float:
        """For which the model has been at its present pages; 0 where it has none."""
        since = self.busy_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """End the thread when what waits is done."""
        self.waiting.put(None)
        self.thread.join()

    def _run(self) -> None:
        first = self.waiting.get()
        while first is not None:
            pages, end = [first], False
            while len(pages) < AT_ONCE * self.batch_size and not (end or self.waiting.empty()):
                more = self.waiting.get()
                if more is None:
                    end = True
                else:
                    pages.append(more)
            self._predict([page for page in pages if page[1].set_running_or_notify_cancel()])
            del pages
            first = None if end else self.waiting.get()

    def _predict(self, pages: list[Waiting]) -> None:
        if not pages:
            return
        self.told(len(pages))
        pages.sort(key=lambda page: page[0].image.shape)
        futures = {id(sample): future for sample, future in pages}

        def failed(sample: Sample, error: Exception) -> None:
            futures[id(sample)].set_exception(error)

        samples = (sample for sample, _ in pages)
        self.busy_since = time.monotonic()
        try:
            for sample, found in self.detector.stream(samples, self.options, failed):
                futures[id(sample)].set_result(found)
        except BaseException as error:  # every page is answered, whatever happens
            for future in futures.values():
                if not future.done():
                    future.set_exception(error)
        finally:
            self.busy_since = None
