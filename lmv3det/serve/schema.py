"""What the API takes and gives: pydantic models, which check it and make the OpenAPI file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FormatName = Literal["json", "jsonl", "coco", "markdown", "html", "cvat", "labelme", "label-studio"]
ConvertFormat = Literal["coco", "markdown", "html"]


def _plain(value: Any) -> Any:
    """A number as JSON has it: pydantic would take texts and truth values too."""
    if isinstance(value, (str, bytes, bool)):
        raise ValueError("Input should be a number")
    return value


Fraction = Annotated[float, Field(ge=0, le=1)]
Score = Annotated[float, BeforeValidator(_plain), Field(ge=0, le=1)]
Number = Annotated[float, BeforeValidator(_plain), Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Whole = Annotated[int, BeforeValidator(_plain)]
MAX_REGIONS, MAX_LINES = 20_000, 200_000
"""Of all pages that are written in another format together: a book of some 1000 pages."""
PICTURE = r"^data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+=*$"


class Options(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid")

    format: FormatName = Field(
        "json",
        description="What comes back. `jsonl` sends a line a page as pages are done. `labelme` and "
        "`label-studio` are ZIP files.",
    )
    archive: bool = Field(
        False,
        description="A ZIP file with the pictures too, as `lmv3det predict --format` writes them.",
    )
    score: Fraction | None = Field(
        None, description="Least score of a region (default: the model's)."
    )
    document_score: Fraction = Field(
        0.3,
        description="Least score of regions that have `order` and `text`, and that formats other "
        "than JSON hold.",
    )
    text_lines: bool = Field(False, description="Add the text lines of each page, with boxes.")
    picture: bool = Field(
        False, description="Add a picture of each page to its JSON, as a `data:` URL."
    )


class Region(BaseModel):
    """A region of a page."""

    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)] = Field(
        description="x, y, width, height in pixels of the page."
    )
    score: Score
    category: str = Field(max_length=200, description="The class.")
    order: Whole | None = Field(
        None, ge=0, description="Number in reading order, from 0; regions of a document alone."
    )
    lines: list[str] | None = Field(None, description="The text in it, line by line.")
    text: str | None = Field(None, description="The same as one text.")


class ShownRegion(Region):
    """A region with its picture."""

    picture: str | None = Field(
        None, pattern=PICTURE, description="Its picture as a `data:` URL, for Markdown and HTML."
    )


class TextLine(BaseModel):
    """A line of text."""

    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)]
    text: str


class FoundPage(BaseModel):
    """A page with its regions, by falling score; or `error` alone where it could not be read."""

    file: str = Field("", description="Name of the file as it was sent.")
    page: Whole = Field(ge=1)
    width: int | None = Field(None, ge=1, le=1_000_000, description="Pixels.")
    height: int | None = Field(None, ge=1, le=1_000_000, description="Pixels.")
    picture: str | None = None
    text_lines: list[TextLine] | None = None
    detections: list[Region] | None = None
    error: str | None = Field(None, description="One sentence.")


class Found(BaseModel):
    """The pages of a file."""

    file: str
    pages: list[FoundPage]


class ShownPage(BaseModel):
    """A page to be written in another format."""

    file: str = Field("page", max_length=1000)
    page: Whole = Field(ge=1)
    width: Whole = Field(ge=1, le=1_000_000)
    height: Whole = Field(ge=1, le=1_000_000)
    detections: list[ShownRegion] = Field(max_length=2_000)


class Shown(BaseModel):
    """Pages to be written in another format."""

    file: str = Field("pages", max_length=1000, description="Gives the answer its file name.")
    pages: list[ShownPage] = Field(
        min_length=1, max_length=10_000,
        description=f"With at most {MAX_REGIONS} regions and {MAX_LINES} lines together.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _bounded(self) -> Shown:
        regions = [region for page in self.pages for region in page.detections]
        lines = sum(len(region.lines or ()) for region in regions)
        if len(regions) > MAX_REGIONS or lines > MAX_LINES:
            raise ValueError(
                f"{len(regions)} regions with {lines} lines; at most {MAX_REGIONS} with "
                f"{MAX_LINES}: send fewer pages at a time"
            )
        return self


class ClassInfo(BaseModel):
    """A class of the model."""

    name: str
    color: str = Field(description="As drawn, #rrggbb.")
    picture: bool = Field(description="Documents show it as a picture.")


class ModelInfo(BaseModel):
    """The model, and the limits of the server."""

    model: str
    version: str = Field(description="Of lmv3det.")
    device: str
    reads_text: bool
    classes: list[ClassInfo]
    score_threshold: float = Field(description="Regions of lower scores are never given.")
    max_file_bytes: int
    max_pages: int
    max_pixels: int
    max_seconds: float


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok", "busy", "stuck"] = Field(
        description="`busy`: no place is free. `stuck`: the model or a request has taken longer "
        "than a request may (then the answer's code is 503)."
    )
    requests: int = Field(description="Running or waiting.")
    places: int = Field(description="How many may be.")
    uploads: int = Field(description="Files that are on their way.")
    oldest_seconds: float = Field(description="For which the oldest request has been running.")


class Problem(BaseModel):
    """What is wrong."""

    error: str = Field(description="One sentence.")


def first_error(errors: Sequence[Any]) -> str:
    """The first of pydantic's errors as a sentence that names the value."""
    place = ".".join(str(part) for part in errors[0]["loc"] if part not in ("query", "body"))
    message = " ".join(str(errors[0]["msg"]).split())
    return f"{place}: {message}" if place else message
