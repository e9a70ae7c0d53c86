"""Which of two answers a judge likes more. P prompts, C comparisons of answers to them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus, CorpusSettings, write_corpus
from delt_exp.corpus.pairs import fitting
from delt_exp.corpus.tokens import Tokens, write_tokens
from delt_exp.dataset.base import Document
from delt_exp.files import digest
from delt_exp.mapping.pairs import map_pairs
from delt_exp.preference.reward import Reward
from delt_exp.resources import Resources

AS_THEY_ARE = CorpusSettings(max_document_chars=None, drop_duplicates=False)


class Comparison(NamedTuple):
    """Two answers [P] to each prompt; `metric` names the share of prompts at which the first wins."""

    metric: str
    first: Sequence[str]
    second: Sequence[str]


@dataclass(frozen=True)
class _Listed:
    """Documents in memory, to be written as a corpus."""

    VERSION: ClassVar[int] = 1
    items: Sequence[Document]

    def documents(self) -> Iterator[Document]:
        return iter(self.items)

    def fingerprint(self) -> str:
        return digest([asdict(document) for document in self.items])


def wins_of_first(
    name: str, documents: Sequence[Document], comparisons: Sequence[Comparison], reward: Reward, resources: Resources,
    folder: Path,
) -> NDArray[np.float64]:  # fmt: skip
    """Return [C, P] 1 where the first answer has the higher reward, 0 where the second has, 0.5 for a tie.

    NaN where an answer does not fit the context of the judge. An answer without text loses against any other, without
    being judged. folder: for what is needed on the way.
    """
    wins_CP = np.full((len(comparisons), len(documents)), np.nan)
    asked: list[tuple[int, int]] = []
    for c, comparison in enumerate(comparisons):
        for p, answers in enumerate(zip(comparison.first, comparison.second, strict=True)):
            has_text = [bool(answer.strip()) for answer in answers]
            if all(has_text) and answers[0] != answers[1]:
                asked.append((c, p))
            else:
                wins_CP[c, p] = 0.5 + (has_text[0] - has_text[1]) / 2
    pairs = [_answered(documents[p], comparisons[c].first[p], comparisons[c].second[p]) for c, p in asked]
    if pairs:
        wins_CP[tuple(np.transpose(asked))] = _judged(name, pairs, reward, resources, folder)
    return wins_CP


def _answered(document: Document, first: str, second: str) -> Document:
    """Return the document with the one answer in place of the chosen and the other in that of the rejected."""
    if document.turns:
        last = document.turns[-1]._replace(text=first)
        return replace(document, turns=(*document.turns[:-1], last), rejected=second)
    return replace(document, text=first, rejected=second)


def _judged(
    name: str, pairs: Sequence[Document], reward: Reward, resources: Resources, folder: Path
) -> NDArray[np.float64]:
    for part in ("corpus", "tokens"):
        (folder / part).mkdir(parents=True)
    write_corpus(_Listed(pairs), AS_THEY_ARE, folder / "corpus")
    write_tokens(Corpus(folder / "corpus"), reward.tokenizer, folder / "tokens")
    tokens = Tokens(folder / "tokens")
    fits = fitting(tokens, reward.judge.context_tokens)
    numbers = map_pairs(resources, tokens, np.flatnonzero(fits), reward.judge, folder / "shards", f"judging {name}")
    log_p, reference_log_p, _ = np.moveaxis(numbers.reshape(-1, 2, 3), -1, 0)
    rewards = log_p - reference_log_p
    wins = np.full(len(pairs), np.nan)
    wins[fits] = (np.sign(rewards[:, 0] - rewards[:, 1]) + 1) / 2
    return wins
