"""Keep the best documents of each source, so many of each. G sources."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveShare, Share, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.budget import Unit, best_within, share_of, sizes_of


@checked
def quota(
    candidates: Candidates,
    *,
    ratio: PositiveShare,
    unit: Unit,
    shares: Literal["proportional", "equal"] | Mapping[str, Share],
) -> NDArray[np.intp]:
    """Return in row order of each source the rows of highest score: floor(ratio * N) of all N documents or tokens.

    shares: of each source in what is kept. `proportional` to its documents (or tokens), `equal`, or a share for every
    source by its name, which sum to 1; 0 keeps none of it. Counts are rounded by the largest remainder, ties by name.
    Raises ConfigError for shares that do not fit, and for a source with less than its share asks for.
    """
    budget, sizes_N = share_of(candidates, ratio, unit), sizes_of(candidates, unit)
    names, groups = candidates.group_names, candidates.groups
    sizes_G = np.bincount(groups, weights=sizes_N, minlength=len(names)).astype(np.intp)
    counts_G = _apportioned(_shares(shares, names, sizes_G), budget, names)
    kept = []
    for group in np.flatnonzero(counts_G).tolist():
        if counts_G[group] > sizes_G[group]:
            raise ConfigError(
                f"selector.shares gives source {names[group]!r} {counts_G[group]} of {budget} "
                f"{unit}, but it has {sizes_G[group]}; lower selector.ratio or its share"
            )
        rows = np.flatnonzero(groups == group)
        ours = candidates.take(rows)
        kept.append(rows[best_within(ours, ours.goodness, int(counts_G[group]), unit, f" of source {names[group]!r}")])
    return np.sort(np.concatenate(kept))


def _shares(shares: str | Mapping[str, float], names: Sequence[str], sizes_G: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return [G] the share of each source; raises ConfigError for names or numbers that do not fit."""
    if shares == "proportional":
        return sizes_G / sizes_G.sum()
    if isinstance(shares, str):
        present_G = (sizes_G > 0).astype(np.float64)
        return present_G / present_G.sum()
    present = {name for name, size in zip(names, sizes_G, strict=True) if size}
    if wrong := sorted(present ^ set(shares)):
        raise ConfigError(
            f"selector.shares must name each source once: {', '.join(sorted(present))}; {', '.join(wrong)} is missing "
            "or unknown"
        )
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"selector.shares sum to {sum(shares.values()):g}; let them sum to 1")
    return np.array([shares.get(name, 0.0) for name in names])


def _apportioned(shares_G: NDArray[np.float64], total: int, names: Sequence[str]) -> NDArray[np.intp]:
    """Return whole numbers [G] that sum to `total`: the floor of each share, one more for the largest remainders."""
    # A product that is a whole number up to rounding is that number: 0.29 of 100 is 29, not 28.
    exact_G = np.round(shares_G / shares_G.sum() * total, 9)
    counts_G = np.floor(exact_G).astype(np.intp)
    largest = np.lexsort((np.array(names), counts_G - exact_G))
    counts_G[largest[: total - int(counts_G.sum())]] += 1
    return counts_G
