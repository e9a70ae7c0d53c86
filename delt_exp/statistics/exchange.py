"""What alignment is worth in tokens: loss = a + b log2(tokens) + c alignment.

Shape suffixes: N points, B resamples, C columns (log2 of the tokens, alignment, loss).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.statistics.inputs import check_lengths, check_varies, finite
from delt_exp.statistics.points import percentiles, resampled_weights, weighted_covariances


@dataclass(frozen=True)
class Exchange:
    """`step` of alignment lowers the loss as much as `factor` times the tokens do: factor = 2^(step c / b).

    step: a standard deviation of alignment, around the mean of each evaluation set where these have intercepts of their
    own; a fixed step would be tiny for one metric and beyond all corpora for another. per_doubling: b [nats/token] per
    doubling of the tokens; per_alignment: c [nats/token] of 1 of alignment. The interval: percentiles over corpora, the
    step as it is; simulated coverage of the nominal 95 %: 0.92 to 1.00 (500 studies each, 3 x 8 to 10 x 10 corpora).
    rising_share: share of the resamples in which more tokens do not lower the loss.
    """

    per_doubling: float
    per_alignment: float
    step: float
    factor: Ranged
    rising_share: float
    num_points: int
    alpha: float

    @property
    def sentence(self) -> str:
        """What may be said; no rate where tokens are not shown to lower the loss."""
        if self.per_doubling >= 0 or self.rising_share > self.alpha / 2:
            return (
                f"No exchange rate: more tokens are not shown to lower the loss ({self.per_doubling:+.3g} nats/token "
                f"per doubling, not negative in {100 * self.rising_share:.1f} % of the resamples of corpora)."
            )
        low, high = self.factor.low, self.factor.high
        return (
            f"a standard deviation of alignment ({self.step:.2g}) is worth a factor of {self.factor.value:.3g} in "
            f"tokens, {100 * (1 - self.alpha):g} % interval over corpora [{low:.3g}, {high:.3g}], "
            f"{self.num_points} points" + ("; that alignment lowers the loss is not shown." if low <= 1 else ".")
        )


def exchange_rate(
    train_N: NDArray[np.str_],
    evaluation_N: NDArray[np.str_],
    tokens_N: NDArray[np.float64],
    alignment_N: NDArray[np.float64],
    loss_N: NDArray[np.float64],
    *,
    evaluation_intercepts: bool,
    alpha: float,
    resamples: int,
    seed: int,
) -> Exchange:
    """Return the least-squares exchange rate, with one intercept or one for each evaluation set.

    Raises DataError for values not finite, tokens not positive, or tokens and alignment that cannot be told apart.
    """
    columns_CN = _columns(train_N, evaluation_N, tokens_N, alignment_N, loss_N)
    group_N = np.unique(evaluation_N, return_inverse=True)[1] * evaluation_intercepts
    once_1N = np.ones((1, len(loss_N)))
    (b,), (c,) = _slopes(once_1N, columns_CN, group_N)
    if len(loss_N) < 4 or not np.isfinite(b) or b == 0:
        raise DataError(
            f"{len(loss_N)} points do not separate the effect of tokens from that of alignment; vary the tokens at "
            "one alignment, and alignment "
            "within " + ("each evaluation set" if evaluation_intercepts else "one number of tokens")
        )
    # The interval of the exponent, so that a rate too large for a number is still the largest.
    b_B, c_B = _slopes(resampled_weights(train_N, evaluation_N, resamples, seed), columns_CN, group_N)
    step = float(np.sqrt(weighted_covariances(once_1N, columns_CN, group_N)[0, 1, 1]))
    exponents = step * c / b, *percentiles(step * c_B / b_B, alpha, -np.inf, np.inf)
    with np.errstate(over="ignore"):
        factor = Ranged(*(float(np.exp2(exponent)) for exponent in exponents))
    return Exchange(
        per_doubling=float(b),
        per_alignment=float(c),
        step=step,
        factor=factor,
        rising_share=float(np.mean(b_B[np.isfinite(b_B)] >= 0)),
        num_points=len(loss_N),
        alpha=alpha,
    )


def _columns(
    train_N: NDArray[np.str_], evaluation_N: NDArray[np.str_], tokens_N: NDArray[np.float64],
    alignment_N: NDArray[np.float64], loss_N: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return log2 of the tokens, alignment and loss, sound and as long as the labels."""
    tokens_N, alignment_N, loss_N = finite("tokens", tokens_N), finite("alignment", alignment_N), finite("loss", loss_N)
    check_lengths(train=train_N, evaluation=evaluation_N, tokens=tokens_N, alignment=alignment_N, loss=loss_N)
    if tokens_N.min() <= 0:
        raise DataError(f"tokens has a row of {tokens_N.min()}; the number of training tokens must be positive")
    check_varies("tokens", tokens_N)
    check_varies("alignment", alignment_N)
    return np.stack([np.log2(tokens_N), alignment_N, loss_N])


def _slopes(
    weights_BN: NDArray[np.float64], columns_CN: NDArray[np.float64], group_N: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return b and c [B] of the weighted normal equations; nan where tokens and alignment move together."""
    scale_C = columns_CN.std(1)
    v = weighted_covariances(weights_BN, columns_CN, group_N)
    tt_B, ta_B, aa_B, tl_B, al_B = v[:, 0, 0], v[:, 0, 1], v[:, 1, 1], v[:, 0, 2], v[:, 1, 2]
    determinant_B = tt_B * aa_B - ta_B**2
    told_apart_B = determinant_B > 1e-9 * (scale_C[0] * scale_C[1]) ** 2
    determinant_B = np.where(told_apart_B, determinant_B, np.nan)
    return (tl_B * aa_B - al_B * ta_B) / determinant_B, (al_B * tt_B - tl_B * ta_B) / determinant_B
