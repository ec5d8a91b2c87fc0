"""The files that a job wrote into a folder, so that it replaces these and no others."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmv3det.errors import InputError, printable
from lmv3det.files import content_hash, watching

LEDGER = ".lmv3det-files.jsonl"
"""Of a folder: a line a file that was written, with its content's hash; later lines hold too."""
_BEGIN = ""
"""In the place of a name: another job begins."""


class Ledger:
    """What was written into a folder by jobs, this one and those before it.

    A file that is there, and is none of these or has another content now, is somebody's own: it is
    not replaced. The ledger has a line before its file is there, so that a killed job knows its
    files too.

    Args:
        folder: that is written to.
        resume: go on with the last job: what it wrote counts as written by this one.

    Raises:
        InputError: the ledger's file is none.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        self.folder, self.path = folder, folder / LEDGER
        self.hashes: defaultdict[str, set[str]] = defaultdict(set)
        self.written: set[str] = set()
        if self.path.is_symlink():
            raise InputError(f"{self.path}: is a link; remove it")
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, TypeError):  # the last may be cut off
                name, sha256 = json.loads(line)
                if name == _BEGIN:
                    self.written.clear()
                else:
                    self.hashes[str(name)].add(str(sha256))
                    self.written.add(str(name))
        if not resume:
            self.written.clear()

    def is_ours(self, path: Path) -> bool:
        """Whether a file that is there was written by a job, and is as it was written."""
        name = self._name(path)
        if name is None or name not in self.hashes or path.is_symlink() or not path.is_file():
            return False
        # A second name (a hard link) of it is not replaced by what replaces this one.
        return content_hash(path) in self.hashes[name]

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse to write where somebody's files are.

        Raises:
            InputError: they are there, and are named.
        """
        found = [path for path in paths if os.path.lexists(path) and not self.is_ours(path)]
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            names = ", ".join(printable(str(path)) for path in found[:3])
            raise InputError(
                f"{names}{more}: there already, and not written here by lmv3det, or changed since; "
                "move it away, or give another --out"
            )

    def before(self, path: Path, temporary: Path) -> None:
        """Called before a file takes its place: check it, and note what is written."""
        name = self._name(path)
        if name is None:
            return
        self.check([path])
        sha256 = content_hash(temporary)
        with open(self.path, "ab") as stream:
            if not self.written:
                stream.write(b"\n" + json.dumps([_BEGIN, ""]).encode("ascii"))
            stream.write(b"\n" + json.dumps([name, sha256]).encode("ascii"))
        self.hashes[name].add(sha256)
        self.written.add(name)

    @contextlib.contextmanager
    def kept(self) -> Iterator[Ledger]:
        """Watch over what is written until the block ends."""
        with watching(self.before):
            yield self

    def prune(self) -> list[Path]:
        """Remove the files of earlier jobs that this one did not write again, as far as they are
        still as they were; those are given that are not, and stay."""
        changed = []
        for name in sorted(set(self.hashes) - self.written):
            path = self.folder / name
            if self.is_ours(path):
                path.unlink()
                del self.hashes[name]
            elif os.path.lexists(path):
                changed.append(path)
        return changed

    def _name(self, path: Path) -> str | None:
        """Relative to the folder; None outside of it."""
        try:
            return os.fspath(path.relative_to(self.folder))
        except ValueError:
            return None
