"""Whether the answers mean anything: documents against spoiled copies of them, and how much of the answer is yes or no.

N documents, C copies.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.writing import CorpusSettings, write_corpus
from delt_exp.dataset.in_memory import InMemory
from delt_exp.dataset.spoiling import boilerplate, repeated, shuffled, snippet_of, swapped
from delt_exp.rows.draws import generator
from delt_exp.scorer.ask_llm.prompt import NO, YES, Prompt
from delt_exp.statistics.diagnostics import auc
from delt_exp.store.evidence import Evidence, Figure, Series
from delt_exp.tokenizer.base import Tokenizer

LEAST_AUC = 0.6
LEAST_MASS = 1e-3
ORIGINAL = "original"
KINDS = ("shuffled", "swapped", "repeated", "boilerplate")
WORDS = {
    "shuffled": "words shuffled", "swapped": "neighbouring characters swapped", "repeated": "one snippet repeated",
    "boilerplate": "boilerplate of a web site",
}  # fmt: skip


def check_corpus(texts: Sequence[str], seed: int, folder: Path) -> Corpus:
    """Return the texts [N] and after them a spoiled copy of each, the kinds in turn, as a corpus in `folder`."""
    draws = generator(seed, "spoiled copies of a self-check")
    copies = [spoiled(text, KINDS[i % len(KINDS)], draws) for i, text in enumerate(texts)]
    folder.mkdir(exist_ok=True)
    write_corpus(InMemory((*texts, *copies)), CorpusSettings(None, drop_duplicates=False), folder)
    return Corpus(folder)


def spoiled(text: str, kind: str, draws: np.random.Generator) -> str:
    """Return a text spoiled in one of the KINDS."""
    if kind == "repeated":
        return repeated(text, snippet_of(text[: max(len(text) // 3, 1)]))
    return {"shuffled": shuffled, "swapped": swapped, "boilerplate": boilerplate}[kind](text, draws)


def show_check(evidence: Evidence, scores_2N: NDArray[np.floating], name: str) -> float:
    """Leave how well scores [2 N] of texts and copies tell them apart, and return the AUC; warn below LEAST_AUC."""
    good_N, copies_N = np.split(scores_2N.astype(np.float64), 2)
    kind_N = np.array([KINDS[i % len(KINDS)] for i in range(len(good_N))])
    found = {kind: _auc(good_N, copies_N[kind_N == kind]) for kind in KINDS if (kind_N == kind).any()}
    whole = _auc(good_N, copies_N)
    counts = {kind: int((kind_N == kind).sum()) for kind in found}
    shown: dict[str, float | str | None] = {f"AUC, all {len(copies_N)} copies": whole}
    shown |= {f"AUC, {WORDS[kind]}, {counts[kind]} copies": value for kind, value in found.items()}
    caption = "P(a document scores higher than a spoiled copy of one); 0.5 is chance."
    evidence.numbers("self_check", shown, f"{len(good_N)} documents against spoiled copies of them. {caption}")
    texts = {"score": scores_2N, "text": [ORIGINAL] * len(good_N) + list(kind_N)}
    evidence.table("checked_texts", texts, "The scores of the self-check, one a text.")
    series = (Series(ORIGINAL, "documents"), *(Series(kind, WORDS[kind], "other") for kind in KINDS))
    figure = Figure(
        "Documents and spoiled copies of them", "checked_texts", "histogram", "score", ("score",), name, "texts",
        "text", series,
    )  # fmt: skip
    evidence.figure("self_check", figure, "Where the two overlap, the score does not see the damage.")
    if whole < LEAST_AUC:
        worst = min(found, key=lambda kind: found[kind])
        evidence.warn(
            f"the judge tells documents from spoiled copies with an AUC of {whole:.2f} (0.5 is chance; the lowest is "
            f"{found[worst]:.2f}, for {WORDS[worst]}): its scores carry little information; use a larger judge, "
            "scorer.shots=4, other examples or another question"
        )
    return whole


def show_answers(evidence: Evidence, numbers_N3: NDArray[np.floating], prompt: Prompt, tokenizer: Tokenizer) -> None:
    """Leave how probable yes and no are together, and how often one of them is the most probable answer.

    Warns where they have less than LEAST_MASS. numbers_N3: of a `YesNoJudge`.
    """
    mass = float(np.exp(numbers_N3[:, :2]).sum(1).mean())
    top = Counter(numbers_N3[:, 2].astype(int).tolist())
    said = {tokenizer.decode([token]): count / len(numbers_N3) for token, count in top.most_common(5)}
    in_answers = sum(count for token, count in top.items() if token in (*prompt.yes, *prompt.no)) / len(numbers_N3)
    numbers: dict[str, float | str | None] = {
        f"mean P({YES}) + P({NO})": mass,
        f"share of documents with {YES} or {NO} as the most probable answer": in_answers,
        "tokens of question and examples": float(len(prompt)),
    }
    evidence.numbers(
        "answers", numbers, "A judge that gives little probability to yes and no does not answer the question."
    )
    if mass < LEAST_MASS:
        listed = ", ".join(f"{word!r} ({share:.0%})" for word, share in said.items())
        evidence.warn(
            f"the judge gives yes and no a probability of {mass:.1e} together, so it does not answer the question; its "
            f"most probable answers: {listed}; use a judge tuned on chats, or scorer.shots=4"
        )


def _auc(good: NDArray[np.floating], bad: NDArray[np.floating]) -> float:
    return auc(np.concatenate([good, bad]), np.repeat([True, False], [len(good), len(bad)]))
