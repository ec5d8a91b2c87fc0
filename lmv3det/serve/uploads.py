"""From the body of a request to a file in the request's own folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lmv3det.errors import printable
from lmv3det.serve.limits import CLOSE, Limits, Refusal

PDF_HEAD = 1024
"""Bytes in which a PDF says that it is one."""
NAME_LENGTH = 200
FORM_BYTES = 65_536
"""Of a multipart body beside its file."""


@dataclass
class Upload:
    """A file that a client sent.

    Attributes:
        path: where it is, under a name of ours.
        name: what the client calls it: shown, never used as a path.
        password: of an encrypted PDF.
    """

    path: Path
    name: str
    password: str | None = None


def shown_name(name: str | None) -> str:
    """The last part of a client's file name, in one line."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return printable(last.encode(errors="replace").decode()[:NAME_LENGTH]) or "upload"


async def receive(request: Request, folder: Path, limits: Limits) -> Upload:
    """Store the file of a request: `file` of a multipart form, or the body itself.

    Args:
        request: whose body has not been read.
        folder: to store it in.
        limits: of the file, and of how slowly it may come.

    Raises:
        Refusal: too large, too slow, empty, or no file.
    """
    max_bytes = limits.file_bytes
    multipart = request.headers.get("content-type", "").startswith("multipart/form-data")
    most = max_bytes + (FORM_BYTES if multipart else 0)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_large(max_bytes)
    body = _limited(request, most, limits)
    stored = folder / "stored"
    name, password = None, None
    if multipart:
        name, password = await _store_form(request, body, stored)
    else:
        with open(stored, "wb") as stream:
            async for chunk in body:
                await run_in_threadpool(stream.write, chunk)
    size = stored.stat().st_size
    if size == 0:
        raise Refusal(400, "The file is empty: send an image or a PDF.")
    if size > max_bytes:
        raise _too_large(max_bytes)
    # The name tells the reader whether it is a PDF; image formats are told by their content.
    with open(stored, "rb") as stream:
        path = folder / ("upload.pdf" if b"%PDF-" in stream.read(PDF_HEAD) else "upload")
    return Upload(stored.rename(path), shown_name(name), password)


async def receive_body(request: Request, folder: Path, limits: Limits) -> Path:
    """Store the body of a request.

    Raises:
        Refusal: too large, or too slow.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.file_bytes:
        raise _too_large(limits.file_bytes)
    path = folder / "body"
    with open(path, "wb") as stream:
        async for chunk in _limited(request, limits.file_bytes, limits):
            await run_in_threadpool(stream.write, chunk)
    return path


async def _store_form(
    request: Request, body: AsyncGenerator[bytes, None], target: Path
) -> tuple[str | None, str | None]:
    """Store the file of a form; its name and the password come back."""
    try:
        form = await MultiPartParser(request.headers, body, max_files=1, max_fields=4).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        sentence = "The form cannot be read: send one file, in the field `file`."
        raise Refusal(400, sentence, CLOSE) from error
    try:
        if not {*form} <= {"file", "password"}:
            raise Refusal(400, "The form has other fields than `file` and `password`.")
        file, secret = form.get("file"), form.get("password")
        if not isinstance(file, UploadFile):
            raise Refusal(400, "There is no file: send one in the field `file`.")
        with open(target, "wb") as stream:
            while chunk := await file.read(1 << 20):
                await run_in_threadpool(stream.write, chunk)
        return file.filename, secret if isinstance(secret, str) and secret else None
    finally:
        await form.close()


async def _limited(request: Request, most: int, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The body, refused as soon as it is too long, because its length may not be told before, or
    comes too slowly."""
    size, began = 0, time.monotonic()
    chunks = request.stream()
    while True:
        due = began + limits.upload_grace + size / limits.upload_rate
        try:
            chunk = await asyncio.wait_for(anext(chunks), due - time.monotonic())
        except StopAsyncIteration:
            return
        except (TimeoutError, asyncio.TimeoutError):
            raise Refusal(
                408, f"The upload is slower than {limits.upload_rate / 1000:g} kB/s.", CLOSE
            ) from None
        size += len(chunk)
        if size > most:
            raise _too_large(limits.file_bytes)
        yield chunk


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, f"The file is larger than {max_bytes / 1e6:g} MB.", CLOSE)
