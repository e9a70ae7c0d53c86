"""Keep the preferences that would teach most, picked in rounds by the gradients of the model that learns from them.

N candidates that fit the context, K features; open_n: places among the N that are not picked yet.
"""

from functools import partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, Several, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.pairs import check_answers, fitting
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.gradients.precision import Precision
from delt_exp.model.cost import FORWARD_BACKWARD, PhaseCost, Sizes
from delt_exp.model.lora import Adapters
from delt_exp.preference.agreement import show_agreement
from delt_exp.preference.features import PairGradientJudge, pair_features_stage
from delt_exp.preference.picks import Round, show_picks
from delt_exp.preference.sampled import SampledAnswers
from delt_exp.proxy.base import Proxy, ProxyModel, ReadsAsTheRun
from delt_exp.resources import Resources
from delt_exp.rows.ranking import rank_ids
from delt_exp.selector.reading import Reading, Selection, Show
from delt_exp.statistics.d_optimal import greedy_d_optimal
from delt_exp.store.evidence import Evidence
from delt_exp.tokenizer.base import Tokenizer

KEYS = moved(Adapters, "model.network", "selector.adapters")
ROUNDING = 1e-6  # of ||phi||^2: features are kept in float32, where all unit differences must still have one length


@settings
class ActiveDpoSelector:
    """`k` preferences, each the one of largest ||phi||_{V^-1}, V = ridge I + sum phi phi^T over those picked before.

    phi is a sketch of grad log p(chosen) - grad log p(rejected), see `PairGradientJudge`. per_round: picks between two
    training runs, null for all at once. The first round looks with `proxy`; every later one with the model of this run,
    trained on the picks so far, and all phi are those of this model, earlier picks included (ActiveDPO, Lin et al.
    2025, arXiv 2505.19241). num_features: K of the sketch; the error of a cosine is about 1 / sqrt(K).
    context_tokens: of an answer with as much of its prompt as fits; preferences with a longer answer are never picked.
    adapters: low-rank ones that gradients are taken of, null for those of all weights. precision: of their forward
    passes. answers: new ones in each round,
    labelled by an oracle; null for those of the dataset and its labels.
    """

    VERSION: ClassVar[int] = 2
    proxy: Proxy
    k: Count
    per_round: Count | None
    ridge: PositiveFloat
    normalise: Literal["response", "pair", "none"]
    num_features: Several
    context_tokens: Count
    adapters: Adapters | None
    precision: Precision
    answers: SampledAnswers | None
    seed: Seed

    def __post_init__(self) -> None:
        if self.answers is not None:
            self.answers.check(self.context_tokens)

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs

    def check(self, candidates: TokenizedCorpus, tokenizer: Tokenizer) -> None:
        check_answers(candidates.tokens)
        if self.answers is None:
            self._check_fitting(fitting(candidates.tokens, self.context_tokens))
        if self.adapters is not None and isinstance(self.proxy, ReadsAsTheRun):
            with naming(KEYS):
                self.adapters.on(self.proxy.network).check(tokenizer)

    def count(self, num_candidates: int) -> int:
        if self.k > num_candidates:
            raise ConfigError(
                f"selector.k={self.k} is more than the {num_candidates} preferences there are; lower selector.k to at "
                f"most {num_candidates} or use a larger train_dataset"
            )
        return self.k

    def select(self, reading: Reading) -> Selection:
        picks, documents, rounds = np.zeros(0, np.intp), reading.candidates, list[Round]()
        for number, count in enumerate(self._rounds()):
            model = self._model(reading, documents, picks)
            documents, num_kept = self._answered(reading, documents, picks, model, number)
            rows_N, features_NK = self._features(reading.resources, documents, model)
            # Of equal candidates the higher id wins, whatever its row.
            by_id = rank_ids(reading.seen.ids[rows_N])[::-1]
            is_pick_N = np.isin(rows_N, picks)
            open_n = by_id[~is_pick_N[by_id]]
            found, scores = greedy_d_optimal(
                features_NK[open_n], count, ridge=self.ridge, labelled_MK=features_NK[is_pick_N], rounding=ROUNDING
            )
            new = rows_N[open_n[found]]
            documents = self._labelled(reading, documents, np.sort(new))
            picks = np.concatenate([picks, new])
            rounds.append(Round(new, scores, num_kept, rows_N, features_NK))
        return Selection(np.sort(picks), documents, self._show(reading, documents, rounds))

    def training_sizes(self) -> list[int]:
        return [sum(self._rounds()[:number]) for number in range(1, len(self._rounds()))]

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the proxy and of the gradients in every round, both answers as long as the chosen one."""
        per_pass, num_rounds = resources.runtime.tokens_per_pass(), len(self._rounds())
        size = self.proxy.size(sizes, resources, min(self.context_tokens, per_pass))
        num_tokens = 2 * int(np.minimum(sizes.lengths_N + 1, self.context_tokens).sum())
        held = size.parameter_bytes + per_pass * size.activation_bytes_per_token
        flops = float(FORWARD_BACKWARD) * size.parameters * num_tokens * num_rounds
        passes = 2 * len(sizes.lengths_N) * num_rounds
        costs = [*self.proxy.forecast(sizes, resources), PhaseCost("gradients of preferences", passes, flops, held)]
        if self.answers is not None:
            costs += self.answers.forecast(sizes, resources, size.parameters, num_rounds)
        return costs

    def _rounds(self) -> list[int]:
        """Return how many preferences each round picks; the last one may have fewer."""
        size = self.per_round or self.k
        return [min(size, self.k - begin) for begin in range(0, self.k, size)]

    def _model(self, reading: Reading, documents: TokenizedCorpus, picks: NDArray[np.intp]) -> ProxyModel:
        """Return the proxy, or the model that learnt from the picks."""
        if len(picks):
            model = reading.trained(documents, picks)
        else:
            model = self.proxy.prepare(reading.resources, reading.candidates, reading.target)
        model.check_context(self.context_tokens, "selector.context_tokens")
        return model

    def _answered(
        self, reading: Reading, documents: TokenizedCorpus, picks: NDArray[np.intp], model: ProxyModel, number: int
    ) -> tuple[TokenizedCorpus, int]:
        """Return the documents with new answers where nothing is picked, and how many keep theirs all the same."""
        if self.answers is None:
            return documents, 0
        rows = np.setdiff1d(np.arange(len(documents)), picks)
        found, kept = self.answers.sampled(
            reading.resources, documents, rows, model,
            ids=reading.seen.ids, number=number, context_tokens=self.context_tokens,
        )  # fmt: skip
        return found, len(kept)

    def _labelled(self, reading: Reading, documents: TokenizedCorpus, rows: NDArray[np.intp]) -> TokenizedCorpus:
        if self.answers is None:
            return documents
        return self.answers.labelled(reading.resources, reading.candidates.corpus, documents, rows)

    def _features(
        self, resources: Resources, documents: TokenizedCorpus, model: ProxyModel
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the rows [N] that fit the context, and their features [N, K] under a model."""
        judge = PairGradientJudge(
            model.name, model.revision, self.num_features, self.seed, self.normalise, self.context_tokens,
            self.adapters, self.precision,
        )  # fmt: skip
        tokens = model.tokens(documents, resources)
        fits = fitting(documents.tokens, self.context_tokens) & fitting(tokens, self.context_tokens)
        self._check_fitting(fits)
        rows = np.flatnonzero(fits)
        with naming(KEYS):
            return rows, pair_features_stage(resources, tokens, rows, model, judge)

    def _show(self, reading: Reading, documents: TokenizedCorpus, rounds: list[Round]) -> Show:
        """Return what leaves the picks and, where an oracle labels them, what it is worth."""
        name = None if self.answers is None else type(self.answers.oracle).__name__
        picks = partial(show_picks, rounds=rounds, documents=documents, ridge=self.ridge, seed=self.seed, oracle=name)
        if self.answers is None:
            return picks
        found = self.answers.agreement(reading.resources, reading.candidates, self.context_tokens)

        def shown(evidence: Evidence) -> None:
            picks(evidence)
            show_agreement(evidence, found)

        return shown

    def _check_fitting(self, fits: NDArray[np.bool_]) -> None:
        if fits.sum() < self.k:
            raise ConfigError(
                f"selector.k={self.k}, but of {len(fits)} preferences only {int(fits.sum())} have answers that fit "
                f"{self.context_tokens} tokens; lower selector.k or raise selector.context_tokens"
            )
