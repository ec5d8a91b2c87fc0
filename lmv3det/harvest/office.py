"""Office documents and web pages as tagged PDF, by LibreOffice.

A document can name pictures of other hosts and hold macros. LibreOffice runs with a profile of its
own that keeps it from both: macros off, links to outside blocked, and a proxy that does not exist.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lmv3det.errors import InputError
from lmv3det.files import replacing

_WRITER, _WEB, _IMPRESS = "writer_pdf_Export", "writer_web_pdf_Export", "impress_pdf_Export"
FILTERS = {
    ".docx": _WRITER,
    ".doc": _WRITER,
    ".odt": _WRITER,
    ".rtf": _WRITER,
    ".html": _WEB,
    ".htm": _WEB,
    ".pptx": _IMPRESS,
    ".ppt": _IMPRESS,
    ".odp": _IMPRESS,
}
"""Suffix → LibreOffice's filter that writes it as PDF."""
SECONDS = 300.0
"""For one document; after that LibreOffice is ended."""
MAX_BYTES = 200 << 20
"""Of a document."""
_OPTIONS = '{"UseTaggedPDF":{"type":"boolean","value":"true"}}'
_SETTINGS = {
    ("org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution"): "true",
    ("org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel"): "3",
    ("org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks"): "true",
    ("org.openoffice.Office.Common/Security/Scripting", "DisableActiveContent"): "true",
    ("org.openoffice.Office.Writer/Content/Update", "Link"): "0",
    ("org.openoffice.Inet/Settings", "ooInetProxyType"): "1",
    ("org.openoffice.Inet/Settings", "ooInetHTTPProxyName"): "127.0.0.1",
    ("org.openoffice.Inet/Settings", "ooInetHTTPProxyPort"): "9",
    ("org.openoffice.Inet/Settings", "ooInetHTTPSProxyName"): "127.0.0.1",
    ("org.openoffice.Inet/Settings", "ooInetHTTPSProxyPort"): "9",
    ("org.openoffice.Inet/Settings", "ooInetFTPProxyName"): "127.0.0.1",
    ("org.openoffice.Inet/Settings", "ooInetFTPProxyPort"): "9",
    ("org.openoffice.Inet/Settings", "ooInetNoProxy"): "",
}


def is_office(path: str | os.PathLike) -> bool:
    """Whether the file's name says that LibreOffice has to convert it."""
    return Path(path).suffix.lower() in FILTERS


def find_office() -> str | None:
    """The program of LibreOffice, or None where there is none."""
    return shutil.which("soffice") or shutil.which("libreoffice")


class Office:
    """Converts documents to tagged PDF.

    Args:
        program: of LibreOffice.
        profile: folder for its settings, which is made.
        seconds: for a document.
    """

    def __init__(self, program: str, profile: Path, seconds: float = SECONDS) -> None:
        self.program, self.profile, self.seconds = program, profile, seconds
        user = profile / "user"
        user.mkdir(parents=True, exist_ok=True)
        (user / "registrymodifications.xcu").write_text(_registry(), encoding="utf-8")

    def convert(self, source: Path, target: Path) -> None:
        """Write a document as tagged PDF, whole or not at all.

        Raises:
            InputError: it is too large, cannot be converted, or takes too long.
        """
        size = source.stat().st_size
        if size == 0:
            raise InputError(f"{source}: the file is empty")
        if size > MAX_BYTES:
            raise InputError(f"{source}: {size:,} bytes, more than the {MAX_BYTES:,} allowed")
        suffix = source.suffix.lower()
        with tempfile.TemporaryDirectory(prefix="lmv3det-office-") as scratch:
            # A name of ours: LibreOffice takes names as addresses, and cuts them at their last dot.
            # Web pages stay where they are, for the pictures beside them.
            given = source.resolve()
            if suffix not in (".html", ".htm"):
                given = Path(scratch) / f"document{suffix}"
                shutil.copyfile(source, given)
            out = Path(scratch) / "out"
            command = [
                self.program,
                f"-env:UserInstallation={self.profile.resolve().as_uri()}",
                "--headless",
                "--norestore",
                "--nolockcheck",
                "--convert-to",
                f"pdf:{FILTERS[suffix]}:{_OPTIONS}",
                "--outdir",
                str(out),
                given.as_uri(),
            ]
            said = self._run(command, source, Path(scratch))
            found = list(out.glob("*.pdf")) if out.is_dir() else []
            if len(found) != 1 or found[0].stat().st_size == 0:
                why = " ".join(said.split())[-200:] or "it wrote nothing"
                raise InputError(f"{source}: LibreOffice cannot convert it ({why})")
            with replacing(target) as temporary:
                shutil.copyfile(found[0], temporary)

    def _run(self, command: list[str], source: Path, scratch: Path) -> str:
        nowhere = dict.fromkeys(("http_proxy", "https_proxy", "ftp_proxy"), "http://127.0.0.1:9")
        environment = {**os.environ, **nowhere, "no_proxy": "", "TMPDIR": str(scratch)}
        try:
            # A session of its own, as the program starts others that would live on.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"{self.program}: cannot be started ({error.strerror})") from None
        try:
            said, _ = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            raise InputError(
                f"{source}: LibreOffice took more than {self.seconds:g} s to convert it"
            ) from None
        finally:
            with _ignoring_gone():
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return said.decode("utf-8", errors="replace")


@contextlib.contextmanager
def _ignoring_gone() -> Iterator[None]:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        yield


def _registry() -> str:
    items = "".join(
        f'<item oor:path="/{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value>'
        "</prop></item>\n"
        for (path, name), value in _SETTINGS.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<oor:items xmlns:oor="http://openoffice.org/2001/registry" '
        'xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n{items}</oor:items>\n'
    )
