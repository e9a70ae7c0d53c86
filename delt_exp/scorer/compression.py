"""How far a document can be compressed by itself, the cheapest measure of repetition."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.errors import ConfigError
from delt_exp.mapping.judge import ALL_TOKENS, TextBatch
from delt_exp.mapping.map_documents import map_texts
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool

Codec = Literal["zlib", "zstd"]
MOST_LEVEL: dict[str, int] = {"zlib": 9, "zstd": 22}


@settings
class CompressionScorer:
    """Bits of the compressed document for each byte of its UTF-8, alone and not beside others.

    codec: `zlib` is raw DEFLATE, without header and checksum; `zstd` is one frame, which costs a short document about
    10 bytes. Neither has seen anything before the document, so that short ones compress badly. dense: which end is
    better; text of a repeated snippet is near 0, English prose of 2,000 characters near 4, random letters above 4.7.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    codec: Codec
    level: Count
    dense: bool

    def __post_init__(self) -> None:
        if self.level > MOST_LEVEL[self.codec]:
            raise ConfigError(
                f"scorer.level={self.level} is not a level of {self.codec}; give 1 to {MOST_LEVEL[self.codec]}"
            )

    @property
    def meaning(self) -> Meaning:
        preferred = "what repeats little is preferred" if self.dense else "what compresses well is preferred"
        explanation = f"Size of the document compressed alone by {self.codec}, for each of its bytes; {preferred}."
        return Meaning("compressed size", "bits/byte", "higher" if self.dense else "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        judge, shards = CompressionJudge(self.codec, self.level), pool.work_dir / "shards"
        return map_texts(pool.resources, pool.candidates.corpus, pool.rows, judge, shards, "compressing")[:, 0].astype(
            np.float32
        )


@dataclass(frozen=True)
class CompressionJudge:
    """Says the bits per byte of whole documents; see `CompressionScorer`."""

    width: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"
    context_tokens: ClassVar[int] = ALL_TOKENS
    codec: Codec
    level: int

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float64]]:
        """Make the codec; the CPU compresses, whatever the device."""
        compress = compressor(self.codec, self.level)

        def bits_per_byte(text: str) -> float:
            raw = text.encode()
            return 8 * len(compress(raw)) / len(raw)

        return lambda batch: np.array([bits_per_byte(text) for text in batch.texts])


def compressor(codec: Codec, level: int) -> Callable[[bytes], bytes]:
    """Return the function that compresses."""
    if codec == "zlib":
        return lambda raw: zlib.compress(raw, level, wbits=-zlib.MAX_WBITS)
    import pyarrow as pa

    zstd = pa.Codec("zstd", compression_level=level)
    return lambda raw: bytes(zstd.compress(raw, asbytes=True))
