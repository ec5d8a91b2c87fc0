"""The local engine of `lmv3det batch` beside a plain loop over `Detector.predict`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lmv3det.batch.job import run_batch
from lmv3det.batch.shard import BatchOptions
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import DetectorOptions

EXAMPLES = Path(__file__).parent.parent / "examples" / "pages"


def batch_pages(side: str, pages: int) -> Callable[[], None]:
    """The bundled model on copies of the example pages, which it is loaded for; rows to Parquet, or
    in the baseline to JSON."""
    folder = Path(tempfile.mkdtemp(prefix="lmv3det-"))
    examples = sorted(EXAMPLES.glob("*.jpg"))
    for number in range(pages):
        source = examples[number % len(examples)]
        shutil.copyfile(source, folder / f"page{number:04d}{source.suffix}")

    def ours() -> None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            report = run_batch(
                [folder],
                folder / "out",
                BatchOptions(DetectorOptions(device="cpu")),
                overwrite=True,
            )
        assert report.pages == pages and not report.failed

    def loop() -> None:
        detector = Detector.load(device="cpu")
        found = []
        for path in sorted(folder.glob("*.jpg")):
            found += [page.to_dict() for page in detector.predict(path)]
        (folder / "loop.json").write_text(json.dumps(found))
        assert len(found) == pages

    return ours if side == "ours" else loop
