"""A detector as an ONNX file that describes itself, compared with the detector before it is kept.

The graph is `DetectorGraph`, traced by `torch.onnx.export`; page sizes and numbers of tokens are
free. What the file holds beside it: see `lmv3det.inference.onnx_model`.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.loading import load_detector
from lmv3det.config import Config
from lmv3det.errors import InputError
from lmv3det.files import lock_file, replacing
from lmv3det.inference.detector import Detector
from lmv3det.inference.export.graph import DetectorGraph
from lmv3det.inference.onnx_model import load_onnx, metadata, require_packages, token_arrays
from lmv3det.inference.samples import page_samples
from lmv3det.inference.text_source import choose_text, page_text
from lmv3det.model.detector import LayoutDetector
from lmv3det.structures import Batch, Detections, as_array

OPSET = 17
OPSET_OF_ANTIALIAS = 18
"""From which ONNX has the smooth resize by which timm's ViTs fit their position table to a page."""
BOUNDS = {"fp32": (0.1, 1e-3), "fp16": (1.0, 0.01), "int8": (5.0, 0.05)}
"""Precision → differences from the detector, in pixels and score, within which detections lie."""
SHARES = {"fp32": 1.0, "fp16": 0.98, "int8": 0.9}
"""Precision → the part of the detections that lies within: with rounded weights, now and then
another one of two overlapping boxes is kept."""
AXES = {
    "images": {2: "height", 3: "width"},
    "input_ids": {1: "tokens"},  # and of 1×T×K ids {2: "pieces"}
    "text_boxes": {1: "tokens"},
    "text_mask": {1: "tokens"},
    "boxes": {0: "detections"},
    "scores": {0: "detections"},
    "classes": {0: "detections"},
}
"""The dimensions that are free."""


@dataclass
class Difference:
    """How far a page's detections are from the detector's.

    Attributes:
        page: its name.
        detections: what the detector found.
        pixels: largest difference of a box side, in pixels of the input.
        score: largest difference of a score.
        compared: detections that were compared, of both sides.
        within: of these, those within the bounds.
    """

    page: str
    detections: int
    pixels: float
    score: float
    compared: int
    within: int


class Exportable(Protocol):
    """What is compared with the detector: a file that was read back."""

    def find(self, arrays: Mapping[str, np.ndarray]) -> Detections:
        """The detections of a page, as `OnnxModel.find`."""


@dataclass
class Exported:
    """What `export_onnx` did.

    Attributes:
        path: the file.
        differences: page by page.
        left_out_masks: the detector has a mask head, which the file lacks.
    """

    path: Path
    differences: list[Difference]
    left_out_masks: bool


def export_onnx(
    source: str | os.PathLike,
    out: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    pages: Sequence[str] = (),
    ocr: Any = None,
    trust_code: bool = False,
    precision: str = "fp32",
) -> Exported:
    """Write a detector as an ONNX file, and compare the two.

    Args:
        source: a checkpoint, or a folder that `save_pretrained` wrote.
        out: the file, which is replaced when the comparison has passed, else left as it was.
        overrides: settings that the graph takes, such as `test.score_threshold=0.01`.
        pages: images, folders or PDF files to compare on; none: noise of three sizes.
        ocr: the pages' text, as in `Detector.predict`.
        trust_code: as in `load_detector`.
        precision: of the weights in the file: fp32, or fp16 or int8, which need `pages`.

    Raises:
        InputError: a checkpoint that cannot be used or exported; pages that cannot be read; too
            many detections that differ by more than `BOUNDS`; fp16 or int8 without pages; a
            package of the extra `export` is not installed; another export writes `out`.
    """
    require_packages("onnx", "onnxruntime")
    if precision != "fp32" and not pages:
        raise InputError(
            f"{precision} is compared on pages of yours, not on noise: give them (--check)"
        )
    writers: dict[str, Callable[[LayoutDetector, Checkpoint, Path], None]] = {
        "fp32": write_graph,
        "fp16": functools.partial(write_small, bits=16),
        "int8": functools.partial(write_small, bits=8),
    }
    return export_checked(
        writers[precision],
        lambda path: load_onnx(path)[0],
        source,
        out,
        overrides,
        pages=pages,
        ocr=ocr,
        trust_code=trust_code,
        bounds=BOUNDS[precision],
        share=SHARES[precision],
    )


