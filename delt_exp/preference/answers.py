"""What models answer to the prompts of preferences, as a stage. P prompts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.files import digest, read_json, write_json
from delt_exp.resources import Resources
from delt_exp.tokenizer.base import Tokenizer

FORMAT = 1  # bump when the same inputs give other answers

Network = Callable[[], Any]
"""Loads a network to write with, in evaluation mode, to the device of the runtime."""


@dataclass(frozen=True)
class Writing:
    """How answers are written: at most `max_new_tokens`, in a context with the end of the prompt, drawn with `seed`."""

    context_tokens: int
    max_new_tokens: int
    temperature: float
    seed: int


def answers_stage(
    resources: Resources, key: Any, network: Network, tokenizer: Tokenizer, tokens: Tokens, rows: NDArray[np.intp],
    writing: Writing,
) -> list[str]:  # fmt: skip
    """Return [P] what a network writes in place of the last answer of the documents `rows`. key: what identifies it."""

    def build(folder: Path) -> None:
        from delt_exp.model.generate import generate

        prompts = _prompts(tokens, rows, writing.context_tokens - writing.max_new_tokens)
        texts = generate(
            network(), tokenizer, prompts, max_new_tokens=writing.max_new_tokens, temperature=writing.temperature,
            seed=writing.seed, batch_tokens=resources.runtime.tokens_per_pass(),
        )  # fmt: skip
        write_json(folder / "answers.json", texts)

    inputs = {"model": key, "documents": tokens.digest, "rows": digest(rows), **asdict(writing), "format": FORMAT}
    found: list[str] = read_json(resources.store.get("answers", inputs, build).path / "answers.json")
    return found


def _prompts(tokens: Tokens, rows: NDArray[np.intp], room: int) -> list[list[int]]:
    """Return [P] all before the last answer, cut at its beginning to `room` tokens, begin token included."""
    ends = tokens.answer_starts[rows]
    return [
        [tokens.begin_id, *tokens.document(int(row), max(0, int(end) - room + 1), int(end)).tolist()]
        for row, end in zip(rows, ends, strict=True)
    ]
