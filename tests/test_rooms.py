"""The rooms of the package: imports go down only, and no modules import one another in a circle.

Read from the source by `ast`, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "lmv3det"

# Each layer may import the layers before it, and a room its own modules.
LAYERS = (
    ("structures", "errors", "files", "ledger", "device", "distributed", "classes", "turn"),
    ("config",),
    ("text",),
    ("data", "model"),
    ("visualization", "ocr"),
    ("checkpoint", "documents"),
    ("convert", "inference", "harvest"),
    ("evaluation", "serve"),
    ("engine", "batch", "doctor"),
    ("ablation",),
    ("cli",),
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
# The page generators are a package of their own: what makes pages by one program imports what
# all share, and of the detector the first layer alone. The detector's one way in is a command.
GENERATORS = ("typst", "latex", "html")
DOOR_TO_PAGES = "lmv3det.cli.synthetic"
# Known wrong imports, each to be removed here when the room is put right.
EXCEPTIONS: set[str] = set()
# The package's own `__init__` and `__main__` are its front door: they name what they offer.
DOORS = {PACKAGE, f"{PACKAGE}.__main__"}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(root: Path, package: str = PACKAGE) -> dict[str, str]:
    """Dotted name of each module of the package → its source."""
    return {
        module_name(path, root): path.read_text(encoding="utf-8")
        for path in sorted((root / package).rglob("*.py"))
    }


def imports(
    name: str, source: str, modules: Mapping[str, str], package: str = PACKAGE
) -> Iterator[tuple[str, int]]:
    """The package's modules that a module imports, each with the line.

    Absolute and relative imports at any depth, and strings handed to `import_module` or
    standing in a table of modules (`"lmv3det.cli.train"`).
    """
    children = {other.rpartition(".")[0] for other in modules}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if name in children else name.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            below = [f"{base}.{alias.name}" for alias in node.names]
            found = [module if module in modules else base for module in below]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = [node.value.partition(":")[0]]
            if "." not in found[0] or found[0] not in modules:
                continue
        else:
            continue
        for module in dict.fromkeys(found):
            if module.split(".")[0] == package and module != name:
                yield module, node.lineno


def room(module: str) -> str:
    return module.split(".")[1]


def upward(modules: Mapping[str, str]) -> list[str]:
    """Imports of a room that is not below the importing one.

    The files of the first layer may import one another: they are no rooms, but modules.
    """
    wrong = []
    for name, source in modules.items():
        if name in DOORS:
            continue
        for target in dict.fromkeys(target for target, _ in imports(name, source, modules)):
            if target in DOORS or room(target) == room(name):
                continue
            own, other = LAYER[room(name)], LAYER[room(target)]
            if other > own or other == own > 0:
                wrong.append(f"{name} -> {target}")
    return wrong


def import_graph(modules: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → the modules that it imports; the doors are left out."""
    return {
        name: {target for target, _ in imports(name, source, modules)} - DOORS
        for name, source in modules.items()
        if name not in DOORS
    }


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return read_modules(ROOT)


@pytest.fixture(scope="module")
def page_modules() -> dict[str, str]:
    return read_modules(ROOT, "pagegen")


def test_each_room_has_a_layer_and_says_what_it_is_for(modules):
    rooms = {room(name) for name in modules if name not in DOORS}
    assert rooms == set(LAYER)
    for name, source in modules.items():
        if name not in DOORS and name.count(".") == 1:
            text = ast.get_docstring(ast.parse(source))
            assert text, f"{name} has no docstring"


def test_imports_go_down(modules):
    assert [wrong for wrong in upward(modules) if wrong not in EXCEPTIONS] == []


def test_no_circle_of_modules(modules, page_modules):
    assert circles(import_graph(modules)) == []
    assert circles(import_graph(page_modules)) == []


def misplaced(page_modules: Mapping[str, str]) -> list[str]:
    """Imports in `pagegen` of the detector beyond its first layer, or between generators."""
    wrong = []
    for name, source in page_modules.items():
        own = name.split(".")[1] if name.count(".") else ""
        for target, _ in imports(name, source, page_modules, "pagegen"):
            part = target.split(".")[1] if target.count(".") else ""
            if part in GENERATORS and part != own:
                wrong.append(f"{name} -> {target}")
        for target, _ in imports(name, source, page_modules, PACKAGE):
            if target == PACKAGE or target.split(".")[1] not in LAYERS[0]:
                wrong.append(f"{name} -> {target}")
    return wrong


def test_the_generators_of_pages_stand_alone(modules, page_modules):
    assert misplaced(page_modules) == []
    users = {name for name, source in modules.items() if any(imports(name, source, {}, "pagegen"))}
    assert users == {DOOR_TO_PAGES}


def test_the_model_takes_numbers_not_a_config(modules):
    readers = {
        name
        for name, source in modules.items()
        for target, _ in imports(name, source, modules)
        if name.startswith("lmv3det.model.") and room(target) == "config"
    }
    assert readers == {"lmv3det.model.detector"}  # which builds it


# The checks themselves, on modules that break the rules.


def test_every_kind_of_import_is_seen():
    source = """
import lmv3det.files
from lmv3det.engine import trainer
from lmv3det.data.coco import CocoDataset
from . import other
from ..errors import InputError
if TYPE_CHECKING:
    from lmv3det.cli.app import main
def work():
    import lmv3det.ablation.jobs
    import_module("lmv3det.convert.fit")
"""
    names = (
        "files errors engine engine.trainer data data.coco text text.this text.other cli cli.app "
        "ablation ablation.jobs convert convert.fit"
    )
    modules = {f"lmv3det.{name}": "" for name in names.split()}
    found = {target for target, _ in imports("lmv3det.text.this", source, modules)}
    wanted = "files engine.trainer data.coco text.other errors cli.app ablation.jobs convert.fit"
    assert found == {f"lmv3det.{name}" for name in wanted.split()}


@pytest.mark.parametrize(
    "source", ["import lmv3det.cli.app", "def f():\n    from lmv3det.model import rpn"]
)
def test_an_upward_and_a_sideways_import_are_found(source):
    modules = {"lmv3det.data.coco": source, "lmv3det.cli.app": "", "lmv3det.model.rpn": ""}
    assert len(upward(modules)) == 1
    assert upward({**modules, "lmv3det.data.coco": "import lmv3det.structures"}) == []


@pytest.mark.parametrize(
    "source",
    [
        "from lmv3det.text import ocr_json",
        "import lmv3det",
        "def f():\n    from pagegen.latex import words",
        "from ..latex.words import colour",
    ],
)
def test_a_misplaced_import_of_a_generator_is_found(source):
    names = ("pagegen.typst", "pagegen.latex.words", "pagegen.marks")
    assert misplaced({**dict.fromkeys(names, ""), "pagegen.typst.page": source})
    fine = "from lmv3det.files import atomic_write\nfrom pagegen.marks import colour"
    assert misplaced({**dict.fromkeys(names, ""), "pagegen.typst.page": fine}) == []


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
    assert circles(graph) == [["a", "b", "c"]]
    assert circles({**graph, "c": {"d"}}) == []
