"""The application: routes, errors, and what is there while the server runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from html import escape
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from lmv3det import __version__
from lmv3det.documents.roles import role
from lmv3det.files import scratch_folder
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.serve.assets import FILES, docs_page, read_asset
from lmv3det.serve.guard import Guard
from lmv3det.serve.limits import CLOSE, Limits, Refusal
from lmv3det.serve.linger import LingeringResponse
from lmv3det.serve.metrics import Metrics
from lmv3det.serve.openapi import CONVERT, DESCRIPTION, DETECT, add_schemas
from lmv3det.serve.output import Output, json_output
from lmv3det.serve.schema import (
    ClassInfo,
    ConvertFormat,
    Found,
    Health,
    ModelInfo,
    Options,
    first_error,
)
from lmv3det.serve.uploads import Upload, receive, receive_body, shown_name
from lmv3det.serve.visit import Places, Visit
from lmv3det.serve.work import MODEL_FAILED, Work
from lmv3det.visualization.regions import color

LATE = 30
"""Seconds after which a request that is past its time, or a page at the model, is stuck."""


def create_app(
    detector: Detector,
    limits: Limits | None = None,
    *,
    model: str = "the bundled model",
    options: PredictOptions | None = None,
    hosts: tuple[str, ...] = (),
) -> FastAPI:
    """The server as an ASGI application, for one process.

    Args:
        detector: finds the regions.
        limits: of what is taken.
        model: what the model is called.
        options: how pages are predicted on; its `ocr` is no folder.
        hosts: names under which it may be asked; empty for any.

    Raises:
        InputError: a source of text that cannot be used.
    """
    limits = limits or Limits()
    places = Places(limits)
    metrics = Metrics(lambda: places.taken)
    options = options or PredictOptions()
    work = Work(detector, limits, metrics, options)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with scratch_folder("serve") as folder:
            app.state.folder = folder
            work.start()
            try:
                yield
            finally:
                work.close()

    app = FastAPI(
        title="lmv3det", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.places, app.state.work, app.state.metrics = places, work, metrics
    app.state.info = ModelInfo(
        model=model,
        version=__version__,
        device=str(detector.device),
        reads_text=detector.uses_text,
        classes=[
            ClassInfo(
                name=name,
                color="#{:02x}{:02x}{:02x}".format(*color(k)),
                picture=role(name) in ("picture", "table", "formula"),
            )
            for k, name in enumerate(detector.names)
        ],
        score_threshold=detector.selection(options).lowest,
        max_file_bytes=limits.file_bytes,
        max_pages=limits.pages,
        max_pixels=limits.pixels,
        max_seconds=limits.seconds,
    )
    app.include_router(api)
    described = app.openapi
    app.openapi = lambda: add_schemas(described())  # type: ignore[method-assign]
    _add_pages(app)
    _add_errors(app)
    paths = {*app.openapi()["paths"], *FILES, "/docs", "/openapi.json"}
    app.add_middleware(Guard, metrics=metrics, paths=paths, hosts=hosts)
    return app


api = APIRouter(prefix="/v1")


async def take_place(request: Request) -> AsyncIterator[Visit]:
    """A place for the request, until its answer has been sent."""
    async with request.app.state.places.take(request) as visit:
        yield visit


Taken = Annotated[Visit, Depends(take_place)]


@api.post("/detect", response_model=Found, tags=["regions"], **DETECT)
async def detect(request: Request, visit: Taken, options: Annotated[Options, Query()]) -> Response:
    """Find the regions of an image or PDF.

    The file is the field `file` of a multipart form (with the field `password` for an encrypted
    PDF), or the body itself. Pages that cannot be read have `error` in the place of their regions.
    """
    work: Work = request.app.state.work
    upload = await visit.wait(receive(request, visit.folder, work.limits))
    visit.arrived()
    out = visit.folder / "out"
    out.mkdir()
    if options.format == "jsonl":
        lines = _lines(work, visit, upload, options)
        return StreamingResponse(lines, media_type="application/x-ndjson")
    count = await work.count(visit, upload)
    pages = [page async for page in work.pages(visit, upload, count, options, out)]
    done = [page for page in pages if "error" not in page]
    if not done:
        error = pages[0]["error"]
        raise Refusal(500 if error == MODEL_FAILED else 422, _as_sentence(error))
    if options.format == "json":
        output = json_output({"file": upload.name, "pages": pages})
    else:
        output = await visit.wait(
            work.readers.write(options.format, done, work.detector.names, out, options.archive)
        )
    return _answer(output, upload.name)


@api.post("/convert", tags=["regions"], **CONVERT)
async def convert(
    request: Request,
    visit: Taken,
    format: Annotated[ConvertFormat, Query(description="What comes back.")] = "markdown",
) -> Response:
    """Write pages that were found before in another format.

    Takes the JSON of `/v1/detect`, of which regions may have been taken out. A `picture` of a
    region goes into Markdown and HTML.
    """
    work: Work = request.app.state.work
    body = await visit.wait(receive_body(request, visit.folder, work.limits))
    visit.arrived()
    out = visit.folder / "out"
    out.mkdir()
    file, output = await visit.wait(work.readers.shown(body, work.detector.names, format, out))
    return _answer(output, shown_name(file))


@api.get("/model", tags=["server"])
async def model(request: Request) -> ModelInfo:
    """The model's classes and the server's limits."""
    return request.app.state.info


@api.get("/health", tags=["server"], responses={503: {"model": Health, "description": "Stuck."}})
async def health(request: Request, response: Response) -> Health:
    """Whether the server works, and how busy it is."""
    places, work = request.app.state.places, request.app.state.work
    oldest = max(places.oldest_seconds, work.batcher.busy_seconds)
    status: Literal["ok", "busy", "stuck"] = "ok"
    if not work.batcher.thread.is_alive() or oldest > places.limits.seconds + LATE:
        status, response.status_code = "stuck", 503
    elif len(places.running) >= places.limits.requests:
        status = "busy"
    return Health(
        status=status,
        requests=len(places.running),
        places=places.limits.requests,
        uploads=len(places.uploads),
        oldest_seconds=round(oldest, 3),
    )


def _answer(output: Output, name: str) -> Response:
    """A file, offered under a name made of the upload's; browsers do not show it as a page."""
    stem = name.rpartition(".")[0] or name
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", stem)
    disposition = (
        f'attachment; filename="{plain}{output.suffix}"; '
        f"filename*=UTF-8''{quote(stem + output.suffix, safe='')}"
    )
    headers = {"Content-Disposition": disposition}
    return Response(output.content, media_type=output.media_type, headers=headers)


