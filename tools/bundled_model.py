"""`python -m tools.bundled_model`: makes the model that comes with the package.

`make OUT` does all of it: pages, tokenizer, training in stages, release. What is done already is
not done again, so that a run that was stopped goes on by the same command. Pages by LaTeX
(`pagegen.latex`) are among them where pdflatex is found. `release RUN OUT` makes
a model of a training run that is to go on: the lr falls to 0 in a branch of its own
(`solver.schedule: wsd`), and the branch's averaged weights are written in float16.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint
from lmv3det.checkpoint.folder import save_pretrained
from lmv3det.config import from_dict, load_config, to_dict
from lmv3det.engine.run import train
from lmv3det.engine.run_files import LAST
from lmv3det.errors import InputError
from lmv3det.text.train_tokenizer import read_texts, train_tokenizer
from pagegen.html.browser import require as check_chromium
from pagegen.html.job import generate as html_pages
from pagegen.latex.__main__ import check_latex
from pagegen.latex.__main__ import generate as latex_pages
from pagegen.typst.generate import generate
from tools.merge_pages import merge_pages

log = logging.getLogger(__name__)
CONFIG = Path(__file__).parents[1] / "configs" / "bundled.yaml"
LARGEST = 16 * 10**6
"""Most bytes of a released model."""


@dataclass(frozen=True)
class Stage:
    """A part of the training: up to which step, and the settings that differ in it."""

    last_step: int
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """How a model is made.

    Attributes:
        sets: name of a set of pages → its share of all pages, and arguments of
            `pagegen.typst.generate`.
        pages: how many pages in all.
        stages: of the training, in order.
        decay_steps: steps of the release's branch.
        overrides: settings of all stages and of the release.
        latex: share of the pages that LaTeX sets, where it is found; the sets give fewer then.
        html: the same of pages of every kind, set by Chromium.
    """

    sets: dict[str, tuple[float, dict[str, Any]]]
    pages: int
    stages: tuple[Stage, ...]
    decay_steps: int
    overrides: tuple[str, ...] = ()
    latex: float = 0.0
    html: float = 0.0

    def part(self, fraction: float) -> Recipe:
        """The recipe with a fraction of its pages and steps, to try it."""
        ends: list[int] = []
        for stage in self.stages:
            ends.append(max(round(stage.last_step * fraction), ends[-1] + 1 if ends else 1))
        stages = [
            dataclasses.replace(stage, last_step=end)
            for stage, end in zip(self.stages, ends, strict=True)
        ]
        return dataclasses.replace(
            self,
            pages=max(round(self.pages * fraction), len(self.sets)),
            stages=tuple(stages),
            decay_steps=max(round(self.decay_steps * fraction), 1),
        )


SETS: dict[str, tuple[float, dict[str, Any]]] = {
    "papers": (0.7, {"setting": "papers", "seed": 101, "height": 880, "jpeg": 85}),
    "plain": (0.3, {"seed": 102, "dpi": 76, "degrade": True, "ocr_noise": 0.02}),
}
LATEX_SEED, HTML_SEED = 103, 104
LOW = ("input.min_size_train=[256,288,320,352]", "input.max_size_train=512")
# Large type and small print are both real: sizes trained span those tested.
HIGH = (
    "input.min_size_train=[256,288,320,320,352,352,384,384,416,448,480,544]",
    "input.max_size_train=768",
)
RECIPES = {
    # One core with bfloat16 matrix units: about 4 pages a second at low, 2 at high resolution;
    # without them give precision=fp32.
    "cpu": Recipe(
        SETS,
        8000,
        (Stage(4000, LOW), Stage(8000, HIGH)),
        1500,
        ("device=cpu", "data.workers=1"),
        latex=0.1,
        html=0.5,
    ),
    # One GPU, 16 cores: pages in 3 minutes, training in 15.
    "gpu": Recipe(
        SETS,
        12000,
        (Stage(1500, LOW), Stage(5000, HIGH)),
        1500,
        (
            "device=cuda",
            "data.workers=15",
            "solver.batch_size=32",
            "solver.lr=2e-3",
            "solver.checkpoint_every=1000",
        ),
        latex=0.1,
        html=0.5,
    ),
}


def make(out: Path, recipe: Recipe, workers: int = 1) -> Path:
    """Make a model from nothing, or go on with it.

    Args:
        out: gets pages/, tokenizer/, run/, release/ and model/.
        recipe: how.
        workers: processes that make pages.

    Returns:
        The model's folder.

    Raises:
        InputError: as the parts raise it.
    """
    pages, tokenizer = out / "pages" / "all", out / "tokenizer"
    merge_pages(pages, make_pages(out / "pages", recipe, workers))
    if not (tokenizer / "tokenizer.json").exists():
        size = load_config(CONFIG, recipe.overrides).backbone.vocab_size
        train_tokenizer(read_texts([pages / "OCR"]), tokenizer, size, "char_bpe")
    given = (
        *recipe.overrides,
        f"data.train.annotations={pages / 'annotations.json'}",
        f"data.train.images={pages / 'images'}",
        f"text.tokenizer={tokenizer}",
    )
    last = out / "run" / LAST
    done = load_checkpoint(last).step if last.exists() else 0
    for stage in recipe.stages:
        if done < stage.last_step:
            settings = (f"output_dir={last.parent}", f"solver.steps={stage.last_step}")
            config = load_config(CONFIG, [*given, *stage.overrides, *settings])
            train(config, resume=last.exists())
    return release(last, out, recipe.decay_steps, [*given, *recipe.stages[-1].overrides])


def make_pages(out: Path, recipe: Recipe, workers: int) -> list[Path]:
    """Make the recipe's sets of pages, each in a folder of its own; returns the folders."""
    by_latex = _possible(recipe.latex * recipe.pages, check_latex, "LaTeX")
    by_html = _possible(recipe.html * recipe.pages, check_chromium, "HTML")
    folders = []
    for name, (share, options) in recipe.sets.items():
        folders.append(out / name)
        number = max(1, round(share * (recipe.pages - by_latex - by_html)))
        generate(folders[-1], number, classes="fine", workers=workers, **options)
    if by_latex:
        folders.append(out / "latex")
        latex_pages(folders[-1], by_latex, seed=LATEX_SEED, classes="fine", workers=workers)
    if by_html:
        folders.append(out / "html")
        html_pages(folders[-1], by_html, seed=HTML_SEED, classes="fine", workers=workers)
    return folders


