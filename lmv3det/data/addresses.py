"""Files by address: plain paths, and what fsspec opens of the protocols named here.

fsspec itself opens more: `reference::` renders templates that a file brings along, `a::b` opens one
address by way of another, and others run commands. So the protocol is looked up before fsspec sees
an address, and of chains (`::`) nothing is made: the sign is a part of a name like any other.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from lmv3det.errors import InputError, explain, printable

INSTALL = "`pip install fsspec`"
PROTOCOLS = (
    "file", "http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"
)  # fmt: skip
"""What may stand before `://`; `memory` is the memory of this process."""
_PROTOCOL = re.compile(r"([^/\\]+?)://")


def protocol_of(address: str) -> str:
    """The protocol of an address in lower case; empty for a plain path.

    Raises:
        InputError: one that is not read.
    """
    found = _PROTOCOL.match(address)
    if found is None:
        return ""
    name = found[1].lower()
    if name not in PROTOCOLS:
        raise InputError(
            f"{printable(address)}: addresses of {printable(name)}:// are not read, but paths and "
            f"those of {', '.join(PROTOCOLS[:-1])}; fetch or unpack it, and give the files"
        )
    return name


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it; of a plain path its absolute one.

    Raises:
        InputError: a protocol that is not read, or its package is not installed.
    """
    protocol = protocol_of(address)
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{address}: the package fsspec is not installed: {INSTALL}") from None
    if not protocol:
        if "\0" in address:
            raise InputError(f"{printable(address)}: no path has a zero byte")
        return fsspec.filesystem("file"), os.path.abspath(address)
    if protocol == "file" and not address[len("file://") :].strip("/"):
        raise InputError(f"{address}: names no file")
    # As fsspec.core.url_to_fs does it, without its chains.
    try:
        kind = fsspec.get_filesystem_class(protocol)
        options = kind._get_kwargs_from_urls(address)
        return fsspec.filesystem(protocol, **options), kind._strip_protocol(address)
    except (ImportError, ValueError) as error:
        raise InputError(f"{address}: {' '.join(str(error).split())}") from None


def read_bytes(address: str, start: int = 0, length: int = -1) -> bytes:
    """The content of a file, or a part of it.

    Args:
        address: of the file.
        start: first byte.
        length: how many; -1: all that follow.

    Raises:
        InputError: it cannot be read, is no regular file (a pipe would be waited for), or ends
            before.
    """
    try:
        if not protocol_of(address):
            if not stat.S_ISREG(os.stat(address).st_mode):
                raise InputError(f"{address}: not a regular file")
            with open(address, "rb") as stream:
                stream.seek(start)
                content = stream.read(length)
        else:
            fs, path = file_system(address)
            content = fs.cat_file(path, start or None, start + length if length >= 0 else None)
    except FileNotFoundError:
        raise InputError(f"{address}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # of any package for a protocol
        raise InputError(f"{address}: cannot be read ({explain(error)})") from None
    if 0 <= length != len(content):
        raise InputError(f"{address}: is shorter than it was: {start + len(content)} bytes")
    return content