def export_checked(
    write: Callable[[LayoutDetector, Checkpoint, Path], None],
    load: Callable[[Path], Exportable],
    source: str | os.PathLike,
    out: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    pages: Sequence[str] = (),
    ocr: Any = None,
    trust_code: bool = False,
    bounds: tuple[float, float] = BOUNDS["fp32"],
    share: float = SHARES["fp32"],
) -> Exported:
    """`export_onnx` for any format.

    Args:
        write: writes the file.
        load: reads it back.
        bounds: differences in pixels and score, within which detections lie.
        share: the part of them that must.
    """
    out = Path(out)
    settings = [*overrides, "precision=fp32"]
    model, checkpoint = load_detector(source, "cpu", settings, trust_code=trust_code)
    left_out_masks = model.mask_head is not None
    model.mask_head = None
    without = dataclasses.replace(checkpoint.config.model, mask_on=False)
    config = dataclasses.replace(checkpoint.config, model=without)
    checkpoint = dataclasses.replace(checkpoint, config=config)
    batches = _page_batches(model, checkpoint, pages, ocr) if pages else _noise(checkpoint)
    with lock_file(out, "another export"), replacing(out) as temporary:
        write(model, checkpoint, temporary)
        other = load(temporary)
        differences = [
            _difference(name, model, other, batch, checkpoint, bounds) for name, batch in batches
        ]
        total, within = (sum(getattr(d, n) for d in differences) for n in ("compared", "within"))
        if within < share * total:
            worst = max(differences, key=lambda one: one.compared - one.within)
            raise InputError(
                f"{out}: not written, because {total - within} of {total} detections differ from "
                f"the detector's by more than {bounds[0]:g} px or {bounds[1]:g} in score (at most "
                f"{1 - share:.0%} may); on {worst.page} by up to {worst.pixels:.3g} px and "
                f"{worst.score:.3g}"
            )
    return Exported(out, differences, left_out_masks)