async def _lines(
    work: Work, visit: Visit, upload: Upload, options: Options
) -> AsyncIterator[bytes]:
    """JSON lines: the file, each page as it is done, and `error` where the rest is given up."""

    def line(content: Mapping[str, Any]) -> bytes:
        return json_output(content).content + b"\n"

    try:
        count = await work.count(visit, upload)
        yield line({"file": upload.name, "pages": count})
        async for page in work.pages(visit, upload, count, options, visit.folder):
            yield line(page)
    except Refusal as refusal:
        yield line({"error": _as_sentence(refusal.sentence)})


def _add_pages(app: FastAPI) -> None:
    """The page, its files, the API's description and the metrics."""
    for path, (name, media_type) in FILES.items():
        answer = Response(read_asset(name), media_type=media_type)
        app.add_api_route(path, _giving(answer), include_in_schema=False)
    docs = docs_page(app.openapi())

    async def describe(request: Request) -> Response:
        server = escape(str(request.base_url).rstrip("/"))
        return Response(docs.replace("{server}", server), media_type="text/html")

    app.add_api_route("/docs", describe, include_in_schema=False)

    async def metrics(request: Request) -> Response:
        text = request.app.state.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_api_route("/metrics", metrics, include_in_schema=False)


def _giving(answer: Response) -> Any:
    async def give() -> Response:
        return answer

    return give


def _add_errors(app: FastAPI) -> None:
    """Every error is JSON with one sentence."""

    async def refused(request: Request, error: Exception) -> Response:
        refusal = cast(Refusal, error)
        content = {"error": _as_sentence(refusal.sentence)}
        kind = LingeringResponse if "Connection" in refusal.headers else JSONResponse
        return kind(content, refusal.status, refusal.headers)

    async def wrong(request: Request, error: Exception) -> Response:
        errors = cast(RequestValidationError, error).errors()
        return LingeringResponse({"error": _as_sentence(first_error(errors))}, 422, CLOSE)

    async def unknown(request: Request, error: Exception) -> Response:
        failure = cast(HTTPException, error)
        return JSONResponse(
            {"error": _as_sentence(str(failure.detail))}, failure.status_code, failure.headers
        )

    async def hung_up(request: Request, error: Exception) -> Response:
        request.app.state.metrics.hangups.inc()
        return Response(status_code=499)  # for nobody

    async def failed(request: Request, error: Exception) -> Response:
        sentence = "The server failed on this request; its log has the cause."
        return JSONResponse({"error": sentence}, 500)

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(Exception, failed)


def _as_sentence(text: str) -> str:
    if not re.match(r"\w+[:.]", text):  # the name of a value stays as it is
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
