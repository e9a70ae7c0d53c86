"""A model writes answers after each of many prompts, spread and resumed as any map over documents.

D prompts of a batch, N prompts, A answers after each, M new tokens of an answer at most.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.identity import identity
from delt_exp.files import digest
from delt_exp.mapping.items import Advance, TokenItems, document_name, in_batches, judged
from delt_exp.mapping.judge import Numbers
from delt_exp.mapping.map_documents import map_items
from delt_exp.model.recipe import Network
from delt_exp.resources import Resources
from delt_exp.tokenizer.base import Tokenizer

NONE = -1  # in place of a token, after the last one of an answer
FILE = "tokens.npy"
SETTINGS = ("network_seed", "num_answers", "max_new_tokens", "temperature", "seed", "context_tokens")  # that decide


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """Prompts [D] as token ids, the begin token first; keys [D]: what the draws after each depend on."""

    prompts: list[list[int]]
    keys: list[int]
    items: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.items)

    def only(self, prompt: int) -> "PromptBatch":
        """Return one prompt alone."""
        part = slice(prompt, prompt + 1)
        return PromptBatch(self.prompts[part], self.keys[part], self.items[part])


@dataclass(frozen=True)
class AnswerWriter:
    """[D, A M] tokens of A answers after each prompt, written by a network; NONE after the end of an answer.

    network_seed: what it is made with; 0 for one that is read. temperature: 0 takes the most probable tokens; above,
    they are drawn from the untruncated distribution. stop: texts that end an answer and do not belong to it. seed: of
    the draws, from `seed_for` with their purpose. context_tokens: of prompt and answer.
    """

    dtype: ClassVar[str] = "float64"  # holds every token id exactly
    network: Network
    network_seed: int
    tokenizer: Tokenizer
    num_answers: int
    max_new_tokens: int
    temperature: float
    stop: tuple[str, ...]
    seed: int
    context_tokens: int

    @property
    def width(self) -> int:
        return self.num_answers * self.max_new_tokens

    @property
    def prompt_tokens(self) -> int:
        """How many tokens of a prompt are read, its last ones."""
        return self.context_tokens - self.max_new_tokens

    def open(self, device: str) -> Callable[[PromptBatch], NDArray[Any]]:
        from delt_exp.model.generate import generate_ids

        network = self.network.make(self.tokenizer, self.network_seed).eval().to(device)

        def judgement(batch: PromptBatch) -> NDArray[Any]:
            written = generate_ids(
                network, self.tokenizer, [prompt for prompt in batch.prompts for _ in range(self.num_answers)],
                [(key, answer) for key in batch.keys for answer in range(self.num_answers)],
                max_new_tokens=self.max_new_tokens, stop=self.stop, temperature=self.temperature, seed=self.seed,
                batch_tokens=1 << 62,  # the map has cut the batches
            )  # fmt: skip
            tokens = np.full((self.num_answers * len(batch), self.max_new_tokens), NONE, np.float64)
            for row, ids in zip(tokens, written, strict=True):
                row[: len(ids)] = ids
            return tokens.reshape(len(batch), self.width)

        return judgement


@dataclass(frozen=True, eq=False)
class PromptItems(TokenItems):
    """The prompts of documents: what is before `starts`. keys, starts: of all documents of the tokens."""

    UNIT: ClassVar[str] = "prompts"
    judge: AnswerWriter
    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @property
    def source(self) -> str:
        return digest(super().source, self.keys[self.rows], self.starts[self.rows])

    def sizes(self) -> NDArray[np.int64]:
        starts = np.minimum(self.starts[self.rows] + 1, self.judge.prompt_tokens)
        return self.judge.num_answers * (starts + self.judge.max_new_tokens)

    def read(
        self, judgement: Callable[[PromptBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        rows, sizes = self.rows[items], self.sizes()[items]

        def place(batch: PromptBatch) -> str:
            return document_name(int(rows[batch.items[0]]), self.tokens.ids)

        def asked(chosen: NDArray[np.intp]) -> Numbers:
            prompts = [self._prompt(int(row)) for row in rows[chosen]]
            batch = PromptBatch(prompts, self.keys[rows[chosen]].tolist(), chosen)
            return judged(judgement, batch, place, self.judge.width)

        longest = self.judge.num_answers * self.judge.context_tokens
        return in_batches(asked, sizes, longest, batch_tokens, self.judge, advance)

    def _prompt(self, row: int) -> list[int]:
        """Return the begin token and the last tokens of a prompt."""
        stop = int(self.starts[row])
        start = max(0, stop + 1 - self.judge.prompt_tokens)
        return [self.tokens.begin_id, *self.tokens.document(row, start, stop).tolist()]


def written_stage(resources: Resources, items: PromptItems) -> NDArray[np.int32]:
    """Return [N, A, M]: the tokens of the answers, NONE after the end of each; a killed call continues."""
    writer = items.judge
    inputs = {
        "network": identity(writer.network),
        "tokenizer": writer.tokenizer.digest,
        "tokens": items.tokens.digest,
        "rows": digest(*(np.ascontiguousarray(one) for one in (items.rows, items.keys[items.rows]))),
        "starts": digest(np.ascontiguousarray(items.starts[items.rows])),
        **{name: getattr(writer, name) for name in SETTINGS},
        "stop": list(writer.stop),
        "format": 2,
    }

    def build(folder: Path) -> None:
        numbers = map_items(resources, items, folder / "shards", "sampling answers", None)
        np.save(folder / FILE, numbers.reshape(len(items.rows), writer.num_answers, -1).astype(np.int32))
        shutil.rmtree(folder / "shards", ignore_errors=True)

    use = resources.store.get("answers", inputs, build, resumable=True)
    return np.asarray(np.load(use.path / FILE))


def answers_stage(resources: Resources, items: PromptItems) -> list[list[str]]:
    """Return the texts [N][A] of the answers of `written_stage`, each up to a text that stops it."""
    writer = items.judge

    def text(ids_M: NDArray[np.int32]) -> str:
        return writer.tokenizer.text_before(ids_M[ids_M != NONE].tolist(), writer.stop)

    return [[text(ids_M) for ids_M in of_prompt] for of_prompt in written_stage(resources, items)]
