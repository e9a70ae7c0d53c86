"""Keep the preferences that would teach most, picked in rounds by the gradients of the model that learns from them.

N candidates that fit, K features; open_n, their places that are not picked.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, Several, settings
from delt_exp.corpus.pairs import check_answers, fitting
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.model.cost import FORWARD_BACKWARD, PhaseCost, Sizes
from delt_exp.preference.features import PairGradientJudge, pair_features_stage
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.ranking import rank_ids
from delt_exp.selector.reading import Reading
from delt_exp.statistics.d_optimal import greedy_d_optimal


@settings
class ActiveDpoSelector:
    """`k` preferences, each the one of largest ||phi||_{V^-1}, V = ridge I + sum phi phi^T over those picked before.

    phi is a sketch of grad log p(chosen) - grad log p(rejected), see `PairGradientJudge`. per_round: picks between two
    training runs, null for all at once. The first round looks with `proxy`; every later one with the model of this run,
    trained on the picks so far, and all phi are those of this model, earlier picks included (ActiveDPO, Lin et al.
    2025, arXiv 2505.19241). num_features: K of the sketch; the error of a cosine is about 1 / sqrt(K).
    context_tokens: of an answer with as much of its prompt as fits; preferences with a longer answer are never picked.
    """

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    k: Count
    per_round: Count | None
    ridge: PositiveFloat
    normalise: Literal["response", "pair"]
    num_features: Several
    context_tokens: Count
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs

    def check(self, candidates: TokenizedCorpus) -> None:
        check_answers(candidates.tokens)
        self._check_fitting(fitting(candidates.tokens, self.context_tokens))

    def count(self, num_candidates: int) -> int:
        if self.k > num_candidates:
            raise ConfigError(
                f"selector.k={self.k} is more than the {num_candidates} preferences there are; lower selector.k to at "
                f"most {num_candidates} or use a larger train_dataset"
            )
        return self.k

    def select(self, reading: Reading) -> NDArray[np.intp]:
        picks = np.zeros(0, np.intp)
        for count in self._rounds():
            rows_N, features_NK = self._features(reading, picks)
            # Of equal candidates the higher id wins, whatever its row.
            by_id = rank_ids(reading.seen.ids[rows_N])[::-1]
            is_pick_N = np.isin(rows_N, picks)
            open_n = by_id[~is_pick_N[by_id]]
            found, _ = greedy_d_optimal(
                features_NK[open_n], count, ridge=self.ridge, labelled_MK=features_NK[is_pick_N]
            )
            picks = np.concatenate([picks, rows_N[open_n[found]]])
        return np.sort(picks)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the proxy and of the gradients in every round, both answers as long as the chosen one.

        The training runs between rounds are left out: they are those of this run with fewer preferences.
        """
        per_pass, num_rounds = resources.runtime.tokens_per_pass(), len(self._rounds())
        size = self.proxy.size(sizes, resources, min(self.context_tokens, per_pass))
        num_tokens = 2 * int(np.minimum(sizes.lengths_N + 1, self.context_tokens).sum())
        held = size.parameter_bytes + per_pass * size.activation_bytes_per_token
        flops = float(FORWARD_BACKWARD) * size.parameters * num_tokens * num_rounds
        passes = 2 * len(sizes.lengths_N) * num_rounds
        return [*self.proxy.forecast(sizes, resources), PhaseCost("gradients of preferences", passes, flops, held)]

    def _rounds(self) -> list[int]:
        """Return how many preferences each round picks; the last one may have fewer."""
        size = self.per_round or self.k
        return [min(size, self.k - begin) for begin in range(0, self.k, size)]

    def _features(self, reading: Reading, picks: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the rows [N] that fit the context, and [N, K] under the proxy or the model that learnt from picks."""
        model: ProxyModel
        if len(picks):
            model = reading.trained(picks)
        else:
            model = self.proxy.prepare(reading.resources, reading.candidates, reading.target)
        model.check_context(self.context_tokens, "selector.context_tokens")
        judge = PairGradientJudge(
            model.name, model.revision, self.num_features, self.seed, self.normalise,
            self.context_tokens,
        )  # fmt: skip
        tokens = model.tokens(reading.candidates, reading.resources)
        fits = fitting(reading.candidates.tokens, self.context_tokens) & fitting(tokens, self.context_tokens)
        self._check_fitting(fits)
        rows = np.flatnonzero(fits)
        return rows, pair_features_stage(reading.resources, tokens, rows, model, judge)

    def _check_fitting(self, fits: NDArray[np.bool_]) -> None:
        if fits.sum() < self.k:
            raise ConfigError(
                f"selector.k={self.k}, but of {len(fits)} preferences only {int(fits.sum())} have answers that fit "
                f"{self.context_tokens} tokens; lower selector.k or raise selector.context_tokens"
            )
