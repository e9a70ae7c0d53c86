"""The base of scorers that judge documents by the first-order influence of a step on them, along a warm-up run.

R documents, S groups of shots, C checkpoints, P trainable parameters, K features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, Several, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing
from delt_exp.errors import ConfigError, DataError
from delt_exp.gradients.precision import Precision
from delt_exp.model.cost import FORWARD_BACKWARD, PhaseCost, Sizes, sketch_bytes
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.proxy.base import Proxy, ProxyModel, ReadsAsTheRun, known_limit
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import target_rows
from delt_exp.scorer.base import Pool
from delt_exp.scorer.influence.evidence import Findings, show_influence
from delt_exp.scorer.influence.gamma import Form, Gamma
from delt_exp.scorer.influence.judge import READS
from delt_exp.scorer.influence.passes import Passes
from delt_exp.scorer.influence.warm_up import FROZEN, WarmUp

if TYPE_CHECKING:
    from delt_exp.scorer.influence.directions import Shots

LOWEST = -1.0  # the score of a document without a label where scorer.on_empty=lowest: that of the worst cosine


@settings
class InfluenceScorer(ABC):
    """score(d) = max over groups of the sum over checkpoints of weight x mean over shots of cos(shot, Gamma(d)).

    proxy: the model that the warm-up run starts from. gamma: the step that is compared, `adam`, `official` or `sgd`;
    momentum: false leaves out what it has of momentum alone. groups: `source` makes one of each source of the target,
    `one` a single one. num_target: random target documents, null for all. context_tokens: how much of a document its
    gradient sees. precision: of the forward passes that gradients are taken of. on_empty: `error`, or `lowest` for a
    score of -1, where a document has nothing to predict. save_features: keep `num_features` numbers of each document
    and checkpoint, for later targets.
    """

    proxy: Proxy
    warm_up: WarmUp
    gamma: Form
    momentum: bool
    groups: Literal["source", "one"]
    num_target: Count | None
    context_tokens: Count
    precision: Precision
    on_empty: Literal["error", "lowest"]
    save_features: bool
    num_features: Several
    seed: Seed

    def __post_init__(self) -> None:
        self._gamma()  # raises for Adam's step without Adam

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"target", "tokens"}

    @property
    @abstractmethod
    def meaning(self) -> Meaning: ...

    @property
    def longest_tokens(self) -> int:
        """How long a sequence the proxy is to read."""
        return self.context_tokens

    @abstractmethod
    def shots(self, pool: Pool, target: Tokens, model: Callable[[], ProxyModel]) -> "Shots":
        """Return what stands for the target; target: its tokens, as the proxy reads them. model: makes the proxy."""

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; a killed call continues shard by shard."""
        passes, shots = self._begin(pool)
        return self._finish(passes, shots, passes.exact(shots, keep_features=self.save_features))

    def rescore(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R] estimated from stored features, without a pass over the corpus.

        The error of each cosine is about 1 / sqrt(num_features). Raises ConfigError where nothing is stored.
        """
        passes, shots = self._begin(pool)
        return self._finish(passes, shots, passes.estimated(shots))

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of proxy, warm-up, target and scoring; a shot counts with all the tokens it may have."""
        size, per_pass = self.proxy.size(sizes, resources, self.longest_tokens), resources.runtime.tokens_per_pass()
        num_shots, num_documents = self.num_target or sizes.num_target, len(sizes.scored_lengths)
        lengths = Windowing(READS, self.context_tokens).sizes(sizes.scored_lengths)
        scored_tokens, per_batch = int(lengths.sum()), min(num_documents, int(per_pass / lengths.mean()))
        # With adapters no gradient of a weight is needed, and elsewhere products of samples take its place.
        per_token = float(FROZEN if self.warm_up.adapters else FORWARD_BACKWARD) * size.parameters
        vectors = 1 if self.warm_up.adapters else 4  # parameters, moments and a direction
        held = vectors * size.parameter_bytes + per_pass * size.activation_bytes_per_token
        sketches = sketch_bytes(per_batch, self.num_features) if self.save_features else 0
        epochs, shot_flops = self.warm_up.epochs, per_token * self.shot_tokens * num_shots
        return [
            *self.proxy.forecast(sizes, resources),
            self.warm_up.forecast(sizes, size, resources.trainer.micro_batch_items),
            PhaseCost("target", epochs * num_shots, epochs * shot_flops, held),
            PhaseCost("scoring", epochs * num_documents, epochs * per_token * scored_tokens, held + sketches),
        ]

    @property
    def shot_tokens(self) -> int:
        """Most tokens of a shot that are read at each checkpoint: for its norm, and into the sum of its group."""
        return 2 * self.context_tokens

    def _gamma(self) -> Gamma:
        return Gamma.of(self.gamma, self.momentum, self.warm_up.optimizer)

    def _check_longest(self, limit: int | None) -> None:
        if limit is not None and self.longest_tokens > limit:
            raise ConfigError(
                f"scorer reads up to {self.longest_tokens} tokens at once, but the proxy has {limit} positions; lower "
                "scorer.context_tokens, or use a proxy with more"
            )

    def _begin(self, pool: Pool) -> tuple[Passes, "Shots"]:
        if pool.target is None:
            raise ConfigError(f"{type(self).__name__} needs a target set; choose target_dataset=...")
        self._target_rows(pool.target.tokens)  # refuses a wrong number before the proxy is trained
        self._check_longest(known_limit(self.proxy, pool.resources))
        model = cache(partial(self._model, pool))
        # All that can be refused is, before the proxy is trained if it reads the tokens of the run.
        if isinstance(self.proxy, ReadsAsTheRun):
            candidates, target, tokenizer = pool.candidates.tokens, pool.target.tokens, pool.resources.run_tokenizer
            self.warm_up.check(self.proxy.network, tokenizer, candidates)
        else:
            candidates = model().tokens(pool.candidates, pool.resources, may_be_empty=self.on_empty == "lowest")
            target = model().tokens(pool.target, pool.resources)
            self.warm_up.check(PretrainedNetwork(model().name, model().revision), model().tokenizer, candidates)
        is_readable_R = self._readable(candidates, pool.rows)
        shots = self.shots(pool, target, model)
        proxy = model()
        with pool.evidence.phase("warm-up"):
            states = self.warm_up.states(pool.resources, proxy, candidates)
        settings = self._gamma(), self.context_tokens, self.precision, self.num_features, self.seed
        return Passes(pool, candidates, pool.rows, is_readable_R, states, *settings), shots

    def _model(self, pool: Pool) -> ProxyModel:
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        self._check_longest(proxy.position_limit)
        return proxy

    def _finish(self, passes: Passes, shots: "Shots", cosine_CRS: NDArray[Any]) -> NDArray[np.float32]:
        per_group_RS = np.full((len(passes.rows), len(shots.groups)), LOWEST)
        per_group_RS[passes.is_readable_R] = combined([state.weight for state in passes.states], cosine_CRS)
        sizes = {name: len(members) for name, members in shots.groups.items()}
        show_influence(passes, Findings(sizes, per_group_RS, cosine_CRS))
        return per_group_RS.max(1).astype(np.float32)

    def _readable(self, tokens: Tokens, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return [R] which documents have a label; raises DataError with those without, unless they get the lowest."""
        has_label_R = np.asarray(tokens.num_predicted[rows] > 0)
        if self.on_empty == "error" and not has_label_R.all():
            raise DataError(
                f"{named(tokens, rows[~has_label_R])} nothing to predict, so no gradient; leave such documents out, or "
                "use scorer.on_empty=lowest to give them the lowest score"
            )
        return has_label_R

    def _target_rows(self, target: Tokens) -> NDArray[np.intp]:
        """Return the target documents that are looked at, in order."""
        count, key = self.num_target, "scorer.num_target"
        return target_rows(target.ids, count, self.seed, "target documents of the influence", key)


def combined(weights_C: Sequence[float], cosine_CRS: NDArray[Any]) -> NDArray[np.float64]:
    """Return [R, S] the scores of each group from the mean cosines with its shots: the sum over weighted checkpoints.

    The published order, checkpoints before shots, gives the same: both are sums.
    """
    return np.einsum("c,crs->rs", np.asarray(weights_C), cosine_CRS.astype(np.float64))


def named(tokens: Tokens, rows: NDArray[np.intp]) -> str:
    """Return the first few of these documents with their ids, as the beginning of a sentence about what they have."""
    first = ", ".join(f"{row} (id {int(tokens.ids[row]):016x})" for row in rows[:3])
    rest = f" and {len(rows) - 3} others" if len(rows) > 3 else ""
    return f"document {first} has" if len(rows) == 1 else f"documents {first}{rest} have"
