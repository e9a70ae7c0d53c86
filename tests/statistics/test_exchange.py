"""Exchange rates that were planted come back; what cannot be told apart is refused or not claimed."""

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.statistics.exchange import exchange_rate

OPTIONS = {"evaluation_intercepts": True, "alpha": 0.05, "resamples": 400, "seed": 0}


def grid(alignment, tokens, loss_of):
    """Columns for every training corpus, evaluation set and number of tokens."""
    train, evaluation, level = np.indices((*np.shape(alignment), len(tokens))).reshape(3, -1)
    x, t = np.asarray(alignment, float)[train, evaluation], np.asarray(tokens, float)[level]
    labels = (np.char.add(prefix, index.astype(str)) for prefix, index in (("t", train), ("e", evaluation)))
    return (*labels, t, x, loss_of(train, evaluation, t, x))


def test_a_rate_worked_by_hand_without_noise():
    # A doubling is worth 0.5. Alignment is 0.1 above or below the mean of its set, 1 nat: two doublings.
    above = np.random.default_rng(0).permuted(np.tile([1, 1, 1, -1, -1, -1], (5, 1)), axis=1).T
    alignment = np.linspace(0.4, 0.7, 5) + 0.1 * above
    columns = grid(alignment, [1e6, 4e6], lambda train, evaluation, t, x: 20 + evaluation - 0.5 * np.log2(t) - 10 * x)
    rate = exchange_rate(*columns, **OPTIONS)
    assert (rate.per_doubling, rate.per_alignment, rate.step, rate.factor.value) == pytest.approx((-0.5, -10, 0.1, 4))
    assert (rate.factor.low, rate.factor.high) == pytest.approx((4, 4))
    assert rate.sentence.startswith(
        "a standard deviation of alignment (0.1) is worth a factor of 4 in tokens, 95 % interval over corpora [4, 4]"
    )


def test_one_intercept_or_one_for_each_evaluation_set():
    # Easier sets align better: with one intercept their ease counts for alignment, with their own it does not.
    alignment = np.array([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8], [0.4, 0.5, 0.6], [0.5, 0.7, 0.6]])
    columns = grid(alignment, [1, 2, 4], lambda train, e, t, x: 9 - np.log2(t) - 2 * x - 3 * e)
    own, shared = (exchange_rate(*columns, **{**OPTIONS, "evaluation_intercepts": how}) for how in (True, False))
    assert own.per_alignment == pytest.approx(-2)
    design = np.column_stack([np.ones(36), np.log2(columns[2]), columns[3]])
    expected = np.linalg.lstsq(design, columns[4], rcond=None)[0]
    assert (shared.per_doubling, shared.per_alignment) == pytest.approx((expected[1], expected[2]))
    assert shared.per_alignment < -10


@pytest.mark.slow
@pytest.mark.parametrize("intercepts", [True, False])
def test_the_interval_covers_the_planted_rate(intercepts):
    random, covers = np.random.default_rng(1), []
    for _ in range(200):
        alignment = random.normal(0.5, 0.03, (6, 1)) + random.normal(0, 0.05, (1, 6)) + random.normal(0, 0.03, (6, 6))
        effect = random.normal(0, 0.3, (6, 6)) + random.normal(0, 0.5, (1, 6)) + random.normal(0, 0.1, (6, 1))
        slopes = -0.3 + random.normal(0, 0.03, 6)

        def loss(train, evaluation, t, x, effect=effect, slopes=slopes):
            return effect[train, evaluation] + slopes[train] * np.log2(t) - 17 * x + random.normal(0, 0.05, len(t))

        rate = exchange_rate(*grid(alignment, [1, 4, 16], loss), **{**OPTIONS, "evaluation_intercepts": intercepts})
        covers.append(rate.factor.low <= 2 ** (rate.step * 17 / 0.3) <= rate.factor.high)
    assert np.mean(covers) >= 0.9


def test_no_rate_is_claimed_where_tokens_do_not_lower_the_loss():
    random = np.random.default_rng(2)
    alignment = random.uniform(0.4, 0.7, (5, 5))
    columns = grid(alignment, [1, 2], lambda train, e, t, x: 9 - 5 * x + random.normal(0, 0.3, 5)[train] * np.log2(t))
    rate = exchange_rate(*columns, **OPTIONS)
    assert 0.025 < rate.rising_share < 1
    assert rate.sentence.startswith("No exchange rate: more tokens are not shown to lower the loss")


def test_alignment_that_does_nothing_is_not_said_to_lower_the_loss():
    random = np.random.default_rng(3)
    alignment = random.uniform(0.4, 0.7, (6, 6))
    effect = random.normal(0, 0.3, (6, 6))
    columns = grid(alignment, [1, 2, 4], lambda train, e, t, x: 9 - np.log2(t) + effect[train, e])
    assert exchange_rate(*columns, **OPTIONS).sentence.endswith("that alignment lowers the loss is not shown.")


def test_what_cannot_be_told_apart_is_refused():
    alignment = np.random.default_rng(4).uniform(0.4, 0.7, (3, 3))
    train, evaluation, tokens, x, loss = grid(alignment, [1, 2], lambda train, e, t, x: t - x)
    with pytest.raises(DataError, match="do not separate the effect of tokens from that of alignment"):
        exchange_rate(train, evaluation, tokens, np.log2(tokens) * 0.1, loss, **OPTIONS)
    with pytest.raises(DataError, match=r"tokens is 8\.0 in all 18 rows"):
        exchange_rate(train, evaluation, np.full(18, 8), x, loss, **OPTIONS)
    with pytest.raises(DataError, match="must be positive"):
        exchange_rate(train, evaluation, tokens - 1, x, loss, **OPTIONS)
    with pytest.raises(DataError, match=r"loss\[0\] is nan"):
        exchange_rate(train, evaluation, tokens, x, np.full(18, np.nan), **OPTIONS)
    with pytest.raises(DataError, match="unequal length"):
        exchange_rate(train, evaluation, tokens[1:], x, loss, **OPTIONS)
