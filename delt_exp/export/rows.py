"""One exported document: who it is, and what it says, under the names that trainers know.

`id`, `position` (in training order, from 0), `score`, `source`; then `text`; of pairs `prompt` and `text`; of
conversations `messages` of `role` and `content`; of preferences `rejected` too. A corpus of several kinds has the
columns of all, empty where a document has no such part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED
from delt_exp.dataset.base import ROLES, Part
from delt_exp.export.fields import Fields
from delt_exp.export.source import Ordered

TOKEN_COLUMNS = ("input_ids", "labels")


@dataclass(frozen=True, eq=False)
class Rows:
    """Documents as records.

    with_tokens: `input_ids` and `labels` too, as the model of the run reads a document; labels are -100 where nothing
    is to be predicted: at the begin token, in prompts and in turns of no assistant. fields: the original records, as
    JSON in a column `fields`.
    """

    source: Ordered
    with_tokens: bool
    fields: Fields | None = None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        roles = {ROLES[code] for code in np.unique(self.source.corpus.column("part_roles"))}
        content = ["prompt"] if "prompt" in roles else []
        content += ["text"] if "text" in roles else []
        content += ["messages"] if roles & {"system", "user", "assistant", "tool"} else []
        content += ["rejected"] if "rejected" in roles else []
        more = [*(TOKEN_COLUMNS if self.with_tokens else ()), *(["fields"] if self.fields is not None else [])]
        return ("id", "position", "score", "source", *content, *more)

    def read(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Yield the records of the positions [start, stop)."""
        source, names = self.source, self.source.corpus.meta["sources"]
        rows = source.rows[start:stop]
        hashes = np.asarray(source.corpus.ids)[rows]
        originals = self.fields.read(hashes) if self.fields is not None else None
        ids, codes = hashes.tolist(), source.corpus.source_codes[rows].tolist()
        scores, empty = source.scores[start:stop].tolist(), self._empty()
        facts = zip(ids, scores, codes, rows.tolist(), source.corpus.stored(rows), strict=True)
        for position, (name, score, code, row, parts) in enumerate(facts, start):
            record = {"id": f"{name:016x}", "position": position, "score": score, "source": names[code], **empty}
            _add_content(record, parts)
            if self.with_tokens:
                record["input_ids"], record["labels"] = (ids.tolist() for ids in self._tokens(row))
            if originals is not None:
                record["fields"] = next(originals).decode()
            yield record

    def _empty(self) -> dict[str, Any]:
        content = (name for name in self.columns[4:] if name not in (*TOKEN_COLUMNS, "fields"))
        return {name: [] if name == "messages" else "" for name in content}

    def _tokens(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        tokens = self.source.tokens
        ids = np.concatenate([[tokens.begin_id], tokens.document(row), [tokens.eos_id]]).astype(np.int32)
        predicted = np.concatenate([[False], tokens.predicted(row), [True]])
        return ids, np.where(predicted, ids, IGNORED).astype(np.int32)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """[K] about how many bytes each record takes."""
        sizes = np.asarray(self.source.corpus.column("bytes"))[self.source.rows].astype(np.int64) + 64
        if self.fields is not None:
            sizes = sizes + self.fields.sizes_of(np.asarray(self.source.corpus.ids)[self.source.rows])
        return sizes + 8 * self.source.tokens.lengths[self.source.rows] if self.with_tokens else sizes


def _add_content(record: dict[str, Any], parts: tuple[Part, ...]) -> None:
    """Put the parts of a document into its record."""
    if parts[-1].role == "rejected":
        record["rejected"], parts = parts[-1].text, parts[:-1]
    if parts[-1].role == "text":
        for role, text in parts:
            record[role] = text
    else:
        record["messages"] = [{"role": role, "content": text} for role, text in parts]
