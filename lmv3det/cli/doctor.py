"""`lmv3det doctor`: whether the installation works, and what the commands will use."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.errors import InputError

if TYPE_CHECKING:
    from lmv3det.doctor.findings import Finding

TOLERANCE = 0.3
"""Default of --tolerance; `lmv3det.doctor.published.TOLERANCE` says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det doctor`."""
    add = parser.add_argument
    add("ckpt", nargs="?", metavar="CKPT", help="with --publaynet: the published detector, as "
        "lmv3det convert reads it (detectron2's .pth or a folder)")  # fmt: skip
    add("overrides", nargs="*", metavar="key=value", help="with --publaynet: settings, such as "
        "test.batch_size=4")  # fmt: skip
    add("--publaynet", type=Path, metavar="DIR", help="evaluate CKPT on PubLayNet's validation "
        "pages in DIR (val.json, val/) and compare with the published AP by class")  # fmt: skip
    add("--tolerance", type=float, default=TOLERANCE, metavar="POINTS",
        help="by which an AP may differ from the published one (%(default)s)")  # fmt: skip
    add("--yaml", type=Path, metavar="FILE", help="with --publaynet: the detectron2 yaml of CKPT")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    add("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"),
        help="of the network (%(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """`lmv3det doctor`: 0 when all works, 1 when something is broken or CKPT differs."""
    if (args.ckpt is None) != (args.publaynet is None):
        raise InputError(
            "CKPT and --publaynet DIR go together: lmv3det doctor CKPT --publaynet DIR"
        )
    if args.publaynet is not None:
        return compare_with_published(args)
    broken = advice = 0
    for finding in findings(args.device, args.precision):
        print(finding, flush=True)
        broken += finding.state == "broken"
        advice += finding.state == "advice"
    print(f"\n{f'broken: {broken}' if broken else 'all works'}; advice: {advice or 'none'}")
    return 1 if broken else 0


def findings(device: str, precision: str) -> Iterator[Finding]:
    """Everything that the doctor looks at, one finding after the other."""
    import platform

    from lmv3det import __version__
    from lmv3det.doctor import machine, packages, selftest
    from lmv3det.doctor.findings import Finding, examine

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("lmv3det", f"{__version__}, {system}")
    other = "set --device to another, such as cpu"
    for subject, check, fix in (
        ("packages", packages.check_packages, "`pip install .` in the folder of lmv3det"),
        ("torchvision", packages.check_operators, packages.REINSTALL),
        ("extras", packages.check_extras, "`pip install .` in the folder of lmv3det"),
        ("device", partial(machine.check_device, device, precision), other),
        ("threads", partial(machine.check_threads, device), other),
        ("shared memory", machine.check_shared_memory, "set data.workers=0"),
        ("exactness", partial(selftest.check_parity, device), selftest.REINSTALL),
        (
            "bundled model",
            partial(selftest.check_bundled_model, device, precision),
            selftest.REINSTALL,
        ),
    ):
        yield from examine(subject, check, fix)


def compare_with_published(args: argparse.Namespace) -> int:
    """Evaluate the checkpoint, and print its figures beside the published ones."""
    from lmv3det.doctor.published import PAGES, compare, comparison_table, measure

    if not args.tolerance >= 0:
        raise InputError(f"--tolerance is {args.tolerance}; it must be 0 or more")
    evaluation, pages = measure(
        args.ckpt,
        args.publaynet,
        device=args.device,
        precision=args.precision,
        yaml=args.yaml,
        overrides=args.overrides,
    )
    rows = compare(evaluation.metrics["bbox"], args.tolerance)
    print(comparison_table(rows))
    if pages != PAGES:
        print(f"\n{pages} pages, not the {PAGES} that the published figures are of")
    wrong = [row.name for row in rows if not row.agrees]
    within = f"within {args.tolerance:g} points of the published AP"
    print(f"\ndiffers: {', '.join(wrong)} not {within}" if wrong else f"\nagrees: {within}")
    return 1 if wrong else 0