def example_arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The arguments of a generated page with text, by name, in the order of `DetectorGraph`."""
    _, example = next(_noise(checkpoint))
    return batch_arrays(example, checkpoint.config)


def write_graph(model: LayoutDetector, checkpoint: Checkpoint, path: Path) -> None:
    """Trace the detector and write its graph with its metadata.

    Args:
        model: in evaluation mode, on the CPU; not changed.
        checkpoint: its config, classes and tokenizer.
        path: the file.

    Raises:
        InputError: the model cannot be traced, or its tokenizer is no text.
    """
    import onnx

    described = metadata(checkpoint)
    arrays = example_arrays(checkpoint)
    names = list(arrays)
    outputs = ["boxes", "scores", "classes"]
    axes = {name: dict(AXES[name]) for name in [*names, *outputs] if name in AXES}
    if arrays.get("input_ids", arrays["image_size"]).ndim == 3:
        axes["input_ids"][2] = "pieces"
    # A copy: the exporter fuses batch norms into the weights of what it is given.
    graph = DetectorGraph(copy.deepcopy(model)).eval()
    opset = OPSET
    if checkpoint.config.backbone.kind != "layoutlmv3":
        opset = OPSET_OF_ANTIALIAS
        torch.onnx.register_custom_op_symbolic(
            "aten::_upsample_bicubic2d_aa", _smooth_resize, opset
        )
    try:
        with warnings.catch_warnings(), _plain_attention(), torch.no_grad():
            warnings.simplefilter("ignore")  # of sizes that tracing fixes: the comparison tells
            torch.onnx.export(
                graph,
                tuple(torch.from_numpy(arrays[name]) for name in names),
                os.fspath(path),
                opset_version=opset,
                dynamo=False,
                input_names=names,
                output_names=outputs,
                dynamic_axes=axes,
            )
    except (torch.onnx.errors.OnnxExporterError, TypeError, AttributeError,
            AssertionError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"the detector cannot be written as ONNX ({reason})") from error
    written = onnx.load(os.fspath(path))
    onnx.helper.set_model_props(written, described)
    onnx.save(written, os.fspath(path))


def write_small(model: LayoutDetector, checkpoint: Checkpoint, path: Path, bits: int) -> None:
    """`write_graph` with the weights in 16 or 8 bits, see `shrink_weights`."""
    import onnx

    from lmv3det.inference.export.small_weights import shrink_weights

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        write_graph(model, checkpoint, exact)
        written = onnx.load(os.fspath(exact))
    shrink_weights(written, bits)
    onnx.save(written, os.fspath(path))


def _smooth_resize(g: Any, table: Any, size: Any, align_corners: Any, *scales: Any) -> Any:
    """ONNX's node for torch's bicubic resize with antialias, whose coefficient is PIL's -0.5."""
    from torch.onnx import symbolic_helper

    empty = g.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
    if symbolic_helper._is_packed_list(size):
        parts = symbolic_helper._unpack_list(size)
        size = g.op(
            "Concat", *(symbolic_helper._unsqueeze_helper(g, p, [0]) for p in parts), axis_i=0
        )
    size = g.op("Cast", size, to_i=7)  # int64
    whole = g.op("Shape", table)
    first = g.op("Slice", whole, *(g.op("Constant", value_t=torch.tensor([n])) for n in (0, 2)))
    return g.op(
        "Resize", table, empty, empty, g.op("Concat", first, size, axis_i=0), mode_s="cubic",
        antialias_i=1, cubic_coeff_a_f=-0.5, exclude_outside_i=1,
        coordinate_transformation_mode_s="half_pixel",
    )  # fmt: skip


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Torch's encoder layers compute by ordinary operators, not by one that ONNX lacks."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _noise(checkpoint: Checkpoint) -> Iterator[tuple[str, Batch]]:
    """Generated pages: upright with text, wide with more of it, square without any."""
    config = checkpoint.config
    generator = torch.Generator().manual_seed(0)
    step, short = config.input.size_divisibility, config.input.min_size_test
    for height, width, tokens in ((1.3, 1.0, 7), (0.8, 1.0, 40), (1.0, 1.0, 0)):
        size = (int(short * height), int(short * width))
        padded = [-(-side // step) * step for side in size]
        images = torch.zeros(1, 3, *padded)
        images[:, :, : size[0], : size[1]] = torch.randn(1, 3, *size, generator=generator)
        batch = Batch(images, [size])
        if config.text.selection != "none":
            tokens = min(tokens, config.text.max_tokens)
            shape = (1, tokens, 3) if config.text.selection == "sentence" else (1, tokens)
            vocabulary = config.backbone.vocab_size
            corners = torch.randint(0, 900, (1, tokens, 2), generator=generator)
            extents = torch.randint(1, 100, (1, tokens, 2), generator=generator)
            batch = dataclasses.replace(
                batch,
                input_ids=torch.randint(3, vocabulary, shape, generator=generator),
                text_boxes=torch.cat([corners, corners + extents], dim=-1),
            )
        yield f"noise {size[0]}×{size[1]} with {tokens} tokens", batch


def _page_batches(
    model: LayoutDetector, checkpoint: Checkpoint, pages: Sequence[str], ocr: Any
) -> Iterator[tuple[str, Batch]]:
    """The given pages as `Detector` prepares them, one a batch."""
    detector = Detector.of_checkpoint(model, checkpoint)
    text = None
    if detector.uses_text:
        text = page_text(choose_text(ocr, detector.config), detector.config)
    for sample in page_samples(list(pages), text):
        name = f"{sample.page.file} page {sample.page.number + 1}"
        yield name, detector.collate([detector.transform(sample)]).to("cpu")


def batch_arrays(batch: Batch, config: Config) -> dict[str, np.ndarray]:
    """The graph's arguments of a batch of one page, normalised and without padding."""
    (size,) = batch.image_sizes
    arrays = {
        "images": batch.images.float().numpy(),
        "image_size": np.array(size, dtype=np.int64),
    }
    if config.text.selection == "none":
        return arrays
    ids, boxes = np.zeros((0,), np.int64), np.zeros((0, 4), np.int64)
    if batch.input_ids is not None and batch.text_boxes is not None:
        ids, boxes = batch.input_ids[0].numpy(), batch.text_boxes[0].numpy()
    sentences = config.text.selection == "sentence"
    return arrays | token_arrays(ids, boxes, config.backbone.pad_token_id, sentences)


def _difference(
    name: str,
    model: LayoutDetector,
    other: Exportable,
    batch: Batch,
    checkpoint: Checkpoint,
    bounds: tuple[float, float],
) -> Difference:
    (wanted,), found = model.predict(batch), other.find(batch_arrays(batch, checkpoint.config))
    test = checkpoint.config.test
    off = compare(wanted, found, test.score_threshold, test.detections_per_page, bounds[1])
    within = int(((off[:, 0] <= bounds[0]) & (off[:, 1] <= bounds[1])).sum())
    pixels, score = off.max(axis=0, initial=0).tolist()
    return Difference(name, len(wanted), pixels, score, len(off), within)


def compare(
    wanted: Detections, found: Detections, threshold: float, limit: int, margin: float
) -> np.ndarray:
    """The differences between what two detectors found on a page.

    Each detection, on either side, is compared with the nearest of its class on the other side.
    One whose score is within `margin` of the threshold, or of the last one where there are `limit`,
    is not: it may lack there.

    Returns:
        K×2: of each that is compared, of a box side in pixels and of the score; infinite where it
        has no fellow.
    """
    compared = [np.zeros((0, 2))]
    sides = [[as_array(v) for v in (p.boxes, p.scores, p.classes)] for p in (wanted, found)]
    for (boxes, scores, classes), (others, their_scores, their_classes) in (sides, sides[::-1]):
        floor = threshold + margin
        if len(scores) >= limit:
            floor = max(floor, float(scores.min()) + margin)
        counted = scores > floor
        off = np.full((int(counted.sum()), 2), np.inf)
        if len(off) and len(others):
            far = np.abs(boxes[counted, None] - others).max(axis=-1)  # N×M
            far[classes[counted, None] != their_classes] = np.inf
            nearest = far.argmin(axis=1)
            off[:, 0] = far.min(axis=1)
            off[:, 1] = np.abs(scores[counted] - their_scores[nearest])
        compared.append(off)
    return np.concatenate(compared)
