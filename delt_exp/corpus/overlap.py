"""Which documents of a target or evaluation set are among the candidates: equal ones and near-duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from delt_exp.corpus.corpus import Corpus
from delt_exp.dataset.near_duplicates import near_duplicates

FORMAT = 1  # bump when the same documents give other counts


def count_overlap(candidates: Corpus, sets: Sequence[Corpus]) -> list[dict[str, int]]:
    """Return for each of `sets` how many distinct documents it has, are candidates (exact), and others nearly are."""
    _, is_near = near_duplicates(candidates.texts(), [corpus.texts() for corpus in sets], len(candidates))
    rows = []
    for corpus, near in zip(sets, is_near, strict=True):
        is_exact = np.isin(corpus.ids, candidates.ids)
        kinds: dict[str, Any] = {"documents": slice(None), "exact": is_exact, "near": near & ~is_exact}
        rows.append({kind: len(np.unique(corpus.ids[which])) for kind, which in kinds.items()})
    return rows


def overlap_sentences(target: Mapping[str, int] | None, evaluation: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return one sentence for every pair of sets that should be disjoint and is not, with counts.

    target, evaluation: as in `delt_exp.report.outcome.Overlap`.
    """
    sentences = []
    if target is not None and (part := _part(target, "train", "the target set")):
        sentences.append(f"{part} among the candidates: scores and weights that are based on the target favour these.")
    for name, counts in evaluation.items():
        if part := _part(counts, "train", name):
            sentences.append(f"{part} among the candidates: results on {name} may flatter the model.")
        if part := _part(counts, "target", name):
            where = "in the target set, which scores or weights are based on"
            sentences.append(f"{part} {where}: results on {name} may flatter the model.")
    return sentences


def _part(counts: Mapping[str, int], place: str, name: str) -> str:
    """Return how many documents of a set are elsewhere, as the beginning of a sentence; empty for none."""
    exact, near = counts.get(f"in_{place}", 0), counts.get(f"near_{place}", 0)
    if not exact + near:
        return ""
    if not exact:
        return f"{near:,} of {counts['documents']:,} documents of {name} are nearly"
    also = f" and {near:,} nearly" if near else ""
    return f"{exact:,} of {counts['documents']:,} documents of {name} are also{also}"
