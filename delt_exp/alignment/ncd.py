"""Alignment by compression: how much one document helps to compress another.

Source: ZIP-FIT (arXiv 2410.18194); normalized compression distance: Cilibrasi and Vitanyi 2005.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import pair_mean
from delt_exp.config.fields import Count, Seed, Several, settings
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import drawn

# Allowed levels and the default of each codec.
LEVELS = {"zlib": (0, 9, 6), "gzip": (0, 9, 9), "lz4": (-10, 16, 0), "zstd": (1, 22, 3)}
Compress = Callable[[bytes], bytes]


@settings
class NcdAlignment:
    """Mean over document pairs of 1 - NCD(a, b), NCD(a, b) = (C(ab) - min(C(a), C(b))) / max(C(a), C(b)).

    C(x) is the compressed size of the first `document_bytes` bytes of a document, less that of nothing (`compat` keeps
    the container's header, as published). Every pair of at most `max_documents` random documents of each text counts,
    for a text against itself without a document with itself. About 0 for unrelated texts, 1 for equal ones. The
    number depends on lengths: compare texts whose documents are about equally long.
    """

    VERSION: ClassVar[int] = 3
    needs: ClassVar[frozenset[str]] = frozenset()
    COMPARED: ClassVar[tuple[str, ...]] = ()
    codec: Literal["zlib", "gzip", "lz4", "zstd"]
    level: int | None
    document_bytes: Count
    max_documents: Several
    compat: bool
    seed: Seed

    def __post_init__(self) -> None:
        low, high, _ = LEVELS[self.codec]
        if self.level is not None and not low <= self.level <= high:
            raise ConfigError(
                f"alignment.ncd.level={self.level} is not allowed; {self.codec} has levels {low} to {high}"
            )

    @property
    def meaning(self) -> Meaning:
        explanation = "How much a document of one text helps to compress one of the other."
        return Meaning(f"{self.codec} alignment", "1 - NCD", "higher", explanation)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {}

    def describer(self, resources: Resources) -> Callable[[Text, Path], Arrays]:
        size = self._size_function()

        def describe(text: Text, folder: Path) -> Arrays:
            texts = text.read(drawn(text.ids, self.max_documents, self.seed))
            documents = [document.encode()[: self.document_bytes] for document in texts]
            return {
                "bytes": np.frombuffer(b"".join(documents), np.uint8),
                "ends": np.cumsum([len(d) for d in documents]),
                "compressed": np.array([size(d) for d in documents]),
            }

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        size = self._size_function()
        left, right = _documents(train.arrays), _documents(evaluation.arrays)

        def row(document: bytes) -> list[int]:
            return [size(document + other) for other in right]

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the codecs work without the interpreter lock
            together = np.array(list(pool.map(row, left)), np.float64)
        sides = train.arrays["compressed"][:, None], evaluation.arrays["compressed"][None]
        distance = (together - np.minimum(*sides)) / np.maximum(*sides)
        return pair_mean(1 - distance, is_same=train.key == evaluation.key and len(left) > 1)

    def _size_function(self) -> Callable[[bytes], int]:
        compress = self._compressor()
        header = 0 if self.compat else len(compress(b""))
        return lambda document: len(compress(document)) - header

    def _compressor(self) -> Compress:
        """Return the codec; raises DependencyError where its package is missing."""
        level = LEVELS[self.codec][2] if self.level is None else self.level
        if self.codec == "zlib":
            return lambda document: zlib.compress(document, level)
        if self.codec == "gzip":
            return lambda document: gzip.compress(document, level, mtime=0)
        package = {"lz4": "lz4.frame", "zstd": "zstandard"}[self.codec]
        try:
            module = import_module(package)
        except ImportError as error:
            raise DependencyError(
                f"alignment.ncd.codec={self.codec} needs the package {package.split('.')[0]!r}: "
                'pip install "delt-exp[codecs]", or use alignment.ncd.codec=zlib'
            ) from error
        if self.codec == "lz4":
            return lambda document: module.compress(document, compression_level=level)
        return lambda document: module.compress(document, level)


def _documents(arrays: Arrays) -> list[bytes]:
    ends = arrays["ends"].tolist()
    whole = arrays["bytes"].tobytes()
    return [whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
