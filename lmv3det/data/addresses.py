"""Files by address: plain paths, and what fsspec opens (`file://`, `memory://`, and `s3://`, `gs://`
and others where the package for them is installed)."""

from __future__ import annotations

from typing import Any

from lmv3det.errors import InputError, explain

INSTALL = "`pip install fsspec`"


def file_system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it.

    Raises:
        InputError: no such protocol, or its package is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{address}: the package fsspec is not installed: {INSTALL}") from None
    try:
        return fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise InputError(f"{address}: {' '.join(str(error).split())}") from None


def read_bytes(address: str, start: int = 0, length: int = -1) -> bytes:
    """The content of a file, or a part of it.

    Args:
        address: of the file.
        start: first byte.
        length: how many; -1: all that follow.

    Raises:
        InputError: it cannot be read, or ends before.
    """
    try:
        if "://" not in address:
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
