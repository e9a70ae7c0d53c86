"""Weighted mixtures of datasets."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from delt_exp.config.fields import NonNegativeFloat, NonNegativeInt, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.errors import ConfigError
from delt_exp.files import digest


@settings
class Mixture:
    """Interleaves `parts` so that every prefix of the stream has the proportions of `weights`.

    The next document always comes from the part that is furthest behind, the one with the smallest amount/weight (the
    first of several). So with sizes s, amounts a and weights w, a_i/w_i <= a_j/w_j + s_i/w_i at any point while both
    parts last, s_i being the size of the last document of part i. Amounts and sizes are counted in `unit`: documents,
    or bytes of UTF-8 (prompt and text).

    `weights` None stands for equal ones; a part of weight 0 is not used. The stream ends where a part is due and
    exhausted (`stop` first) or when all are (all), and before it exceeds `max_documents` or `max_bytes` (None: no
    limit). Documents carry the label of their part as `source`.
    """

    VERSION: ClassVar[int] = 1

    parts: Mapping[str, Dataset]
    weights: Mapping[str, NonNegativeFloat] | None
    unit: Literal["documents", "bytes"]
    stop: Literal["first", "all"]
    max_documents: NonNegativeInt | None
    max_bytes: NonNegativeInt | None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("parts is empty: nothing to mix. Add datasets under parts, each with a label of its own.")
        self._check_weights()

    def documents(self) -> Iterator[Document]:
        """Yield the interleaved documents; raises what the parts raise."""
        count = total_bytes = 0
        for document in self._interleave():
            count, total_bytes = count + (not isinstance(document, EmptyFile)), total_bytes + size_bytes(document)
            if _exceeds(count, self.max_documents) or _exceeds(total_bytes, self.max_bytes):
                return
            yield document

    def fingerprint(self) -> str:
        """Return a hash of the labels and fingerprints of all parts; raises what the parts raise."""
        return digest([(label, part.fingerprint()) for label, part in self.parts.items()])

    def _interleave(self) -> Iterator[Document]:
        weights = self._used_weights()
        streams = {label: self.parts[label].documents() for label in weights}
        amounts = dict.fromkeys(streams, 0)
        while streams:
            label = min(streams, key=lambda part: amounts[part] / weights[part])
            document = next(streams[label], None)
            if document is None:
                if self.stop == "first":
                    return
                del streams[label]
                continue
            if not isinstance(document, EmptyFile):
                amounts[label] += size_bytes(document) if self.unit == "bytes" else 1
            yield replace(document, source=label)

    def _used_weights(self) -> dict[str, float]:
        given = dict.fromkeys(self.parts, 1.0) if self.weights is None else self.weights
        return {label: given[label] for label in self.parts if given[label] > 0}

    def _check_weights(self) -> None:
        if self.weights is None:
            return
        if set(self.weights) != set(self.parts):
            raise ConfigError(
                f"weights names {sorted(self.weights)}, parts names {sorted(self.parts)}. Give each part one weight, "
                "or weights=null for equal ones."
            )
        if not any(self.weights.values()):
            raise ConfigError("weights are all 0: nothing to mix. Give at least one part a positive weight.")


def size_bytes(document: Document) -> int:
    """Return the UTF-8 bytes of all parts of a document."""
    return sum(len(part) if part.isascii() else len(part.encode()) for part in (part.text for part in document.parts))


def _exceeds(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit
