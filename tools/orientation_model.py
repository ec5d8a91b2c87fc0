"""`python -m tools.orientation_model`: makes the model that tells which way up a page is.

`train PAGES … --out MODEL.safetensors` learns from folders of upright pages (those of `lmv3det
synthetic`, `pagegen.html`, `pagegen.latex`): a page is its own truth, because the network scores
its four quarter turns. `score MODEL PAGES …` says how many of the pages in all four turns are told.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from lmv3det.inference.upright import READING, SURE, find_turn, looks
from lmv3det.model.orientation import TURNS, PageOrientation

LOOKS = 2
"""Looks at each page in training: as it is, and worn."""
CROPS_TRAINED = 2
"""Crops of a page in a step."""


def read_looks(folders: Sequence[Path], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Looks at all pages of folders, `LOOKS` of each: N×1×S×S and N×K×1×C×C uint8."""
    wholes, parts = [], []
    files = [path for folder in folders for path in sorted((folder / "images").iterdir())]
    for path in tqdm(files, unit="page", desc="pages"):
        with Image.open(path) as picture:
            grey = picture.convert("L")
        for worn in range(LOOKS):
            page = _reading_size(grey, READING * (rng.uniform(0.7, 1.25) if worn else 1))
            if worn:
                page = page.rotate(rng.normal(0, 1), Image.Resampling.BILINEAR, fillcolor=255)
            whole, crops = looks(np.asarray(page))
            wholes.append(torch.from_numpy(whole))
            parts.append(torch.from_numpy(crops))
    return torch.stack(wholes), torch.stack(parts)


def _reading_size(grey: Image.Image, longer: float) -> Image.Image:
    scale = longer / max(grey.size)
    return grey.resize(tuple(max(1, round(side * scale)) for side in grey.size))  # type: ignore[arg-type]


def train(
    folders: Sequence[Path], out: Path, steps: int, batch: int = 16, seed: int = 0
) -> PageOrientation:
    """Learn from folders of upright pages and write the model in float16."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    wholes, crops = read_looks(folders, rng)
    model = PageOrientation().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    right: list[float] = []
    bar = tqdm(range(steps), unit="step")
    for _ in bar:
        chosen = torch.from_numpy(rng.choice(len(wholes), batch, replace=len(wholes) < batch))
        seen = torch.from_numpy(rng.permutation(crops.shape[1])[:CROPS_TRAINED])
        # Against one wrong turn a step: half the work of all four, and the same that is learnt.
        turns = (0, int(rng.integers(1, TURNS)))
        page_margin = _margin(model.whole, _wear(wholes[chosen]), turns)  # B
        crop_margin = _margin(model.crop, _wear(crops[chosen][:, seen]).flatten(0, 1), turns)
        crop_margin = crop_margin.view(batch, -1).mean(dim=1)
        both = page_margin + crop_margin
        # Each look must know by itself, because some pages have only one of them to tell by.
        loss = torch.stack([F.softplus(-m).mean() for m in (page_margin, crop_margin, both)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right.append(float((both > 0).float().mean()))
        bar.set_postfix(loss=f"{float(loss):.3f}", right=f"{np.mean(right[-50:]):.3f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_file(state, out)
    return model.eval()


def _margin(score: torch.nn.Module, pictures: Tensor, turns: tuple[int, int]) -> Tensor:
    """By how much N pictures score higher in the first quarter turn than in the second; N."""
    turned = torch.cat([torch.rot90(pictures, k, (2, 3)) for k in turns])
    first, second = score(turned).chunk(2)
    return first - second


def _wear(pictures: Tensor) -> Tensor:
    """uint8 → floats in 0..1, each with a ground, contrast and noise of its own; some negative."""
    one = (len(pictures),) + (1,) * (pictures.dim() - 1)
    values = pictures.float() / 255
    dark = torch.rand(one) * 0.4
    light = 1 - torch.rand(one) * 0.3
    values = dark + values * (light - dark)
    values = torch.where(torch.rand(one) < 0.1, 1 - values, values)
    return (values + torch.randn_like(values) * 0.05 * torch.rand(one)).clamp(0, 1)


def score(model: PageOrientation, folders: Sequence[Path]) -> None:
    """Print how many pages are told right in each turn, how many are left as they are, and the
    seconds a page."""
    right, wrong = np.zeros(TURNS, dtype=int), np.zeros(TURNS, dtype=int)
    count, seconds = 0, 0.0
    for folder in folders:
        for path in sorted((folder / "images").iterdir()):
            with Image.open(path) as picture:
                image = np.asarray(picture.convert("RGB"))
            count += 1
            for turned in range(TURNS):
                start = time.perf_counter()
                turn = find_turn(np.ascontiguousarray(np.rot90(image, turned)), model)
                seconds += time.perf_counter() - start
                right[turned] += turn.quarters == -turned % TURNS
                wrong[turned] += turn.quarters not in (0, -turned % TURNS)
    print(f"{count} pages, at {SURE} probability; {seconds / max(count, 1) / TURNS:.4f} s a page")
    for turned in range(TURNS):
        print(f"turned {90 * turned}: {right[turned]} right, {wrong[turned]} turned wrongly")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.orientation_model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("pages", nargs="+", type=Path)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--steps", type=int, default=1500)
    scoring = commands.add_parser("score")
    scoring.add_argument("model", type=Path)
    scoring.add_argument("pages", nargs="+", type=Path)
    args = parser.parse_args()
    if args.command == "train":
        train(args.pages, args.out, args.steps)
        return 0
    model = PageOrientation()
    model.load_state_dict(load_file(args.model))
    score(model.eval(), args.pages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
