"""From a data set to batches: collate, and the processes that load."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import multiprocessing.resource_sharer  # see _load_pickling
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from tqdm import tqdm

from lmv3det.config import Config
from lmv3det.data.augment import Augment
from lmv3det.data.coco import CocoDataset
from lmv3det.data.joined import TrainDataset, page_repeats
from lmv3det.data.sampler import TrainSampler
from lmv3det.data.text_noise import TextNoise
from lmv3det.data.transforms import (
    TestTransform,
    TrainTransform,
    padded,
    shortest_edge_size,
    views_at_test,
)
from lmv3det.errors import InputError
from lmv3det.structures import Batch, Sample, Target

_LARGE = 1 << 24
"""Pixels from which a page is large: decoding it takes some 100 MB and more."""


class PageTokens(Protocol):
    """What a tokenizer makes of a page."""

    @property
    def ids(self) -> Any:
        """T or T×K int64 token ids (K word pieces of a line, averaged by the model)."""

    @property
    def boxes(self) -> Any:
        """T×4 int64 x0 y0 x1 y1, 0..1000."""


Tokenize = Callable[[list[str], np.ndarray, tuple[int, int]], PageTokens]
"""(L strings, L×4 line boxes in pixels, (height, width)) → tokens."""


class Collate:
    """Samples to a batch, its images as bytes: `Batch.to` normalises them on the device.

    Args:
        pixel_mean: subtracted from R, G, B (0..255).
        pixel_std: divides R, G, B after that.
        size_divisibility: height and width are padded to a multiple of this, with 0, at right and
            bottom.
        page_tokenizer: makes tokens of a page's lines; None leaves the text out.
        with_targets: fill `Batch.targets`.
        with_polygons: fill their polygons.
        pad_token_id: fills the places of missing tokens; their boxes are 0, their mask False.
        with_lines: fill `Batch.line_boxes`.
    """

    def __init__(
        self,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        size_divisibility: int = 32,
        page_tokenizer: Tokenize | None = None,
        with_targets: bool = True,
        with_polygons: bool = True,
        pad_token_id: int = 1,
        with_lines: bool = False,
    ) -> None:
        self.pixel_mean, self.pixel_std = tuple(pixel_mean), tuple(pixel_std)
        self.size_divisibility = size_divisibility
        self.page_tokenizer = page_tokenizer
        self.with_targets, self.with_polygons = with_targets, with_polygons
        self.pad_token_id, self.with_lines = pad_token_id, with_lines

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        sizes = [(sample.image.shape[0], sample.image.shape[1]) for sample in samples]
        batch = Batch(
            self._images(samples, sizes),
            sizes,
            pages=[sample.page for sample in samples],
            views=[sample.view for sample in samples],
            pixel_mean=self.pixel_mean,
            pixel_std=self.pixel_std,
        )
        if self.page_tokenizer is not None:
            tokens = [
                self.page_tokenizer(sample.lines, sample.line_boxes, size)
                for sample, size in zip(samples, sizes, strict=True)
            ]
            batch.input_ids, batch.text_boxes, batch.text_mask = self._text(tokens)
        if self.with_lines:
            batch.line_boxes = [sample.line_boxes for sample in samples]
        if self.with_targets:
            batch.targets = [
                Target(
                    torch.from_numpy(sample.boxes.astype(np.float32)),
                    torch.from_numpy(sample.classes.astype(np.int64)),
                    sample.polygons if self.with_polygons else None,
                )
                for sample in samples
            ]
        return batch

    def _images(self, samples: Sequence[Sample], sizes: list[tuple[int, int]]) -> Tensor:
        """B×3×H×W uint8, zero padded; a page's pixels lie together in memory, as in its array."""
        step = self.size_divisibility
        height, width = (-(-max(side) // step) * step for side in zip(*sizes, strict=True))
        images = torch.zeros(len(samples), height, width, 3, dtype=torch.uint8)
        for target, sample, (h, w) in zip(images, samples, sizes, strict=True):
            target[:h, :w] = _tensor(sample.image)
        return images.permute(0, 3, 1, 2)

    def _text(self, tokens: Sequence[PageTokens]) -> tuple[Tensor, Tensor, Tensor | None]:
        ids = [torch.as_tensor(page.ids, dtype=torch.int64) for page in tokens]
        boxes = [torch.as_tensor(page.boxes, dtype=torch.int64).reshape(-1, 4) for page in tokens]
        longest = max(len(page) for page in ids)
        shape: tuple[int, ...] = (len(ids), longest)
        pieces = [page.shape[1] for page in ids if page.ndim == 2]
        if pieces:
            shape = (*shape, max(pieces))
        input_ids = torch.full(shape, self.pad_token_id, dtype=torch.int64)
        text_boxes = torch.zeros(len(ids), longest, 4, dtype=torch.int64)
        text_mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for index, (page, page_boxes) in enumerate(zip(ids, boxes, strict=True)):
            if len(page):
                # The first T places, and of T×K ids the first K word pieces of each.
                within = tuple(slice(side) for side in page.shape)
                input_ids[index][within] = page
            text_boxes[index, : len(page)] = page_boxes
            text_mask[index, : len(page)] = True
        # Without padding there is no mask: attention then takes its fastest kernel.
        padded = any(len(page) < longest for page in ids)
        return input_ids, text_boxes, text_mask if padded else None


def _tensor(image: np.ndarray) -> Tensor:
    """The array as a tensor; arrays of Pillow's are read-only, which torch warns of."""
    return torch.from_numpy(image if image.flags.writeable else image.copy())


class _Pages(Dataset):
    """Transformed pages by index, or by (index, seed of the augmentation).

    Args:
        dataset: the pages.
        transform: test or train transform, or test views; the train transform is given a generator
            too.
        turn: held while a large page is read and resized, so that the loader's processes hold one
            of them at a time; None where pages are read one after the other anyway.
    """

    def __init__(
        self,
        dataset: TrainDataset,
        transform: Callable[..., Sample | list[Sample]],
        turn: Any = None,
    ) -> None:
        self.dataset, self.transform, self.turn = dataset, transform, turn

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: int | tuple[int, int]) -> Sample | list[Sample] | InputError:
        index, *seeds = item if isinstance(item, tuple) else (item,)
        try:
            with self._turn(index):
                generators = map(np.random.default_rng, seeds)
                return self.transform(self.dataset[index], *generators)
        except InputError as error:
            return error

    def _turn(self, index: int) -> contextlib.AbstractContextManager:
        if self.turn is None:
            return contextlib.nullcontext()
        height, width = self.dataset.page_size(index)
        return self.turn if height * width > _LARGE else contextlib.nullcontext()


class _CollateOrError:
    """Passes an InputError on as a value: raised in a loader process it would lose its one line.

    A loader process moves the batch to shared memory here, where it can be told that there is too
    little: in the thread that sends it, the batch would be lost and waited for for ever.
    """

    def __init__(self, collate: Collate) -> None:
        self.collate = collate

    def __call__(self, samples: list[Sample | InputError]) -> Batch | InputError:
        pages = []
        for sample in samples:
            if isinstance(sample, InputError):
                return sample
            pages.append(sample)
        try:
            batch = self.collate(pages)
            return batch if get_worker_info() is None else batch.share_memory()
        except InputError as error:
            return error
        except (RuntimeError, OSError) as error:
            if _lacks_shared_memory(error):
                return _shared_memory_error()
            raise


class _CollateBySize(_CollateOrError):
    """Collates pages to a batch for each size that they are padded to: a page's result then does
    not depend on the pages that it is read with."""

    def __call__(self, samples: list[Any]) -> Any:
        """samples: pages, or the views of each page; an InputError is handed on."""
        step = self.collate.size_divisibility
        groups: dict[Any, list[Sample | InputError]] = {}
        for views in samples:
            if isinstance(views, InputError):
                return views
            for sample in views if isinstance(views, list) else [views]:
                groups.setdefault(padded(sample.image.shape, step), []).append(sample)
        batches = [super(_CollateBySize, self).__call__(group) for group in groups.values()]
        errors = [batch for batch in batches if isinstance(batch, InputError)]
        return errors[0] if errors else batches


class _BatchesBySize:
    """Places of the pages of a test loader, in batches of pages that are padded to one size.

    A batch is given when it is full, the last ones of each size at the end.

    Args:
        dataset: the pages.
        numbers: those of this process, in order.
        batch_size: pages a batch.
        size_of: (height, width) of a page → that of its input.
    """

    def __init__(
        self,
        dataset: CocoDataset,
        numbers: Sequence[int],
        batch_size: int,
        size_of: Callable[[tuple[int, int]], tuple[int, int]],
    ) -> None:
        waiting: dict[tuple[int, int], list[int]] = {}
        self.batches: list[list[int]] = []
        sizes = dataset.records.sizes() if batch_size > 1 else None
        for number in numbers:
            size = (0, 0) if sizes is None else size_of(tuple(sizes[number].tolist()))
            batch = waiting.setdefault(size, [])
            batch.append(number)
            if len(batch) == batch_size:
                self.batches.append(waiting.pop(size))
        self.batches += waiting.values()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


class _Loader(DataLoader):
    """A DataLoader that raises the InputErrors which its processes hand over."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if _lacks_shared_memory(error):
                    raise _shared_memory_error() from error
                raise
            if isinstance(batch, InputError):
                raise batch
            yield from batch if isinstance(batch, list) else [batch]


def _lacks_shared_memory(error: BaseException) -> bool:
    """Whether a loader process could not write a batch; the kernel may have killed it for that."""
    text = f"{error} {error.__cause__}"
    return any(sign in text for sign in ("shared memory", "Bus error", "No space left on device"))


def _shared_memory_error() -> InputError:
    here = ""
    with contextlib.suppress(OSError):
        here = f" (/dev/shm has {shutil.disk_usage('/dev/shm').total / 2**20:,.0f} MiB)"
    return InputError(
        f"the loader's processes have too little shared memory{here}: start the container with "
        "more, such as `docker run --shm-size=8g` or `--ipc=host`, or set fewer data.workers "
        "(0 needs none)"
    )


def build_train_loader(
    config: Config,
    dataset: TrainDataset,
    page_tokenizer: Tokenize | None,
    *,
    rank: int = 0,
    world_size: int = 1,
    pages_per_batch: int,
    start: int = 0,
    with_polygons: bool = True,
) -> DataLoader:
    """An endless loader of training batches; what it gives does not depend on its processes.

    Args:
        config: `seed`, `device`, `input.*`, `data.workers`, `data.group_by_aspect`,
            `data.repeat_threshold`, the weights of `data.train`, `backbone.pad_token_id` and the
            dropouts of `text` are read.
        dataset: the pages; of shards every process takes its own share.
        page_tokenizer: see `Collate`.
        rank: of this process.
        world_size: number of training processes.
        pages_per_batch: pages of a micro-batch.
        start: micro-batches that this process has consumed already.
        with_polygons: give the targets their polygons.

    Raises:
        InputError: a process without a share; while iterating, at a page that cannot be read.
    """
    weights = [split.weight for split in config.data.train_sets]
    sampler = TrainSampler(
        dataset.aspect_ratios(),
        pages_per_batch,
        seed=config.seed,
        rank=rank,
        world_size=world_size,
        start=start,
        group_by_aspect=config.data.group_by_aspect,
        share=dataset.share(rank, world_size),
        repeats=page_repeats(dataset, weights, config.data.repeat_threshold),
    )
    given = config.input
    text = config.text
    transform = TrainTransform(
        given.min_size_train,
        given.max_size_train,
        given.flip,
        given.crop,
        TextNoise(text.page_dropout, text.word_dropout, text.line_dropout),
        Augment(given.augment) if given.augment.probability else None,
    )
    collate = _collate(config, page_tokenizer, with_targets=True, with_polygons=with_polygons)
    options = _worker_options(config)
    pages = _Pages(dataset, transform, _large_page_turn(options["num_workers"]))
    return _Loader(pages, batch_sampler=sampler, collate_fn=collate, **options)


def build_test_loader(
    config: Config,
    dataset: CocoDataset,
    page_tokenizer: Tokenize | None,
    *,
    rank: int = 0,
    world_size: int = 1,
    augment: bool = False,
) -> DataLoader:
    """The pages rank, rank + world_size, … once, without targets.

    A batch has pages that are padded to one size, so that a page's detections do not depend on the
    pages that it is batched with; one page a batch comes in order, of several those of a size.

    Args:
        config: `seed`, `device`, `input.*`, `data.workers`, `test.batch_size`,
            `test.fit_to_text` and `backbone.pad_token_id` are read.
        dataset: the pages.
        page_tokenizer: see `Collate`.
        rank: of this process.
        world_size: number of processes.
        augment: give the views of each page that `test.augment` names, one after another.

    Raises:
        InputError: while iterating, at a page that cannot be read.
    """
    given = config.input
    options = _worker_options(config)
    collate = _collate(config, page_tokenizer, with_targets=False, with_polygons=False)

    def size_of(size: tuple[int, int]) -> tuple[int, int]:
        resized = shortest_edge_size(size, given.min_size_test, given.max_size_test)
        return padded(resized, given.size_divisibility)

    numbers = range(rank, len(dataset), world_size)
    views = views_at_test(config) if augment else None
    return _Loader(
        _Pages(
            dataset,
            views or TestTransform(given.min_size_test, given.max_size_test),
            _large_page_turn(options["num_workers"]),
        ),
        batch_sampler=_BatchesBySize(dataset, numbers, config.test.batch_size, size_of),
        collate_fn=_CollateBySize(collate.collate),
        **options,
    )


def _collate(
    config: Config, page_tokenizer: Tokenize | None, *, with_targets: bool, with_polygons: bool
) -> _CollateOrError:
    return _CollateOrError(
        Collate(
            config.input.pixel_mean,
            config.input.pixel_std,
            config.input.size_divisibility,
            page_tokenizer,
            with_targets,
            with_polygons,
            config.backbone.pad_token_id,
            with_lines=not with_targets and page_tokenizer is not None and config.test.fit_to_text,
        )
    )


def usable_cores() -> int:
    """Cores that this process may use: those of the host, or of its container."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # a container may be given less time than cores
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores


def default_workers() -> int:
    """Loader processes for each training process: the host's cores, shared out, but 8 at most."""
    return max(1, min(8, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _large_page_turn(workers: int) -> Any:
    return multiprocessing.Lock() if workers > 1 else None


def _worker_options(config: Config) -> dict[str, Any]:
    workers = default_workers() if config.data.workers is None else config.data.workers
    _load_pickling()
    on_gpu = torch.cuda.is_available() and config.device.startswith(("auto", "cuda"))
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": on_gpu,
        "worker_init_fn": _start_worker,
        # The loader draws its processes' seeds from here, not from torch's global generator,
        # whose state must not depend on how often a loader is started.
        "generator": torch.Generator().manual_seed(config.seed),
    }


def _load_pickling() -> None:
    """Load the modules that sending a tensor to another process takes.

    Torch imports them at the first tensor sent, which is in a loader process' sending thread. An
    import there can fail when garbage collection runs another at that moment; the batch is then
    lost, and training waits for it for ever. Done before the processes start, nothing is left to
    import.
    """
    ForkingPickler.dumps(torch.zeros(0))


def _start_worker(worker: int) -> None:
    """One thread for each loader process; torch has seeded `random`, numpy and itself.

    Its warnings go past progress bars with a lock of its own: tqdm's is shared, and a process that
    is killed with it would stop training for ever.
    """
    _load_pickling()
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
