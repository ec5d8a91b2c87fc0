"""`lmv3det serve`: a page and an API, on this computer."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path

from lmv3det.cli.predict_options import (
    SETTINGS_HELP,
    add_predict_options,
    check_counts,
    check_predict_options,
    detector_options,
    predict_options,
)
from lmv3det.errors import InputError, install_extra

PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "pebble")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det serve`."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where to listen; another than this computer's own "
        "(%(default)s) lets everybody on the network send files")  # fmt: skip
    add("--port", type=int, default=8000, help="(%(default)s); 0 takes a free one")

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

    limits.add_argument("--readers", type=int, default=2, metavar="N",
                        help="processes that read files (%(default)s)")  # fmt: skip
    add("overrides", nargs="*", metavar="key=value", help=SETTINGS_HELP)
    add_predict_options(parser, password=False)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    check_arguments(args)
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
        detector = Detector.of_options(detector_options(args))
        app = create_app(
            detector,
            limits,
            model="the bundled model" if args.ckpt is None else Path(args.ckpt).name,
            options=predict_options(args),
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
    check_predict_options(args)
    check_counts(args, "requests", "max_pages", "readers")
    for name in ("max_mb", "max_megapixels", "timeout", "page_timeout"):
        value = getattr(args, name)
        if not 0 < value < 1e6:
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; it must be more than 0")
    if not 0 <= args.port < 65536:
        raise InputError(f"--port is {args.port}; it must be from 0 to 65535")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the server needs {', '.join(missing)}, not installed: {install_extra('serve')}"
        )
