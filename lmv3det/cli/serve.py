"""`lmv3det serve`: a page and an API, on this computer."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path

from lmv3det.cli.predict import add_classes, class_overrides
from lmv3det.errors import InputError, install_extra

PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pebble")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det serve`."""
    add = parser.add_argument
    add("--ckpt", metavar="CKPT", help="checkpoint, such as output/best.pth, or a folder of a "
        "model (default: the model that comes with lmv3det)")  # fmt: skip
    add("--host", default="127.0.0.1", help="where to listen; another than this computer's own "
        "(%(default)s) lets everybody on the network send files")  # fmt: skip
    add("--port", type=int, default=8000, help="(%(default)s); 0 takes a free one")

    text = parser.add_argument_group("text, for a model that reads it")
    text.add_argument("--ocr", metavar="NAME", help="an engine (rapidocr, paddleocr, tesseract); "
                      "auto: the text layer of a PDF where there is one, else an engine; layer; "
                      "none (default: as of `lmv3det predict`)")  # fmt: skip
    text.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                      help="an option of the engine, such as language=chi_sim")  # fmt: skip

    limits = parser.add_argument_group("limits")
    limits.add_argument("--requests", type=int, default=16, metavar="N",
                        help="at a time, running or waiting (%(default)s)")  # fmt: skip
    limits.add_argument("--max-mb", type=float, default=50, metavar="N",
                        help="megabytes of a file (%(default)s)")  # fmt: skip
    limits.add_argument("--max-pages", type=int, default=200, metavar="N",
                        help="pages of a file (%(default)s)")  # fmt: skip
    limits.add_argument("--max-megapixels", type=float, default=50, metavar="N",
                        help="of a page (%(default)s)")  # fmt: skip
    limits.add_argument("--timeout", type=float, default=300, metavar="SECONDS",
                        help="for a request, upload included (%(default)s)")  # fmt: skip
    limits.add_argument("--page-timeout", type=float, default=60, metavar="SECONDS",
                        help="to read a page, its OCR included (%(default)s)")  # fmt: skip

    how = parser.add_argument_group("how")
    add_classes(how)
    how.add_argument("--batch-size", type=int, metavar="N",
                     help="pages a batch (default: the checkpoint's)")  # fmt: skip
    how.add_argument("--dpi", type=int, default=144, metavar="N",
                     help="resolution at which PDF pages are drawn (%(default)s)")  # fmt: skip
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    how.add_argument("--precision", help="auto, fp32, bf16 or fp16 (default: the checkpoint's)")
    how.add_argument("--readers", type=int, default=2, metavar="N",
                     help="processes that read files (%(default)s)")  # fmt: skip
    how.add_argument("--trust-code", action="store_true",
                     help="import the classes of yours that the checkpoint names")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    check_arguments(args)
    from lmv3det.cli.ocr import engine_options
    from lmv3det.device import describe
    from lmv3det.inference.detector import Detector
    from lmv3det.serve.app import create_app
    from lmv3det.serve.guard import LOOPBACK
    from lmv3det.serve.limits import Limits
    from lmv3det.serve.server import is_loopback, open_port, serve

    limits = Limits(
        requests=args.requests,
        file_bytes=round(args.max_mb * 1e6),
        pages=args.max_pages,
        pixels=round(args.max_megapixels * 1e6),
        seconds=args.timeout,
        page_seconds=args.page_timeout,
        readers=args.readers,
    )
    private = is_loopback(args.host)
    with open_port(args.host, args.port) as listening:
        overrides = [] if args.precision is None else [f"precision={args.precision}"]
        overrides += class_overrides(args)
        detector = Detector.load(args.ckpt, args.device, overrides, trust_code=args.trust_code)
        app = create_app(
            detector,
            limits,
            model="the bundled model" if args.ckpt is None else Path(args.ckpt).name,
            ocr=args.ocr,
            ocr_options=engine_options(args.option),
            batch_size=args.batch_size,
            dpi=args.dpi,
            hosts=(*LOOPBACK, args.host) if private else (),
        )
        log.info("on %s", describe(detector.device, detector.precision))
        if not private:
            log.warning(
                "%s is more than this computer: everybody who can reach it may send files; there "
                "are no accounts and no encryption", args.host,
            )  # fmt: skip
        port = listening.getsockname()[1]
        name = f"[{args.host}]" if ":" in args.host else args.host
        print(f"http://{name}:{port}/ (the API: /docs; Ctrl-C stops)", flush=True)
        serve(app, listening, limits.seconds)
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before torch is imported.

    Raises:
        InputError: a value out of range, a missing checkpoint, a package that is not installed.
    """
    from lmv3det.cli.predict import check_precision, checkpoint_path

    for name in ("requests", "max_pages", "dpi", "readers", "batch_size"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
    for name in ("max_mb", "max_megapixels", "timeout", "page_timeout"):
        value = getattr(args, name)
        if not 0 < value < 1e6:
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; it must be more than 0")
    if not 0 <= args.port < 65536:
        raise InputError(f"--port is {args.port}; it must be from 0 to 65535")
    check_precision(args.precision)
    args.ckpt = checkpoint_path(args.ckpt)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the server needs {', '.join(missing)}, not installed: {install_extra('serve')}"
        )
