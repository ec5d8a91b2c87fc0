"""What travels between the parts: plain dataclasses of arrays and tensors.

A page goes `Sample` (numpy, one page) -> `Batch` (tensors, several pages) -> `Detections`
(tensors, one page). Boxes are x0 y0 x1 y1 everywhere; `image_sizes` are (height, width).

Torch is imported where tensors are made: an ONNX file's detections are arrays, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T", bound="_Tensors")
D = TypeVar("D", bound="Detections")
Polygons = list[np.ndarray]
"""The outline of one object: a union of polygons, each K×2 float64 (x, y) in pixels."""


class _Tensors:
    """Moves every tensor field of a dataclass, and those of nested ones, at once.

    Two of them are equal if all fields are, on whatever device.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and equal(self, other)

    __hash__ = None  # type: ignore[assignment]

    def to(self: T, *args, **kwargs) -> T:
        """A copy with every tensor moved as by `Tensor.to`; other fields are shared. A dtype is
        that of floating-point tensors: ids, classes and masks keep theirs."""
        moved = {f.name: _move(getattr(self, f.name), args, kwargs) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **moved)  # type: ignore[type-var]


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal, where `==` would compare arrays element by element."""
    if hasattr(one, "__array__") and hasattr(other, "__array__"):
        one, other = as_array(one), as_array(other)
        return one.dtype == other.dtype and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    if is_dataclass(one) and type(one) is type(other):
        return all(equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)


def as_array(values: Any) -> np.ndarray:
    """A tensor, wherever it is, or an array, as an array."""
    return values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()


def _move(value, args, kwargs):
    from torch import Tensor

    if isinstance(value, Tensor) and not value.is_floating_point():
        moved = value.to(*args, **kwargs)
        return moved if moved.dtype == value.dtype else value.to(moved.device)
    if isinstance(value, (Tensor, _Tensors)):
        return value.to(*args, **kwargs)
    if isinstance(value, list) and value and isinstance(value[0], _Tensors):
        return [item.to(*args, **kwargs) for item in value]
    return value


@dataclass
class Page:
    """Where a page comes from, and its size before any transform.

    `file` is the path of the image (or PDF), `number` the page within it (0-based, 0 for an
    image), `image_id` the COCO id (-1 where there is none), `width` and `height` pixels.
    """

    file: str
    width: int
    height: int
    image_id: int = -1
    number: int = 0


@dataclass
class Sample:
    """One page on its way through the transforms (numpy, host memory).

    Attributes:
        image: H×W×3 uint8 RGB.
        page: the page's origin and original size.
        boxes: G×4 float64, pixels of `image`.
        classes: G int64 class indices (0-based, contiguous).
        polygons: G outlines, pixels of `image`.
        line_boxes: L×4 float64, the boxes of the OCR lines, pixels of `image`.
        lines: the L strings of the OCR lines.
        view: its number among the views of the page, where there are several at test time.
    """

    image: np.ndarray
    page: Page
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    classes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    polygons: list[Polygons] = field(default_factory=list)
    line_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    lines: list[str] = field(default_factory=list)
    view: int = 0


@dataclass(eq=False)
class Target(_Tensors):
    """The ground truth of one page.

    Attributes:
        boxes: G×4 float, pixels of the network input.
        classes: G int64.
        polygons: G outlines in the same pixels; None where masks are not trained.
    """

    boxes: Tensor
    classes: Tensor
    polygons: list[Polygons] | None = None


@dataclass(eq=False)
class Batch(_Tensors):
    """Pages as the detector takes them; as a loader ships them until `to` or `normalized`.

    Attributes:
        images: B×3×H×W float, normalised, zero padded at right and bottom; as a loader ships them,
            uint8 R, G, B.
        image_sizes: the B (height, width) before padding.
        input_ids: B×T int64 token ids, or B×T×K where every slot is the mean of K word pieces
            (a sentence embedding); None when no text is used. T may be 0.
        text_boxes: B×T×4 int64 on the page's 0..1000 grid.
        text_mask: B×T bool, True for a real token; None where all are.
        targets: one `Target` a page, or None.
        pages: the origin of each page.
        views: of each page, which of its views this is (see `Sample`).
        line_boxes: of each page L×4 float64, its text lines in pixels of the network input; None
            where nothing needs them.
        pixel_mean: of R, G, B, what is still to be subtracted from `images`; None where they are
            normalised.
        pixel_std: of R, G, B, what divides them after that.
    """

    images: Tensor
    image_sizes: list[tuple[int, int]]
    input_ids: Tensor | None = None
    text_boxes: Tensor | None = None
    text_mask: Tensor | None = None
    targets: list[Target] | None = None
    pages: list[Page] = field(default_factory=list)
    views: list[int] = field(default_factory=list)
    line_boxes: list[np.ndarray] | None = None
    pixel_mean: tuple[float, ...] | None = None
    pixel_std: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, *args, **kwargs) -> Batch:
        """As `Tensor.to` for every tensor. Images are moved as bytes and normalised there."""
        return super().to(*args, **kwargs).normalized()

    def normalized(self) -> Batch:
        """The batch with normalised images; itself where they are so already."""
        if self.pixel_mean is None or self.pixel_std is None:
            return self
        import torch

        device = self.images.device
        mean, std = (
            torch.tensor(values, dtype=torch.float32).view(3, 1, 1).to(device, non_blocking=True)
            for values in (self.pixel_mean, self.pixel_std)
        )
        # Contiguous, whatever the layout that they were shipped in.
        pixels = self.images.to(torch.float32, memory_format=torch.contiguous_format)
        pixels = pixels.sub_(mean).div_(std)
        height, width = pixels.shape[2:]
        if any(size != (height, width) for size in self.image_sizes):
            sizes = torch.tensor(self.image_sizes).to(device, non_blocking=True)[:, :, None, None]
            rows = torch.arange(height, device=device)[:, None] < sizes[:, 0]  # B×H×1
            columns = torch.arange(width, device=device) < sizes[:, 1]  # B×1×W
            pixels.masked_fill_(~(rows & columns)[:, None], 0)
        return replace(self, images=pixels, pixel_mean=None, pixel_std=None)

    def pin_memory(self) -> Batch:
        """A copy in pinned host memory (called by the DataLoader)."""
        return self._with_tensors(lambda tensor: tensor.pin_memory())

    def share_memory(self) -> Batch:
        """A copy in shared memory, which a loader process can send without copying again.

        Raises:
            RuntimeError: there is too little shared memory.
        """
        return self._with_tensors(lambda tensor: tensor.share_memory_())

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """A copy with its own tensors changed; those of the targets are left alone."""
        batch = replace(self)
        for name in ("images", "input_ids", "text_boxes", "text_mask"):
            value = getattr(self, name)
            setattr(batch, name, None if value is None else change(value))
        return batch


@dataclass(eq=False)
class Detections(_Tensors):
    """What was found on one page, by falling score.

    An ONNX file finds arrays of the same shapes and types, in the place of tensors.

    Attributes:
        boxes: N×4 float, pixels (of the network input inside the model, of the page outside).
        scores: N float in 0..1.
        classes: N int64 class indices.
        masks: N×28×28 float probabilities within each box, or None.
        image_size: (height, width) of the frame that the boxes are in.
        names: class names by index; empty inside the model.
        page: the page's origin; None inside the model.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    image_size: tuple[int, int]
    masks: Tensor | None = None
    names: list[str] = field(default_factory=list)
    page: Page | None = None

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def __getitem__(self: D, index: Tensor | np.ndarray | slice) -> D:
        """Those that an index (M int64, N bool, or a slice) selects.

        Raises:
            TypeError: a single number, which would take the first dimension away.
        """
        if isinstance(index, (int, np.integer)):
            raise TypeError(f"detections are not indexed by {index!r}; take a slice")
        masks = None if self.masks is None else self.masks[index]
        return replace(  # type: ignore[type-var]
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            classes=self.classes[index],
            masks=masks,
        )

    def resized(self, image_size: tuple[int, int]) -> Detections:
        """The same detections in a frame of another (height, width), clipped to it."""
        (old_h, old_w), (new_h, new_w) = self.image_size, image_size
        x, y = new_w / old_w, new_h / old_h
        numbers = [[x, y, x, y], [new_w, new_h, new_w, new_h]]
        boxes: Any = self.boxes
        if isinstance(boxes, np.ndarray):
            scale, limit = np.array(numbers, boxes.dtype)
            boxes = (boxes * scale).clip(0, limit)
        else:
            import torch

            scale, limit = torch.tensor(numbers, dtype=boxes.dtype).to(
                boxes.device, non_blocking=True
            )
            boxes = torch.minimum((boxes * scale).clamp(min=0), limit)
        return replace(self, boxes=boxes, image_size=image_size)
