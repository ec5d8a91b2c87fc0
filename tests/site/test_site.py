"""The documentation site: what is made for it, and how it works in a real browser."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lmv3det.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # tools/ is not installed

from tools.docs_site import PROSE, command_page, commands_page, notebook_pages  # noqa: E402

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_with_its_options(name, capsys):
    from lmv3det.cli import main

    main([name, "--help"])
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out))
    page = command_page(name)
    assert page.startswith(f"# lmv3det {name}\n") and options
    assert all(option in page for option in options)
    assert f"({name}.md)" in commands_page()


def test_pages_that_are_named_exist():
    assert set(PROSE) <= set(COMMANDS)
    assert all((DOCS / page).is_file() for page in PROSE.values())


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


def test_the_notebook_becomes_a_page():
    pytest.importorskip("nbconvert")
    pages = notebook_pages(DOCS / "notebook.ipynb", run=False)
    page = pages["notebook.md"]
    assert page.startswith("# From a page to a model of your own\n\n[This page as a notebook]")
    assert "detector = Detector.load(" in page


def test_a_cell_that_fails_stops_the_build(tmp_path):
    pytest.importorskip("nbconvert")
    if importlib.util.find_spec("ipykernel") is None:
        pytest.skip("ipykernel is not installed")
    from nbclient.exceptions import CellExecutionError

    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][:1]
    notebook["cells"][0]["source"] = "raise ValueError('as a test')"
    (tmp_path / "notebook.ipynb").write_text(json.dumps(notebook))
    with pytest.raises(CellExecutionError, match="as a test"):
        notebook_pages(tmp_path / "notebook.ipynb", run=True)


def test_the_notebook_has_the_commands_of_its_environment(tmp_path, monkeypatch):
    """`make docs` calls mkdocs by its path, in an environment that is not active."""
    pytest.importorskip("nbconvert")
    if importlib.util.find_spec("ipykernel") is None:
        pytest.skip("ipykernel is not installed")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    notebook = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][:1]
    source = "import os, sys; assert os.path.dirname(sys.executable) in os.environ['PATH']"
    notebook["cells"][0]["source"] = source
    (tmp_path / "notebook.ipynb").write_text(json.dumps(notebook))
    notebook_pages(tmp_path / "notebook.ipynb", run=True)
    assert os.environ["PATH"] == "/usr/bin:/bin"


def test_no_page_or_style_asks_another_host():
    for path in [*DOCS.rglob("*.css"), *DOCS.rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"!\[[^\]]*\]\(https?:|url\(.?https?:|<script", text), path


# -- in a browser --


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, its notebook not run, which `make docs` does."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    build = f"""
from mkdocs.commands.build import build
from mkdocs.config import load_config

config = load_config("mkdocs.yml", site_dir={str(folder)!r}, strict=True)
config.plugins.on_startup(command="serve", dirty=False)
build(config)
"""
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(address, browser, width):
    """Opens every page, clicks through, searches, changes to dark; asks no other host."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    hosts: set[str] = set()
    page.on("request", lambda r: hosts.add(urlsplit(r.url).netloc))

    page.goto(address)
    links = page.locator(".md-nav--primary a.md-nav__link").evaluate_all(
        "a => a.map(x => x.href.split('#')[0])"
    )
    pages = sorted(set(links))
    assert len(pages) > 30
    for url in pages:
        page.goto(url)
        assert page.locator("h1").count() == 1, url
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url

    page.goto(address)
    page.locator("article").get_by_role("link", name="Quick start").click()
    assert page.locator("h1").inner_text().startswith("Quick start")

    if width < 1000:
        page.locator("label.md-header__button[for=__search]").click()
    page.locator("input.md-search__input").click()
    page.keyboard.type("published detector", delay=20)
    result = page.locator(".md-search-result__link").first
    result.wait_for(timeout=20_000)
    result.click()
    page.wait_for_url("**/*.html*")

    page.goto(address)
    assert page.locator("body").get_attribute("data-md-color-scheme") == "default"
    page.locator("label[title='Switch to dark']").first.click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    page.reload()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"

    assert faults == []
    assert hosts == {urlsplit(address).netloc}
    page.close()
