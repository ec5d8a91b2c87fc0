"""Chromium, which sets documents: labels from its layout, pages as a PDF."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from lmv3det.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SWITCHES = [
    "--font-render-hinting=none",
    "--disable-gpu",
    "--allow-file-access-from-files",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--renderer-process-limit=1",
]


def find_chromium() -> str | None:
    """Where Chromium is: ``LMV3DET_CHROMIUM``, or on the path; None where there is none."""
    named = os.environ.get("LMV3DET_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def require() -> str:
    """Chromium's path.

    Raises:
        InputError: Chromium or playwright is not installed.
    """
    if importlib.util.find_spec("playwright") is None:
        raise InputError("pages by HTML: playwright is not installed; pip install playwright")
    path = find_chromium()
    if path is None:
        raise InputError(
            "pages by HTML: no Chromium found; apt-get install chromium, "
            "or name it in LMV3DET_CHROMIUM"
        )
    return path


class Browser:
    """One Chromium for many documents."""

    def __init__(self) -> None:
        from playwright.sync_api import sync_playwright

        path = require()
        self._driver = sync_playwright().start()
        sandbox = hasattr(os, "geteuid") and os.geteuid() != 0
        self._chromium = self._driver.chromium.launch(
            executable_path=path, args=_SWITCHES, headless=True, chromium_sandbox=sandbox
        )
        self._page = self._chromium.new_page(viewport={"width": 1000, "height": 1000})
        self._page.emulate_media(media="print")
        self._labels = files("pagegen.html").joinpath("labels.js").read_text(encoding="utf-8")

    def set(self, html: Path) -> tuple[list[dict[str, Any]], bytes]:
        """The labels of every page of a document, and the document as PDF."""
        self._page.goto(html.as_uri(), wait_until="load")
        self._page.evaluate("document.fonts.ready")
        labels = json.loads(self._page.evaluate(self._labels))
        pdf = self._page.pdf(prefer_css_page_size=True, print_background=True)
        return labels, pdf

    def close(self) -> None:
        """End Chromium."""
        self._chromium.close()
        self._driver.stop()
