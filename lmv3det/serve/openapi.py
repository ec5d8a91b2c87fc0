"""What the OpenAPI file says beyond what the functions' signatures say."""

from __future__ import annotations

from typing import Any

from lmv3det.serve.schema import Found, Problem, Shown

DESCRIPTION = (
    "Finds the regions of document pages: text, titles, figures, tables and so on. Nothing that is "
    "sent is kept: files are removed when the answer has been given."
)
REFERENCE = "#/components/schemas/{model}"
_BINARY = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_FORM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["file"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "minLength": 1,
            "description": "Image or PDF.",
        },
        "password": {"type": "string", "description": "Of an encrypted PDF."},
    },
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No file, or an empty one."},
    408: {"model": Problem, "description": "The upload took too long."},
    413: {"model": Problem, "description": "The file is too large."},
    422: {"model": Problem, "description": "The file cannot be read, has too many pages or pixels, "
          "or a value of the query is wrong."},
    429: {"model": Problem, "description": "Too many requests at a time; `Retry-After` says when "
          "to try again."},
    504: {"model": Problem, "description": "It took too long."},
}  # fmt: skip
DETECT: dict[str, Any] = {
    "responses": {
        **PROBLEMS,
        200: {
            "description": "The regions, as `format` says.",
            "model": Found,
            "content": {
                "application/x-ndjson": {}, "text/markdown": {}, "text/html": {},
                "application/xml": {}, "application/zip": {},
            },
        }
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _FORM},
                "application/pdf": _BINARY,
                "image/*": _BINARY,
            },
        }
    },
}  # fmt: skip
CONVERT: dict[str, Any] = {
    "responses": {
        **PROBLEMS,
        200: {
            "description": "The pages, as `format` says.",
            "content": {"text/markdown": {}, "text/html": {}, "application/json": {}},
        },
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="Shown")}}},
        }
    },
}


def add_schemas(api: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI file with the schemas that bodies refer to, which FastAPI does not see."""
    schema = Shown.model_json_schema(ref_template=REFERENCE)
    there = api.setdefault("components", {}).setdefault("schemas", {})
    for name, one in schema.pop("$defs", {}).items():
        there.setdefault(name, one)
    there["Shown"] = schema
    return api
