"""What a reader should see of picked preferences: each of them, and all beside other choices of as many.

M picks, N candidates of the last round, K features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import answer_tokens
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.rows.draws import shuffled_rows
from delt_exp.store.evidence import Evidence, Figure

Rows = NDArray[np.intp]
SHOWN_CHARS = 60  # of an answer


@dataclass(frozen=True, eq=False)
class Round:
    """Picks of one round in their order, each one's ||phi||_{V^-1}, and what they were picked from.

    num_unwritten: candidates that kept their answers, because the model wrote none. rows [N], features [N, K]: all
    that fitted the context, picks of earlier rounds among them.
    """

    picks: Rows
    uncertainty: NDArray[np.float64]
    num_unwritten: int
    rows: Rows
    features: NDArray[np.float32]


def show_picks(
    evidence: Evidence, *, rounds: Sequence[Round], documents: TokenizedCorpus, ridge: float, seed: int,
    oracle: str | None,
) -> None:  # fmt: skip
    """Leave the table of picks, a figure of their uncertainty, and what they have in common beside other choices.

    oracle: who labelled answers that a model wrote, None where answers and labels are those of the dataset.
    """
    picks = np.concatenate([one.picks for one in rounds])
    _show_each(evidence, rounds, picks, documents, oracle)
    evidence.table(
        "picks_beside_others", _beside(rounds[-1], picks, documents, ridge, seed),
        "As many preferences chosen in other ways, all seen by the model of the last round; earlier picks were made by "
        "other models. Information is log det(V / ridge), which the picks maximise; the rest are means.",
    )  # fmt: skip
    _show_rounds(evidence, rounds, len(documents))


def _show_each(
    evidence: Evidence, rounds: Sequence[Round], picks: Rows, documents: TokenizedCorpus, oracle: str | None
) -> None:
    tokens_M2, corpus = answer_tokens(documents.tokens, picks), documents.corpus
    norms = [np.linalg.norm(one.features[np.searchsorted(one.rows, one.picks)], axis=1) for one in rounds]
    columns = {
        "pick": np.arange(1, len(picks) + 1),
        "round": np.repeat(np.arange(1, len(rounds) + 1), [len(one.picks) for one in rounds]),
        "uncertainty": np.concatenate([one.uncertainty for one in rounds]),
        "gradient_difference": np.concatenate(norms).astype(np.float64),
        "chosen_tokens": tokens_M2[:, 0],
        "rejected_tokens": tokens_M2[:, 1],
        "source": [corpus.source(int(row)) for row in picks],
        "row": picks,
        "chosen": [_beginning(corpus.document(int(row)).answer) for row in picks],
        "rejected": [_beginning(corpus.document(int(row)).rejected) for row in picks],
    }
    labels = "" if oracle is None else f" The model of each round wrote the answers, and {oracle} said which is better."
    evidence.table(
        "picks", columns,
        "The picked preferences in order: uncertainty is the length of the gradient difference beyond what earlier "
        f"picks span, when it was picked; tokens are those of the answers, end-of-text included.{labels}",
    )  # fmt: skip
    figure = Figure(
        "Uncertainty of the picks", "picks", "line", "pick", ("uncertainty",), "pick", "uncertainty (no unit)"
    )
    evidence.figure(
        "uncertainty", figure,
        "How far each picked preference lay beyond the earlier ones when it was picked: if the line falls only a "
        "little, the next picks would still have added much. Each round uses a new model, so the line may jump.",
    )  # fmt: skip


def _show_rounds(evidence: Evidence, rounds: Sequence[Round], num_documents: int) -> None:
    counts = {
        "round": np.arange(1, len(rounds) + 1),
        "candidates": [len(one.rows) for one in rounds],
        "answers_too_long": [num_documents - len(one.rows) for one in rounds],
        "answers_not_written": [one.num_unwritten for one in rounds],
        "picks": [len(one.picks) for one in rounds],
    }
    evidence.table(
        "rounds", counts,
        "What each round picked from, earlier picks among it: preferences with an answer too long for the context "
        "cannot be picked, and where a model wrote no text a preference keeps its earlier answers.",
    )  # fmt: skip
    if unwritten := [one.num_unwritten for one in rounds if one.num_unwritten]:
        evidence.warn(
            f"{max(unwritten)} of {num_documents} preferences kept their earlier answers in a round, because the "
            "model wrote no text after their prompt"
        )


def _beside(
    last: Round, picks: Rows, documents: TokenizedCorpus, ridge: float, seed: int
) -> dict[str, list[float] | list[str]]:
    """Return the rows of the table: the picks, and the first of the candidates of the last round in other orders."""
    # The features of all candidates may lie on disk: only rows of a choice are in float64.
    norms = np.sqrt(np.einsum("nk,nk->n", last.features, last.features))
    tokens_N2 = answer_tokens(documents.tokens, last.rows)
    random = shuffled_rows(documents.corpus.ids[last.rows], seed, "random preferences beside picks")
    count = len(picks)
    choices = {
        "picked": np.searchsorted(last.rows, picks),
        "random": random[:count],
        "largest gradient difference": np.argsort(-norms, kind="stable")[:count],
        "longest answers": np.argsort(-tokens_N2.sum(1), kind="stable")[:count],
    }
    return {
        "choice": list(choices),
        "information": [information(last.features[chosen].astype(np.float64), ridge) for chosen in choices.values()],
        "gradient_difference": [float(norms[chosen].mean()) for chosen in choices.values()],
        "chosen_tokens": [float(tokens_N2[chosen, 0].mean()) for chosen in choices.values()],
        "rejected_tokens": [float(tokens_N2[chosen, 1].mean()) for chosen in choices.values()],
    }


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


def information(features_MK: NDArray[np.float64], ridge: float) -> float:
    """Return log det(I + Phi Phi^T / ridge) of M rows, which is log det(V / ridge), in nats."""
    gram_MM = features_MK @ features_MK.T / ridge
    return float(np.linalg.slogdet(np.eye(len(features_MK)) + gram_MM)[1])
