"""The work on one shard: some documents to a Parquet file, a row a page."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmv3det import __version__
from lmv3det.batch.documents import Document, check_document, open_document, readable
from lmv3det.documents.text import count_words
from lmv3det.errors import InputError, explain
from lmv3det.inference.detections import PageDetections
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import DetectorOptions, PredictOptions
from lmv3det.inference.samples import read_samples
from lmv3det.inference.text_source import CHOICES, choose_text, page_text
from lmv3det.structures import Sample

BOX_DECIMALS = 2
FATAL = (
    "the process that worked on it died each time, without an error: too little memory, or a fault "
    "of a decoder; LMV3DET_MAX_PIXELS bounds the size of a page"
)


@dataclass(frozen=True)
class BatchOptions:
    """How pages become rows.

    Attributes:
        detector: which one, and how it is loaded.
        predict: how pages are predicted on.
        document_score: least score of regions with order and text.
        threads: of torch, in each process; None leaves torch's choice.
    """

    detector: DetectorOptions = field(default_factory=DetectorOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
    document_score: float = 0.3
    threads: int | None = None

    def settings(self) -> dict[str, Any]:
        """Those that the rows depend on.

        Raises:
            InputError: there is no such checkpoint.
        """
        values = {**self.detector.settings(), **self.predict.settings()}
        return {**values, "document_score": self.document_score}


@dataclass
class Result:
    """A finished shard.

    Attributes:
        number: of the shard, from 0.
        content: the Parquet file.
        pages: rows in it.
        failed: rows that have an error.
        documents: of the shard.
    """

    number: int
    content: bytes
    pages: int
    failed: int
    documents: int


def schema(names: Sequence[str] = ()) -> Any:
    """The Arrow schema of a Parquet file (`docs/batch.md` describes the columns).

    Args:
        names: the model's class names, kept as metadata.
    """
    import pyarrow as pa

    columns = [
        pa.field("document", pa.string(), nullable=False),
        ("sha256", pa.string()),
        ("page", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("classes", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("text", pa.list_(pa.string())),
        ("order", pa.list_(pa.int32())),
        ("words", pa.int32()),
        ("words_outside", pa.int32()),
        pa.field("seconds", pa.float32(), nullable=False),
        ("error", pa.string()),
    ]
    return pa.schema(columns, {"lmv3det": __version__, "classes": json.dumps(list(names))})


class Worker:
    """A detector that makes Parquet files of shards.

    Args:
        options: the checkpoint, and how it is used.

    Raises:
        InputError: a checkpoint or an option that cannot be used.
    """

    def __init__(self, options: BatchOptions) -> None:
        self.options = options
        how = options.predict
        if isinstance(how.ocr, str) and how.ocr not in CHOICES:
            raise InputError(
                f"--ocr {how.ocr}: is none of {', '.join(CHOICES)} (a folder of OCR files "
                "names pages by their file alone, which is not enough for a corpus)"
            )
        if options.threads is not None:
            import torch

            torch.set_num_threads(options.threads)
        self.detector = Detector.of_options(options.detector)
        self.detector.selection(how)  # checked before any page is read
        self.text = None
        if self.detector.uses_text:
            config = self.detector.config
            self.text = page_text(choose_text(how.ocr, config, how.ocr_options), config, how)

    def __call__(
        self,
        number: int,
        documents: Sequence[Document],
        advance: Callable[[int], object] | None = None,
        fatal: Collection[int] = (),
    ) -> Result:
        """The Parquet file of shard `number`: rows by document, then page.

        Args:
            number: of the shard.
            documents: those of the shard.
            advance: callback, with how many more documents have been opened.
            fatal: places of documents that end the process: they are not opened, but failed rows.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = list(_Shard(self, documents, advance, fatal).rows())
        table = pa.Table.from_pylist(rows, schema=schema(self.detector.names))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        failed = sum(row["error"] is not None for row in rows)
        content = sink.getvalue().to_pybytes()
        return Result(number, content, len(rows), failed, len(documents))