def _possible(pages: float, check: Callable[[], object], name: str) -> int:
    """So many pages, or none where what sets them is missing, which is said."""
    if round(pages):
        try:
            check()
        except InputError as missing:
            log.warning("%s; goes on without pages by %s", missing, name)
            return 0
    return round(pages)


def release(run: Path, out: Path, decay_steps: int, overrides: Sequence[str] = ()) -> Path:
    """Branch a model off a training run.

    Args:
        run: a checkpoint that training can go on from; left as it is.
        out: gets release/ (the branch's run, which goes on where it was stopped) and model/.
        decay_steps: in which the lr falls to 0.
        overrides: settings laid over configs/bundled.yaml, those of the run's last stage.

    Returns:
        The model's folder.

    Raises:
        InputError: the model is there already, or too large; the run cannot go on.
    """
    branch, model = out / "release", out / "model"
    if model.exists():
        raise InputError(f"{model}: is there already; remove it, or name another folder")
    end = load_checkpoint(run).step + decay_steps
    if (branch / LAST).exists():
        end = load_checkpoint(branch / LAST).config.solver.steps
    # The average shall forget the weights of before the decay.
    average = f"solver.ema_decay={max(0.5, 1 - 2.5 / decay_steps)}"
    settings = (
        f"output_dir={branch}",
        f"solver.steps={end}",
        f"solver.decay_steps={decay_steps}",
    )
    config = load_config(CONFIG, [average, *overrides, *settings])
    train(config, resume=True if (branch / LAST).exists() else str(run))
    export(load_checkpoint(branch / LAST), model)
    return model


def export(checkpoint: Checkpoint, model: Path) -> None:
    """Write a model for the package, in float16, its config without paths of this machine.

    Raises:
        InputError: it is larger than the package may hold; nothing is left then.
    """
    values = to_dict(checkpoint.config)
    for split in ("train", "val"):
        values["data"][split] = {}
    values["text"]["tokenizer"] = values["model"]["weights"] = None
    values["output_dir"], values["device"] = "output/bundled", "auto"
    values["precision"] = "auto"
    portable = dataclasses.replace(
        checkpoint,
        config=from_dict(values),
        training={},
    )
    save_pretrained(portable, model, half=True)
    for path in model.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    if size > LARGEST:
        shutil.rmtree(model)
        raise InputError(f"{model}: {size} bytes, more than {LARGEST}; make the model smaller")


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 when done, 1 at a fault of the user's."""
    parser = argparse.ArgumentParser(prog="python -m tools.bundled_model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("make", help="from pages to the model")
    whole.add_argument("out", type=Path)
    whole.add_argument("--recipe", choices=sorted(RECIPES), default="cpu")
    whole.add_argument("--pages", type=int, help="pages in all (default: the recipe's)")
    whole.add_argument(
        "--fraction", type=float, default=1.0, help="of the recipe's pages and steps, to try it"
    )
    whole.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    whole.add_argument("overrides", nargs="*", metavar="key=value", help="settings laid over all")
    part = commands.add_parser("release", help="a model of a run that is to go on")
    part.add_argument("run", type=Path, help="checkpoint, such as run/last.pth")
    part.add_argument("out", type=Path)
    part.add_argument("--decay-steps", type=int, default=RECIPES["cpu"].decay_steps)
    part.add_argument("overrides", nargs="*", metavar="key=value", help="the last stage's settings")
    # Settings may stand anywhere; argparse takes them in one place alone.
    options, others = parser.parse_known_args(arguments)
    if wrong := [word for word in others if word.startswith("-") or "=" not in word]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    options.overrides += others
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.command == "make":
            if not 0 < options.fraction <= 1:
                raise InputError(f"--fraction is {options.fraction}: give a number from 0 to 1")
            recipe = RECIPES[options.recipe].part(options.fraction)
            recipe = dataclasses.replace(
                recipe,
                pages=options.pages or recipe.pages,
                overrides=(*recipe.overrides, *options.overrides),
            )
            model = make(options.out, recipe, options.workers)
        else:
            model = release(options.run, options.out, options.decay_steps, options.overrides)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{model}: copy it to lmv3det/assets/bundled to pack it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
