"""Runs the application: one process, one port."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from lmv3det.errors import InputError
from lmv3det.serve.guard import LOOPBACK

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach the host."""
    return host in LOOPBACK or host.startswith("127.")


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        InputError: no such host, a port that is taken or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port}: cannot be listened on ({error}); give another --port or --host"
        ) from None


def serve(app: FastAPI, listening: socket.socket, seconds: float) -> None:
    """Answer requests until SIGINT or SIGTERM: then new ones are refused and those that run are
    finished. A second signal ends at once.

    Args:
        app: the application.
        listening: where it listens.
        seconds: that running requests may take at the end.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", server_header=False,
        timeout_graceful_shutdown=int(seconds) + 1, timeout_keep_alive=15,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])
