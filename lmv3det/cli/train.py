"""`lmv3det train`: from a config to a trained detector, in one process or several."""

from __future__ import annotations

import argparse
import logging
import os

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det train`."""
    parser.add_argument("--config", required=True, help="YAML file with the settings")
    parser.add_argument(
        "--size",
        default="base",
        help="base: as the config says; tiny: its system at a size for a CPU, from scratch; or a "
        "config whose sizes, rates and budget are taken (%(default)s)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from last.pth in the config's output_dir"
    )
    parser.add_argument(
        "--resume-or-start",
        action="store_true",
        help="as --resume, and begin where there is no last.pth yet: for launchers that start the "
        "same command again, such as torchrun --max-restarts",
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="let a checkpoint to start from name classes of your own that the config does not",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as solver.lr=1e-4"
    )


def run(args: argparse.Namespace) -> int:
    """`lmv3det train`, also under torchrun: 0 when the last step is done; 128 + the signal's
    number (130 for Ctrl-C, 143 for SIGTERM) where one ended the run early."""
    from lmv3det.ablation.systems import read_systems, system_config
    from lmv3det.config import load_config
    from lmv3det.engine.run import train
    from lmv3det.engine.trainer import Interrupted

    if int(os.environ.get("RANK", "0")) > 0:
        logging.getLogger("lmv3det").setLevel(logging.ERROR)
    try:
        if getattr(args, "size", "base") == "base":
            config = load_config(args.config, args.overrides)
        else:
            (system,) = read_systems([args.config], "--config")
            config = system_config(system, args.size, args.overrides)
        path = train(
            config,
            resume=args.resume or args.resume_or_start,
            or_start=args.resume_or_start,
            trust_code=args.trust_code,
        )
    except Interrupted as stop:
        log.warning("%s", stop)
        return 128 + stop.signum
    log.info("done: %s", path)
    return 0
