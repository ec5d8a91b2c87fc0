"""From an uploaded file to its pages with their regions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmv3det.documents.page import content_to_json
from lmv3det.documents.text import join_lines
from lmv3det.errors import InputError
from lmv3det.inference.detections import PageDetections
from lmv3det.inference.detector import Detector
from lmv3det.inference.entries import PageEntry, detections_last
from lmv3det.inference.formats import load_format
from lmv3det.inference.options import PredictOptions
from lmv3det.inference.pictures import save_page_image, save_region_pictures
from lmv3det.inference.text_source import CHOICES, LAYER, NONE, choose_text
from lmv3det.ocr import Engine
from lmv3det.serve.batcher import Batcher
from lmv3det.serve.limits import Limits, Refusal
from lmv3det.serve.metrics import Metrics
from lmv3det.serve.output import SINGLE
from lmv3det.serve.reader import Readers, Reading
from lmv3det.serve.schema import Options
from lmv3det.serve.uploads import Upload
from lmv3det.serve.visit import Visit
from lmv3det.structures import Sample

log = logging.getLogger(__name__)

MODEL_FAILED = "The model failed on this page; the server's log has the cause."


class Work:
    """Reads files and predicts on their pages.

    Args:
        detector: predicts.
        limits: of files, time and memory.
        metrics: count the pages.
        options: how; its `ocr` is no folder.
    """

    def __init__(
        self, detector: Detector, limits: Limits, metrics: Metrics, options: PredictOptions
    ) -> None:
        self.detector, self.limits, self.metrics = detector, limits, metrics
        self.size = options.batch_size or detector.config.test.batch_size
        self.options = replace(options, batch_size=self.size, masks=False)  # nothing shows them
        text: Any = NONE
        if detector.uses_text:
            text = choose_text(options.ocr, detector.config, options.ocr_options)
        if not isinstance(text, Engine) and text not in (LAYER, NONE):
            raise InputError(f"--ocr {text}: it must be one of {', '.join(CHOICES)}")
        self.reading = Reading(replace(options, ocr=text), detector.config, detector.uses_text)

    def start(self) -> None:
        """Start the readers and the model's thread. Called within the server's event loop."""
        self.readers = Readers(self.reading, self.limits)
        self.readers.start()
        self.batcher = Batcher(self.detector, self.options, self.metrics.batch.observe)
        # Pages in memory: those that are read, those that wait, and those that are predicted on.
        self.held = asyncio.Semaphore(self.limits.readers + 2 * self.size)

    def close(self) -> None:
        """Finish what was begun, and end the readers and the thread."""
        self.batcher.close()
        self.readers.close()

    async def count(self, visit: Visit, upload: Upload) -> int:
        """Pages of a file.

        Raises:
            Refusal: it cannot be read, or the time is over.
            ClientDisconnect: the client hung up.
        """
        return await visit.wait(self.readers.count(upload.path, upload.password))

    async def pages(
        self, visit: Visit, upload: Upload, count: int, options: Options, out: Path
    ) -> AsyncIterator[PageEntry]:
        """The entries of a file's pages, in order; one that fails has `error` alone.

        Args:
            visit: the request.
            upload: its file.
            count: pages of it.
            options: what is asked for.
            out: folder for the pictures of a format that has them.

        Raises:
            Refusal: the time is over.
            ClientDisconnect: the client hung up.
        """
        for number in range(count):
            visit.begin(self._page(upload, number, count, options, out))
            if len(visit.running) > self.size:
                yield await visit.next()
        while visit.running:
            yield await visit.next()

    async def _page(
        self, upload: Upload, number: int, count: int, options: Options, out: Path
    ) -> PageEntry:
        async with self.held:
            try:
                sample, picture = await self.readers.page(
                    upload.path, number, count, upload.password, options.picture
                )
                found = await asyncio.wrap_future(self.batcher.submit(sample))
                entry = await asyncio.to_thread(_entry, found, sample, options, out)
            except Refusal as error:
                self.metrics.failures.inc()
                sentence = error.sentence[:1].upper() + error.sentence[1:]
                return {"file": upload.name, "page": number + 1, "error": sentence}
            except Exception:
                self.metrics.failures.inc()
                log.exception("page %d of %r failed", number + 1, upload.name)
                return {"file": upload.name, "page": number + 1, "error": MODEL_FAILED}
        self.metrics.pages.inc()
        entry["file"] = upload.name
        if picture:
            entry["picture"] = picture
        return detections_last(entry)


def _content(detections: PageDetections, options: Options) -> dict[str, Any]:
    """What documents are made of: of the lines alone, as the readers gave them. The file itself is
    not opened in this process, which a damaged one could end."""
    return content_to_json(detections.content(options.document_score, read_file=False))


def _entry(detections: PageDetections, sample: Sample, options: Options, out: Path) -> PageEntry:
    """What `PageDetections.to_dict` gives, with what is asked for beside it."""
    if options.score is not None:
        detections = detections[detections.scores > options.score]
    entry = detections.to_dict(document_score=options.document_score)
    for region in entry["detections"]:
        if "lines" in region:
            region["text"] = join_lines(region["lines"])
    if options.text_lines and detections.lines is not None:
        boxes = detections.lines.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        entry["text_lines"] = [
            {"bbox": box, "text": text}
            for box, text in zip(boxes.round(2).tolist(), detections.lines.lines, strict=True)
        ]
    if options.format in SINGLE and not options.archive:
        if load_format(options.format).needs_content:
            entry["content"] = _content(detections, options)
        return entry
    if options.format not in ("json", "jsonl"):
        chosen = load_format(options.format)
        stem = f"page_{entry['page']}"
        if chosen.needs_content:
            entry["content"] = _content(detections, options)
        if chosen.needs_pictures:
            save_region_pictures(sample.image, entry, out, stem)
        if chosen.needs_images:
            entry["image"] = save_page_image(sample.image, sample.page.file, 2, out, stem)
    return entry
