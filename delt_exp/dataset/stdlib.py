"""The embedded corpora: prose, code and docstring/function pairs of the running Python's standard library."""

import hashlib
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal, get_args

from delt_exp.config.fields import NonNegativeInt, settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.mixture import size_bytes
from delt_exp.dataset.near_duplicates import near_duplicates
from delt_exp.dataset.stdlib_source import Module, public_files, topic_prose
from delt_exp.errors import DataError
from delt_exp.files import digest

Split = Literal["train", "validation", "target"]
SPLITS = get_args(Split)
_TOPICS = "pydoc_data/topics.py"


@settings
class Stdlib:
    """Documents of 200 to 2000 characters from the Python that runs this program; nothing is downloaded.

    Each source file, and each topic of the language reference, belongs to one `split` in all three corpora: train
    (80 %), validation or target (10 % each). No text occurs twice, and none is a near-duplicate of one in another split
    (see `near_duplicates.py`): it is left out of train, or of target where the other is in validation. The order is a
    fixed shuffle, so that a prefix is a fair sample; the stream ends before it exceeds `max_bytes` of UTF-8 (None: no
    limit). The documents depend on the Python version.
    """

    VERSION: ClassVar[int] = 2
    SOURCE: ClassVar[str]

    split: Split
    max_bytes: NonNegativeInt | None

    def documents(self) -> Iterator[Document]:
        """Yield the documents of the split; raises DataError when this Python came without its library's source."""
        documents = _documents(self.SOURCE, self.split)
        if self.max_bytes is None:
            return iter(documents)
        return _prefix(documents, self.max_bytes)

    def fingerprint(self) -> str:
        """Return a hash of the names and contents of all files that the three corpora are made of."""
        return _digest()


@settings
class StdlibProse(Stdlib):
    """Language-reference topics, and the documentation of modules, classes and functions with their signatures."""

    SOURCE = "stdlib_prose"


@settings
class StdlibCode(Stdlib):
    """Source without docstrings but with comments, cut between top-level statements or methods."""

    SOURCE = "stdlib_code"


@settings
class StdlibPairs(Stdlib):
    """Documented functions: the prompt is the docstring in triple quotes, the text is the function without it."""

    SOURCE = "stdlib_pairs"


def split_of(name: str) -> str:
    """Return the split of a file (by its path inside the library) or topic: 80 % train, 10 % of each other one."""
    bucket = hashlib.sha256(name.encode()).digest()[0] * 10 // 256
    return SPLITS[bucket] if bucket in (1, 2) else SPLITS[0]


def _prefix(documents: list[Document], max_bytes: int) -> Iterator[Document]:
    total_bytes = 0
    for document in documents:
        total_bytes += size_bytes(document)
        if total_bytes > max_bytes:
            return
        yield document


@cache
def _documents(source: str, split: str) -> list[Document]:
    """Return the documents of one corpus and split in the order of their hashes."""
    seen: set[tuple[str, str]] = set()
    kept = []
    near = _near_others(source, split)
    for name, prompt, text in _extract()[source]:
        if (prompt, text) not in seen and split_of(name) == split and prompt + text not in near:
            kept.append(Document(text, prompt, source))
        seen.add((prompt, text))
    return sorted(kept, key=lambda document: hashlib.sha256((document.prompt + document.text).encode()).digest())


@cache
def _near_others(source: str, split: str) -> frozenset[str]:
    """Return the documents of a split that are near-duplicates of one in a split that goes before it."""
    before = {"validation": (), "target": ("validation",), "train": ("validation", "target")}[split]
    others = [prompt + text for rows in _extract().values() for name, prompt, text in rows if split_of(name) in before]
    own = [prompt + text for name, prompt, text in _extract()[source] if split_of(name) == split]
    _, (is_near,) = near_duplicates(others, [own])
    return frozenset(text for text, near in zip(own, is_near, strict=True) if near)


@cache
def _digest() -> str:
    """Return the hash of all files, which six datasets of a default run ask for."""
    return digest([(name, hashlib.sha256(content).hexdigest()) for name, content in _read()])


def _read() -> list[tuple[str, bytes]]:
    """Return (path inside the library, content) of all files used; the topics come last."""
    root = Path(sysconfig.get_path("stdlib"))
    try:
        return [(name, file.read_bytes()) for name, file in [*public_files(root), (_TOPICS, root / _TOPICS)]]
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}. Use a complete CPython.") from error


@cache
def _extract() -> dict[str, list[tuple[str, str, str]]]:
    """Return (file or topic, prompt, text) of every document of the three corpora; parses each file once."""
    from pydoc_data.topics import topics

    found: dict[str, list[tuple[str, str, str]]] = {cls.SOURCE: [] for cls in (StdlibProse, StdlibCode, StdlibPairs)}
    for topic in sorted(topics):
        found["stdlib_prose"] += [(topic, "", text) for text in topic_prose(topics[topic])]
    for name, content in _read()[:-1]:
        module = Module(name, content)
        found["stdlib_prose"] += [(name, "", text) for text in module.prose()]
        found["stdlib_code"] += [(name, "", text) for text in module.code()]
        found["stdlib_pairs"] += [(name, *pair) for pair in module.pairs()]
    return found
