"""What the documentation site makes while it is built; mkdocs.yml names this file as its hook.

A page a command, from the parser that the command line uses, and the notebook, run and rendered:
neither can be out of date.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmv3det.cli.commands import COMMANDS
from lmv3det.cli.parsing import make_parser

NOTEBOOK = "notebook.ipynb"
SECONDS = 600
"""After which a cell of the notebook is stopped."""
PROSE = {
    "predict": "predict.md",
    "export": "export.md",
    "convert": "weights.md",
    "ablation": "ablation.md",
    "doctor": "doctor.md",
    "train": "own_data.md",
    "evaluate": "own_data.md",
    "report": "own_data.md",
    "check": "own_data.md",
    "ocr": "own_data.md",
    "synthetic": "quickstart.md",
    "serve": "serve.md",
    "batch": "batch.md",
}
"""Command → the page that tells how it is used."""

COMMAND_LIST = {"Commands": "commands/index.md"}
"""The entry of `nav` below which the commands come."""

_run_notebook = True


def on_startup(command: str, **_: Any) -> None:
    """While pages are being written (`mkdocs serve`) the notebook is shown without being run."""
    global _run_notebook
    _run_notebook = command != "serve"


def on_config(config: Any) -> Any:
    """Put a page a command below the list of commands."""
    pages = [{name: f"commands/{name}.md"} for name in COMMANDS]
    for entries in (part for section in config.nav for part in section.values()):
        if isinstance(entries, list) and COMMAND_LIST in entries:
            whole = {"Commands": ["commands/index.md", *pages]}
            entries[entries.index(COMMAND_LIST)] = whole
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    from mkdocs.structure.files import File

    pages: dict[str, str | bytes] = {f"commands/{name}.md": command_page(name) for name in COMMANDS}
    pages["commands/index.md"] = commands_page()
    pages |= notebook_pages(Path(config.docs_dir) / NOTEBOOK, run=_run_notebook)
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link to the notebook leads to its page, where the file itself is."""
    if page.file.src_uri == "notebook.md":
        return markdown
    return markdown.replace(f"]({NOTEBOOK})", "](notebook.md)")


def commands_page() -> str:
    """The list of commands."""
    rows = [f"| [`{name}`]({name}.md) | {line} |" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "# Commands",
            "",
            "`lmv3det COMMAND …`; each explains itself with `--help`. In a clone, `train.py`, "
            "`evaluate.py` and `predict.py` are the commands of these names.",
            "",
            "| command | |",
            "| --- | --- |",
            *rows,
            "",
            "A command ends with 0 when it is done, 1 when the input is at fault (one line says "
            "which file, which entry, and what to do), 2 for a wrong command line, 130 when it was "
            "interrupted, 143 when it was ended by SIGTERM.",
            "",
        ]
    )


def command_page(name: str) -> str:
    """What `lmv3det NAME --help` prints."""
    prose = PROSE.get(name)
    more = f"\n[How it is used](../{prose}).\n" if prose else ""
    return f"# lmv3det {name}\n{more}\n```text\n{command_help(name)}```\n"


def command_help(name: str) -> str:
    """The help of a command, 80 columns wide."""
    with environment("COLUMNS", "82"):
        return make_parser(name).format_help()


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """An environment variable, set for a block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def notebook_pages(path: Path, *, run: bool) -> dict[str, str | bytes]:
    """The notebook as a page, and its pictures; name in the site → content.

    Args:
        path: the notebook.
        run: run its cells first, in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(path, as_version=4)
    if run:
        # The commands of the environment that builds the site, which need not be an active one.
        path_of_commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        with tempfile.TemporaryDirectory() as folder, environment("PATH", path_of_commands):
            ExecutePreprocessor(timeout=SECONDS).preprocess(
                notebook, {"metadata": {"path": folder}}
            )
    for cell in notebook.cells:  # progress bars
        outputs = cell.get("outputs", [])
        outputs[:] = [output for output in outputs if output.get("name") != "stderr"]
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, {"output_files_dir": "notebook_files"}
    )
    pictures = resources.get("outputs") or {}
    head, _, rest = text.partition("\n\n")
    where = f"\n\n[This page as a notebook]({path.name}){{ download }}\n\n"
    return {"notebook.md": head + where + rest, **pictures}
