"""What a model writes from nothing but the token that begins a document, as a stage that a killed call continues.

N texts, D texts of a batch, M new tokens of a text at most, V vocabulary.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.mapping.items import Advance, in_batches, judged, settings_of
from delt_exp.mapping.judge import Numbers
from delt_exp.mapping.map_documents import map_items
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import load_causal_lm, load_config
from delt_exp.resources import Resources
from delt_exp.tokenizer.base import Tokenizer

FORMAT = 1  # bump when the same model writes other texts
NONE = -1  # in place of a token, after the last one of a text
TOKENS, FIRST = "tokens.npy", "first_token.npy"


@dataclass(frozen=True)
class Samples:
    """tokens_NM: the texts, NONE after the end of each; first_V: P(first token) without any sampling."""

    tokens_NM: NDArray[np.int32]
    first_V: NDArray[np.float64]

    def ids(self) -> list[list[int]]:
        """Return the token ids of each text; an empty list where the model ended the document at once."""
        return [row[row != NONE].tolist() for row in self.tokens_NM]


@dataclass(frozen=True, eq=False)
class TextNumbers:
    """Which texts of a batch are to be written, by their numbers [D]."""

    items: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.items)

    def only(self, text: int) -> "TextNumbers":
        """Return one text alone."""
        return TextNumbers(self.items[text : text + 1])


@dataclass(frozen=True)
class SampleWriter:
    """[D, M] tokens that the model `name` writes after the begin token, drawn from its untruncated distribution.

    A text depends on `seed` and its number alone: more texts include the fewer.
    """

    dtype: ClassVar[str] = "float64"  # holds every token id exactly
    name: str
    tokenizer: Tokenizer
    max_new_tokens: int
    temperature: float
    seed: int

    @property
    def width(self) -> int:
        return self.max_new_tokens

    def open(self, device: str) -> Callable[[TextNumbers], NDArray[np.float64]]:
        from delt_exp.model.generate import generate_ids

        network = load_causal_lm(self.name).to(device)

        def judgement(batch: TextNumbers) -> NDArray[np.float64]:
            written = generate_ids(
                network, self.tokenizer, [[self.tokenizer.begin_id]] * len(batch),
                [(number,) for number in batch.items.tolist()],
                max_new_tokens=self.max_new_tokens, stop=(), temperature=self.temperature, seed=self.seed,
                batch_tokens=1 << 62,  # the map has cut the batches
            )  # fmt: skip
            tokens_DM = np.full((len(batch), self.max_new_tokens), NONE, np.float64)
            for row, ids in zip(tokens_DM, written, strict=True):
                row[: len(ids)] = ids
            return tokens_DM

        return judgement


@dataclass(frozen=True, eq=False)
class SampleItems:
    """The texts 0 .. num_texts - 1 of a writer. model: what identifies its weights."""

    UNIT: ClassVar[str] = "texts"
    judge: SampleWriter
    model: str
    num_texts: int

    @property
    def source(self) -> str:
        return digest(self.model, self.num_texts, settings_of(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        return np.full(self.num_texts, self.judge.max_new_tokens + 1, np.int64)

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.arange(items.start, items.stop, dtype=np.uint64)

    def read(self, judgement: Any, items: slice, batch_tokens: int, advance: Advance) -> Numbers:
        sizes = self.sizes()[items]

        def asked(chosen: NDArray[np.intp]) -> Numbers:
            batch = TextNumbers(items.start + chosen)
            return judged(judgement, batch, lambda b: f"text {int(b.items[0])}", self.judge.width)

        return in_batches(asked, sizes, int(sizes.max()), batch_tokens, self.judge, advance)


def check_positions(max_new_tokens: int, limit: int | None, key: str, model: str) -> None:
    """Raise ConfigError where a model of `limit` positions (None: any number) cannot write a text of this length."""
    if limit is not None and max_new_tokens >= limit:
        raise ConfigError(
            f"{key}={max_new_tokens} and the begin token need more than the {limit} positions of {model}; use at most "
            f"{limit - 1}"
        )


def samples_stage(resources: Resources, writer: SampleWriter, model: str, num_texts: int) -> Samples:
    """Return what the model writes; raises ConfigError where its positions do not suffice. model: names its weights."""
    limit = position_limit(load_config(writer.name))
    check_positions(writer.max_new_tokens, limit, "max_new_tokens", repr(writer.name))
    inputs = {
        "model": model, "tokenizer": writer.tokenizer.digest, "begin": writer.tokenizer.begin_id, "texts": num_texts,
        "max_new_tokens": writer.max_new_tokens, "temperature": writer.temperature, "seed": writer.seed,
        "format": FORMAT,
    }  # fmt: skip

    def build(folder: Path) -> None:
        numbers = map_items(resources, SampleItems(writer, model, num_texts), folder / "shards", "sampling texts", None)
        np.save(folder / TOKENS, numbers.astype(np.int32))
        np.save(folder / FIRST, _first_token(writer, resources.runtime.torch_device()))
        shutil.rmtree(folder / "shards")

    path = resources.store.get("samples", inputs, build, resumable=True).path
    return Samples(np.load(path / TOKENS), np.load(path / FIRST))


def _first_token(writer: SampleWriter, device: str) -> NDArray[np.float64]:
    """Return P(token | begin token), [V], at temperature 1."""
    import torch

    network = load_causal_lm(writer.name).to(device)
    with torch.inference_mode():
        logits_V = network(torch.tensor([[writer.tokenizer.begin_id]], device=device)).logits[0, -1]
        return np.asarray(logits_V.double().softmax(-1).cpu().numpy())