class _Shard:
    """The pages of some documents on their way through a detector."""

    def __init__(
        self,
        worker: Worker,
        documents: Sequence[Document],
        advance: Callable[[int], object] | None,
        fatal: Collection[int],
    ) -> None:
        self.worker, self.documents, self.advance, self.fatal = worker, documents, advance, fatal
        self.digests: dict[int, str] = {}
        self.paths: dict[int, str] = {}
        self.found: dict[tuple[int, int], dict[str, Any]] = {}
        self.since = time.perf_counter()

    def rows(self) -> Iterator[dict[str, Any]]:
        worker = self.worker
        stream = worker.detector.stream(self._samples(), worker.options.predict, self._failed)
        for sample, detections in stream:
            self._add(sample, detections)
        yield from (self.found[key] for key in sorted(self.found))

    def _samples(self) -> Iterator[Sample]:
        options = self.worker.options.predict
        for place, document in enumerate(self.documents):
            try:
                if place in self.fatal:
                    raise InputError(f"{document.name}: {FATAL}")
                with open_document(document) as path:
                    self.paths[place] = str(path)
                    self.digests[place], count = check_document(path, options.password)
                    # The document's place stands in for the id of the page.
                    yield from read_samples(
                        path,
                        self.worker.text,
                        options,
                        pages=count,
                        image_id=place,
                        failed=functools.partial(self._fail, place),
                    )
            except InputError as error:
                self._fail(place, None, error)
            if self.advance is not None:
                self.advance(1)

    def _failed(self, sample: Sample, error: Exception) -> None:
        self._fail(sample.page.image_id, sample.page.number, error)

    def _fail(self, place: int, number: int | None, error: Exception) -> None:
        """A row for a page, or for a whole document, that cannot be done."""
        name = self.documents[place].name
        text = explain(error).replace(self.paths.get(place, name), name)
        self._row(place, number)["error"] = readable(text)

    def _add(self, sample: Sample, detections: PageDetections) -> None:
        page = sample.page
        try:
            values = columns_of(detections, self.worker.options.document_score)
        except Exception as error:
            self._failed(sample, error)
            return
        row = self._row(page.image_id, page.number)
        row.update(width=page.width, height=page.height, **values)

    def _row(self, place: int, number: int | None) -> dict[str, Any]:
        """A new row, which takes the time since the last one."""
        now = time.perf_counter()
        row: dict[str, Any] = dict.fromkeys(schema().names)
        row["document"] = readable(self.documents[place].name)
        row["sha256"] = self.digests.get(place)
        row["page"] = None if number is None else number + 1
        row["seconds"] = now - self.since
        self.since = now
        self.found[place, -1 if number is None else number] = row
        return row


def columns_of(detections: PageDetections, document_score: float) -> dict[str, Any]:
    """`boxes`, `classes`, `scores`, `text` and `order` of a page's regions, by falling score; the
    `words` of the page's text lines, and those that are in none of the texts.

    Args:
        detections: of the page.
        document_score: regions below have no text and no order, as have those that cover others
            (`PageDetections.document`).
    """
    entries = detections.to_dict(document_score=document_score)["detections"]
    boxes = detections.boxes.cpu().double().numpy().round(BOX_DECIMALS)
    lines = [] if detections.lines is None else detections.lines.lines
    words = sum(map(count_words, lines))
    inside = sum(count_words(line) for entry in entries for line in entry.get("lines", ()))
    return {
        "boxes": boxes.tolist(),
        "classes": [readable(entry["category"]) for entry in entries],
        "scores": [entry["score"] for entry in entries],
        "text": [readable("\n".join(entry.get("lines", []))) for entry in entries],
        "order": [entry.get("order") for entry in entries],
        "words": words,
        "words_outside": words - inside,
    }
