"""What a reader sees of a datamodel, and what a study reads of it. N candidates, C groups, M halves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.datamodel.fit import Fit, Floats
from delt_exp.scorer.datamodel.groups import FITTED, HELD_OUT, Groups
from delt_exp.statistics.datamodeling import perfect, rank_correlations
from delt_exp.store.evidence import Evidence, Figure, Series

GROUPS, DOCUMENTS, HALVES = "groups", "document_groups", "halves"


@dataclass(frozen=True, eq=False)
class Found:
    """Groups, their values, and the worth of the halves; again_M: of those held out, from another seed."""

    groups: Groups
    fit: Fit
    fitted_MC: NDArray[np.bool_]
    fitted_M: Floats
    held_out_MC: NDArray[np.bool_]
    held_out_M: Floats
    again_M: Floats


@dataclass(frozen=True, eq=False)
class Gold:
    """What retraining says: ids and group of each candidate in order, values [C], and worths of the halves held out.

    worth: mean of two training runs, first_M and again_M, from seeds that differ from each other and from those of the
    fitted halves. fitted_share: of all training runs, those that values are fitted to.
    """

    ids_N: NDArray[np.uint64]
    of_N: NDArray[np.intp]
    source_C: NDArray[np.str_]
    values_C: Floats
    held_out_MC: NDArray[np.bool_]
    first_M: Floats
    again_M: Floats
    fitted_share: float

    @property
    def worth(self) -> Floats:
        return (self.first_M + self.again_M) / 2


def show(pool: Pool, found: Found, meaning: Meaning) -> None:
    """Leave the groups, the halves, how well values predict those held out, and a warning where they do not."""
    evidence, groups = pool.evidence, found.groups
    columns = {
        "group": np.arange(len(groups)), "source": groups.source_C.tolist(), "documents": groups.sizes,
        "value": found.fit.values_C,
    }  # fmt: skip
    evidence.table(GROUPS, columns, "Each group of documents and what it adds to the utility.")
    documents = {"id": pool.candidates.corpus.ids, "group": groups.of_N}
    evidence.table(DOCUMENTS, documents, "The group of each document, in the order of the candidates.")
    _show_halves(evidence, found)
    _show_numbers(evidence, found)
    figure = Figure(
        "Predicted and measured", HALVES, "scatter", "predicted", ("worth",), "predicted", meaning.name, "part",
        (Series(FITTED, "fitted", "faint"), Series(HELD_OUT, "held out")), has_diagonal=True,
    )  # fmt: skip
    evidence.figure("datamodel", figure, "One point per half of the groups; only the held-out ones test the values.")


def _show_halves(evidence: Evidence, found: Found) -> None:
    halves_MC = np.vstack([found.fitted_MC, found.held_out_MC])
    unknown = np.full(len(found.fitted_M), np.nan)
    columns = {
        "part": [FITTED] * len(found.fitted_M) + [HELD_OUT] * len(found.held_out_M),
        "worth": np.concatenate([found.fitted_M, found.held_out_M]),
        "worth_again": np.concatenate([unknown, found.again_M]),
        "predicted": found.fit.predicted(halves_MC),
        "groups": ["".join("01"[int(held)] for held in half) for half in halves_MC],
    }  # fmt: skip
    caption = "Each half: its worth, that from another seed, what the values predict, and 1 for each group it holds."
    evidence.table(HALVES, columns, caption)


def _show_numbers(evidence: Evidence, found: Found) -> None:
    numbers: dict[str, float | str | None] = {"groups": float(len(found.groups)), "penalty": found.fit.penalty}
    if len(found.held_out_M) > 1:
        mean_M = (found.held_out_M + found.again_M) / 2
        itself = float(rank_correlations(found.again_M[None], found.held_out_M)[0])
        score = float(rank_correlations(found.fit.predicted(found.held_out_MC)[None], mean_M)[0])
        numbers |= {
            "linear datamodeling score": score, "retraining with itself, another seed": itself,
            "an exact prediction would have": perfect(itself),
        }  # fmt: skip
        if itself <= 0:
            evidence.warn(
                "training runs on the same documents from two seeds do not agree on which halves are good: values are "
                "noise; raise scorer.utility.train_tokens or scorer.group_documents"
            )
    caption = "Rank correlations over the held-out halves, each with the mean of two training runs."
    evidence.numbers("datamodel", numbers, caption)


def read(evidence: Evidence) -> Gold | None:
    """Return what a scorer left; None where there is no datamodel with halves held out."""
    tables = [evidence.read_table(name) for name in (GROUPS, DOCUMENTS, HALVES)]
    if any(table is None for table in tables):
        return None
    groups, documents, halves = (table.to_pydict() for table in tables if table is not None)
    rows = [row for row, part in enumerate(halves["part"]) if part == HELD_OUT]
    if not rows:
        return None
    held_out_MC = np.array([[letter == "1" for letter in halves["groups"][row]] for row in rows])
    first_M, again_M = (np.array([halves[name][row] for row in rows]) for name in ("worth", "worth_again"))
    ids_N, of_N = np.array(documents["id"], np.uint64), np.array(documents["group"], np.intp)
    num_fitted = len(halves["part"]) - len(rows)
    share = num_fitted / (num_fitted + 2 * len(rows))
    source_C, values_C = np.array(groups["source"]), np.array(groups["value"])
    return Gold(ids_N, of_N, source_C, values_C, held_out_MC, first_M, again_M, share)
