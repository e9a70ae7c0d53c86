"""The log-linear mixing law: the loss on a set of texts as a function of the shares of a mixture, and its minimum.

Ye et al. 2024, arXiv 2403.16952: loss(r) = c + k exp(sum_g t_g r_g), fitted for each evaluation set. Shares sum to 1,
so k can be absorbed: c + exp(sum_g a_g r_g) with a_g = t_g + log k is what is fitted. These are G + 1 numbers, for
which few runs suffice; RegMix's trees (arXiv 2407.01492) need hundreds and know nothing outside the mixtures tried.
A sum of such laws is convex in r, so that its minimum over the simplex is found, with or without caps on shares.

Intervals are from the Bayesian bootstrap over runs (Rubin 1981): the weight of every run is an exponential draw. Runs
drawn with replacement would leave few distinct mixtures, at times fewer than numbers to fit. Two things make intervals
wide enough. A run of leverage h pulls the fit towards itself, which makes its residual too small: residuals are divided
by 1 - h before the bootstrap, as in the jackknife (HC3 of MacKinnon and White 1985). And p fitted numbers leave n - p
degrees of freedom of n runs: the distance of each bootstrap from the fit is multiplied by sqrt((n - p) / chi^2(n - p)),
which turns a normal into Student's t. Without either, nominal 95 % intervals of t covered 0.87 with 16 and 24 runs of 4
sources and 0.92 with 48; as it is, 0.91, 0.94 and 0.95 (100 simulations each, 80 bootstraps).

Shapes: R runs, G sources, S evaluation sets, B bootstraps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares, minimize
from scipy.special import logsumexp, softmax

from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.draws import generator
from delt_exp.statistics.inputs import finite

Floats = NDArray[np.float64]
STARTS = (0.2, 0.9)  # floors at which the fit starts, of the lowest loss
ROUNDING = 1e-9  # a share below it is 0 to the solver
GAP, WORST_GAP = 1e-6, 1e-3  # how far a mixture may be from the lowest, as a share of the loss above all floors
SEARCHES, MOVES = 50, 20
NUM_PARTS = 10  # of the runs, for predictions of those left out
SUM_TOLERANCE = 0.01  # published shares are rounded to three digits and sum to 0.996 .. 1.003


@dataclass(frozen=True, eq=False)
class MixingLaw:
    """loss(r) = floor + exp(sum_g rates_G[g] r_g) [nats]; a lower rate means that the source lowers the loss more."""

    floor: float
    rates_G: Floats

    def predict(self, shares_RG: Floats) -> Floats:
        """Return [R] the loss of each mixture."""
        return np.asarray(self.floor + np.exp(shares_RG @ self.rates_G))

    def effects(self, shares_G: Floats) -> Floats:
        """Return t [G] where k is what can be lost at `shares_G`: below 0, more of the source lowers the loss."""
        return np.asarray(self.rates_G - shares_G @ self.rates_G)


def check_runs(shares_RG: Floats, losses_RS: Floats, names: Sequence[str]) -> None:
    """Raise DataError for mixtures and losses from which no law can be fitted."""
    finite("shares", shares_RG, 2)
    finite("losses", losses_RS, 2)
    if len(shares_RG) != len(losses_RS):
        raise DataError(f"{len(shares_RG)} mixtures and {len(losses_RS)} rows of losses; give one row for each run")
    if shares_RG.min(initial=0) < 0 or np.abs(shares_RG.sum(1) - 1).max(initial=0) > SUM_TOLERANCE:
        row = int(np.argmax(np.maximum(-shares_RG.min(1), np.abs(shares_RG.sum(1) - 1))))
        raise DataError(
            f"run {row} has shares from {shares_RG[row].min():g} that sum to {shares_RG[row].sum():g}; give shares of "
            "at least 0 that sum to 1"
        )
    if losses_RS.min(initial=1) <= 0:
        raise DataError(f"a loss is {losses_RS.min():g}; the law is one of losses above 0, such as nats per token")
    unused = [name for name, most in zip(names, shares_RG.max(0, initial=0), strict=True) if most == 0]
    if unused:
        raise DataError(f"no run has any of {unused[0]!r}, so nothing is known about it; leave it out of the table")
    num_sources = shares_RG.shape[1]
    if len(shares_RG) < num_sources + 2:
        raise DataError(
            f"{len(shares_RG)} runs cannot determine the {num_sources + 1} parameters of the law of {num_sources} "
            "sources; "
            f"train at least {num_sources + 2}"
        )
    if np.linalg.matrix_rank(shares_RG) < num_sources:
        raise DataError(
            f"the mixtures of the {len(shares_RG)} runs lie in fewer dimensions than they have sources "
            f"({num_sources}), so the effects of sources cannot be separated; draw the mixtures at random"
        )


def fit_law(shares_RG: Floats, losses_R: Floats, weights_R: Floats | None = None) -> MixingLaw:
    """Return the law of least squared errors, each run counted `weights_R` times (None: once).

    The floor stays at or above 0. The better of two fits from different floors, because the errors are not convex.
    """
    weights_R = np.ones(len(losses_R)) if weights_R is None else weights_R
    fits = [_fitted(shares_RG, losses_R, weights_R, _start(shares_RG, losses_R, start)) for start in STARTS]
    return min(fits, key=lambda fit: fit[0])[1]


def _start(shares_RG: Floats, losses_R: Floats, part: float) -> Floats:
    floor = part * losses_R.min()
    rates_G = np.linalg.lstsq(shares_RG, np.log(losses_R - floor), rcond=None)[0]
    return np.concatenate([[floor], rates_G])


def _fitted(shares_RG: Floats, losses_R: Floats, weights_R: Floats, start: Floats) -> tuple[float, MixingLaw]:
    roots_R = np.sqrt(weights_R)

    def errors(numbers: Floats) -> Floats:
        return np.asarray(roots_R * (numbers[0] + np.exp(shares_RG @ numbers[1:]) - losses_R))

    def slopes(numbers: Floats) -> Floats:
        above_R = roots_R * np.exp(shares_RG @ numbers[1:])
        return np.column_stack([roots_R, above_R[:, None] * shares_RG])

    found = least_squares(errors, start, slopes, method="lm")
    if found.x[0] < 0:
        lowest = np.concatenate([[0.0], np.full(shares_RG.shape[1], -np.inf)])
        found = least_squares(errors, np.maximum(start, lowest), slopes, bounds=(lowest, np.inf))
    return float(found.cost), MixingLaw(float(found.x[0]), found.x[1:])


def bootstrap_laws(
    shares_RG: Floats, losses_RS: Floats, laws: Sequence[MixingLaw], num_bootstraps: int, seed: int
) -> list[list[MixingLaw]]:
    """Return the S laws of each of B bootstraps; all sets see the same weights of the runs.

    laws: those of the runs as they are, around which the bootstraps lie.
    """
    num_runs, num_left = len(shares_RG), len(shares_RG) - shares_RG.shape[1] - 1
    rng, drawn = generator(seed, "bootstrap of mixing laws"), []
    inflated_RS = np.column_stack([_inflated(shares_RG, y, law) for y, law in zip(losses_RS.T, laws, strict=True)])
    ones_R, starts = np.ones(num_runs), [np.concatenate([[law.floor], law.rates_G]) for law in laws]
    columns = list(zip(inflated_RS.T, starts, strict=True))
    centres = [_fitted(shares_RG, y, ones_R, start)[1] for y, start in columns]
    for _ in range(num_bootstraps):
        weights_R = rng.exponential(size=num_runs)
        weights_R /= weights_R.mean()
        fits = [_fitted(shares_RG, y, weights_R, start)[1] for y, start in columns]
        wider = float(np.sqrt(num_left / rng.chisquare(num_left)))
        drawn.append([_moved(*three, wider) for three in zip(laws, fits, centres, strict=True)])
    return drawn


def _inflated(shares_RG: Floats, losses_R: Floats, law: MixingLaw) -> Floats:
    """Return [R] losses whose residuals are divided by 1 - leverage; a run that the fit must go through stays."""
    above_R = np.exp(shares_RG @ law.rates_G)
    basis = np.linalg.qr(np.column_stack([np.ones(len(above_R)), above_R[:, None] * shares_RG]))[0]
    left_R = 1 - np.square(basis).sum(1)
    fitted_R = law.predict(shares_RG)
    return np.asarray(fitted_R + (losses_R - fitted_R) / np.where(left_R > 1e-6, left_R, 1.0))


def _moved(law: MixingLaw, drawn: MixingLaw, centre: MixingLaw, factor: float) -> MixingLaw:
    """Return `law` moved by `factor` times what lies between the drawn law and that of no draw."""
    floor = law.floor + factor * (drawn.floor - centre.floor)
    return MixingLaw(floor, law.rates_G + factor * (drawn.rates_G - centre.rates_G))


def lowest(laws: Sequence[MixingLaw], weights_S: Floats, caps_G: Floats | None = None) -> Floats:
    """Return the shares [G] at which the weighted sum of the laws is lowest.

    caps_G: largest share of each source, None for none. Raises ConfigError for caps that leave no mixture.

    What is minimised is the logarithm of the sum above all floors, which is convex, too, and does not overflow or turn
    flat where rates are large. For a convex loss, slopes @ (shares - best corner) bounds how far it is from its minimum
    (Frank and Wolfe 1956). A local search may stop early; then shares move from the source of the steepest slope to
    that of the lowest, and it starts again, until the bound is below GAP. Where it is not after SEARCHES, the best is
    returned if it is below WORST_GAP, else DataError raised.
    """
    num_sources = len(laws[0].rates_G)
    caps_G = np.ones(num_sources) if caps_G is None else np.minimum(caps_G, 1.0)
    total = float(caps_G.sum())
    if total < 1 - ROUNDING:
        raise ConfigError(f"the largest shares of all sources sum to {total:g}, less than 1; allow more epochs")
    if total <= 1 + ROUNDING:  # one mixture is left; its caps may sum to a little less than 1, which no solver allows
        return np.asarray(caps_G / total)
    counts_S = weights_S > 0  # a weight of 0 has no logarithm
    rates_SG, logs_S = np.array([law.rates_G for law in laws])[counts_S], np.log(weights_S[counts_S])

    def loss(shares_G: Floats) -> tuple[float, Floats]:
        above_S = logs_S + rates_SG @ shares_G
        return float(logsumexp(above_S)), softmax(above_S) @ rates_SG

    shares_G = best_G = caps_G / total
    least = np.inf
    for _ in range(SEARCHES):
        shares_G = min(shares_G, _descended(loss, shares_G, caps_G), key=lambda one_G: loss(one_G)[0])
        slopes_G = loss(shares_G)[1]
        gap = float(slopes_G @ (shares_G - _best_corner(slopes_G, caps_G)))
        if gap <= GAP:
            return shares_G
        best_G, least = (shares_G, gap) if gap < least else (best_G, least)
        for _ in range(MOVES):
            shares_G = _moved_between_two(loss, shares_G, caps_G)
    if least > WORST_GAP:
        raise DataError("the lowest mixture of the laws was not found: their rates differ too much; use more runs")
    return best_G


def _descended(loss: Callable[[Floats], tuple[float, Floats]], start_G: Floats, caps_G: Floats) -> Floats:
    """Return where a local search ends, which may stop early; the shares are a mixture within the caps."""
    found = minimize(
        loss, start_G, jac=True, method="SLSQP", bounds=[(0.0, cap) for cap in caps_G],
        constraints={"type": "eq", "fun": lambda r: r.sum() - 1, "jac": lambda r: np.ones_like(r)},
        options={"ftol": 1e-12, "maxiter": 1000},
    )  # fmt: skip
    if not np.isfinite(found.x).all():
        return start_G
    shares_G = np.where(found.x < ROUNDING, 0.0, np.minimum(found.x, caps_G))  # bounds are kept to rounding only
    if abs(shares_G.sum() - 1) > SUM_TOLERANCE:
        return start_G
    return np.asarray(shares_G / shares_G.sum())


def _moved_between_two(
    loss: Callable[[Floats], tuple[float, Floats]], shares_G: Floats, caps_G: Floats
) -> Floats:  # fmt: skip
    """Return the lowest mixture on the way from the worst source in use to the best that its cap leaves room for."""
    slopes_G = loss(shares_G)[1]
    worst = int(np.argmax(np.where(shares_G > 0, slopes_G, -np.inf)))
    best = int(np.argmin(np.where(shares_G < caps_G, slopes_G, np.inf)))
    most = min(shares_G[worst], caps_G[best] - shares_G[best])
    way_G = np.zeros(len(shares_G))
    way_G[worst] -= most
    way_G[best] += most

    def slope(part: float) -> float:
        return float(loss(shares_G + part * way_G)[1] @ way_G)

    if slope(0.0) >= 0:
        return shares_G
    return shares_G + (1.0 if slope(1.0) <= 0 else brentq(slope, 0.0, 1.0, xtol=1e-15)) * way_G


def _best_corner(slopes_G: Floats, caps_G: Floats) -> Floats:
    """Return the mixture that a linear loss of these slopes is lowest at: the best sources up to their caps."""
    order_G = np.argsort(slopes_G, kind="stable")
    before_G = np.cumsum(caps_G[order_G]) - caps_G[order_G]
    corner_G = np.empty_like(caps_G)
    corner_G[order_G] = np.clip(1 - before_G, 0, caps_G[order_G])
    return corner_G


def held_out_predictions(shares_RG: Floats, losses_R: Floats) -> Floats:
    """Return [R] what the law of other runs says of each: ten parts, one after the other left out."""
    law = fit_law(shares_RG, losses_R)
    start, predicted_R = np.concatenate([[law.floor], law.rates_G]), np.empty(len(losses_R))
    for part in range(min(NUM_PARTS, len(losses_R))):
        is_left_out = np.arange(len(losses_R)) % NUM_PARTS == part
        other = _fitted(shares_RG, losses_R, np.where(is_left_out, 0.0, 1.0), start)[1]
        predicted_R[is_left_out] = other.predict(shares_RG[is_left_out])
    return predicted_R
