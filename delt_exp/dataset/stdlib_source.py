"""Cuts the Python files of a standard library into prose, code and docstring/function pairs."""

import ast
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path

from delt_exp.errors import DataError

MIN_CHARS, MAX_CHARS = 200, 2000  # of one document; what cannot be cut to this size is left out

_LEFT_OUT_FOLDERS = (
    *("test", "tests", "idlelib", "turtledemo", "encodings", "lib2to3", "ensurepip", "pydoc_data"),
    *("site-packages", "dist-packages", "lib-dynload"),
    "distutils",  # full of near copies of itself, and gone since Python 3.12
)
_GENERATED = ("keyword.py", "token.py", "stringprep.py", "html/entities.py")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path relative to `root`, file) of the library's public modules, sorted; raises DataError for none."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _LEFT_OUT_FOLDERS and name[0] != "_"]
        files = [name for name in names if name.endswith(".py") and (name[0] != "_" or name == "__init__.py")]
        found += [(Path(folder, name).relative_to(root).as_posix(), Path(folder, name)) for name in files]
    if not found:
        raise DataError(f"{root} holds no Python source files. Use a CPython that comes with its library's source.")
    return iter(sorted((name, file) for name, file in found if name not in _GENERATED))


class Module:
    """One parsed file: `prose()`, `code()` and `pairs()` are its documents."""

    def __init__(self, name: str, source: bytes) -> None:
        self.name = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._tree = ast.parse(source)
        self._definitions = list(_definitions(self._tree, ""))
        self._lines = _without_docstrings(source, [self._tree, *(node for _, node in self._definitions)])

    def prose(self) -> Iterator[str]:
        """Yield runs of paragraphs of the module's public documentation, each entry headed by its signature."""
        return _sized(_pack(chain.from_iterable(map(_entry_blocks, self._entries()))))

    def code(self) -> Iterator[str]:
        """Yield runs of top-level statements or methods, without docstrings, with their comments."""
        return _sized(_pack(self._blocks()))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield (docstring in quotes, function without it) for every documented function and method."""
        for _, node in self._definitions:
            documentation = ast.get_docstring(node)
            if not isinstance(node, _FUNCTIONS) or not documentation or len(node.body) == 1:
                continue
            prompt = f'"""{documentation}"""\n'
            text = self._source(_first_line(node), node.end_lineno or 0, node.col_offset)
            if MIN_CHARS <= len(prompt) + len(text) <= MAX_CHARS:
                yield prompt, text

    def _entries(self) -> Iterator[str]:
        yield f"{self.name}\n\n{ast.get_docstring(self._tree) or ''}"
        for qualified, node in self._definitions:
            documentation = ast.get_docstring(node)
            if documentation and not any(part.startswith("_") for part in qualified.split(".")):
                signature = f"({ast.unparse(node.args)})" if isinstance(node, _FUNCTIONS) else ""
                yield f"{qualified}{signature}\n{documentation}"

    def _blocks(self) -> Iterator[str]:
        starts = [1, *(self._start(node) for node in self._tree.body[1:]), len(self._lines) + 1]
        for node, (start, end) in zip(self._tree.body, pairwise(starts), strict=False):
            block = self._source(start, end - 1)
            if isinstance(node, ast.ClassDef) and len(block) > MAX_CHARS:
                cuts = [start, *(self._start(child) for child in node.body[1:]), end]
                yield from (self._source(first, last - 1) for first, last in pairwise(cuts))
            else:
                yield block

    def _start(self, node: ast.stmt) -> int:
        """Return the first line of a statement with its decorators and the comments directly above."""
        line = _first_line(node)
        while line > 1 and (self._lines[line - 2] or "").lstrip().startswith("#"):
            line -= 1
        return line

    def _source(self, first: int, last: int, indent: int = 0) -> str:
        kept = [line for line in self._lines[first - 1 : last] if line is not None]
        return "".join(line[indent:] if line[:indent].isspace() else line for line in kept)


def topic_prose(text: str) -> Iterator[str]:
    """Yield runs of paragraphs of one language-reference topic; a section never shares a document with the next."""
    for section in re.split(r"^(?=.+\n[*=~^-]{4,}$)", text, flags=re.MULTILINE):
        plain = re.sub(r"\n[*=~^-]{4,}$", "", section, count=1, flags=re.MULTILINE)
        yield from _sized(_pack(_paragraphs(plain)))


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, ()):
            if isinstance(child, _DEFINITIONS):
                yield prefix + child.name, child
                yield from _definitions(child, f"{prefix}{child.name}.")
            else:
                yield from _definitions(child, prefix)


def _without_docstrings(source: bytes, nodes: Iterable[ast.Module | Definition]) -> list[str | None]:
    """Return the source lines with their numbers kept: None where a docstring and the blank lines under it were."""
    lines: list[bytes | None] = [*source.replace(b"\r\n", b"\n").splitlines(keepends=True)]
    for node in nodes:
        if ast.get_docstring(node, clean=False) is None:
            continue
        docstring = node.body[0]
        first, last = docstring.lineno - 1, (docstring.end_lineno or 0) - 1
        before = (lines[first] or b"")[: docstring.col_offset]
        after = (lines[last] or b"")[docstring.end_col_offset :].lstrip(b" ;")
        lines[first : last + 1] = [None] * (last + 1 - first)
        if len(node.body) == 1 and not isinstance(node, ast.Module):
            lines[first] = before + b"pass" + (after or b"\n")
        elif before.strip() or after.strip():
            lines[first] = before + after
        while lines[first] is None and last + 1 < len(lines) and not (lines[last + 1] or b"").strip():
            last += 1
            lines[last] = None
    return [None if line is None else line.decode() for line in lines]


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, _DEFINITIONS) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _entry_blocks(entry: str) -> list[str]:
    return [f"{entry}\n\n"] if len(entry) <= MAX_CHARS else _paragraphs(entry)


def _paragraphs(text: str) -> list[str]:
    return [
        paragraph.strip("\n") + "\n\n" for paragraph in re.split(r"\n[ \t]*\n", inspect.cleandoc(text)) if paragraph
    ]


def _pack(blocks: Iterable[str]) -> Iterator[str]:
    """Join consecutive blocks to runs of at most MAX_CHARS; a longer block stays alone."""
    run = ""
    for block in blocks:
        if run and len(run) + len(block) > MAX_CHARS:
            yield run
            run = ""
        run += block
    yield run


def _sized(documents: Iterable[str]) -> Iterator[str]:
    stripped = (document.strip("\n") + "\n" for document in documents)
    return (document for document in stripped if MIN_CHARS <= len(document) <= MAX_CHARS)
