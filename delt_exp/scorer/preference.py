"""What a proxy model makes of a preference without its label: how unlike its answers are to it, or how unsure it is.

D pairs of a batch, R = 2 D rows, T positions, N of them all in answers, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.pairs import PairBatch, check_answers, fitting
from delt_exp.corpus.tokens import IGNORED
from delt_exp.errors import DataError
from delt_exp.mapping.pairs import map_pairs
from delt_exp.model.cost import FORWARD, PhaseCost, Sizes
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.proxy.base import Proxy, check_before
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool

Measure = Literal["margin", "entropy"]
MEANINGS = {
    "margin": (
        "reward margin",
        "How far apart the two answers of a preference are to the proxy: |difference of their mean token log "
        "probabilities|.",
    ),
    "entropy": ("answer entropy", "How unsure the proxy is of each next token of the two answers of a preference."),
}


@settings
class PreferenceScorer:
    """Scores preferences by a `measure` that does not use the label; `large` says which end is better.

    margin: |r(y1) - r(y2)|, r(y) the mean of log p over the tokens of an answer, the implicit reward of a model without
    a reference (SimPO, arXiv 2405.14734). entropy: of the next token, the mean over the tokens of both
    answers. context_tokens: of prompt and answer; pairs with a longer answer get the worst score that another has.
    """

    VERSION: ClassVar[int] = 1
    proxy: Proxy
    measure: Measure
    large: bool
    context_tokens: Count

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        name, explanation = MEANINGS[self.measure]
        better: Literal["higher", "lower"] = "higher" if self.large else "lower"
        return Meaning(name, "nats/token", better, f"{explanation} {'Large' if self.large else 'Small'} is preferred.")

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; raises DataError where not every document is a preference."""
        check_answers(pool.candidates.tokens)
        check_before(self.proxy, pool.resources, self.context_tokens, "scorer.context_tokens")
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        proxy.check_context(self.context_tokens, "scorer.context_tokens")
        tokens, rows = proxy.tokens(pool.candidates, pool.resources), pool.rows
        check_answers(tokens)
        fits_R = fitting(tokens, self.context_tokens)[rows]
        if not fits_R.any():
            raise DataError(
                f"no preference has answers that fit {self.context_tokens} tokens; raise scorer.context_tokens"
            )
        if not fits_R.all():
            pool.evidence.warn(
                f"{np.count_nonzero(~fits_R)} of {len(rows)} preferences have an answer longer than "
                f"scorer.context_tokens={self.context_tokens} and get the worst score"
            )
        judge = AnswerJudge(proxy.name, proxy.revision, self.context_tokens)
        with pool.evidence.phase("scoring"):
            numbers_R2 = map_pairs(pool.resources, tokens, rows[fits_R], judge, pool.work_dir / "shards", "scoring")
        found = numbers_R2[:, list(MEANINGS).index(self.measure)]
        scores_R = np.full(len(rows), found.min() if self.large else found.max())
        scores_R[fits_R] = found
        return scores_R.astype(np.float32)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of proxy and scoring; a rejected answer is taken to be as long as the chosen."""
        size = self.proxy.size(sizes, resources, self.context_tokens)
        num_tokens = 2 * int(np.minimum(sizes.scored_lengths + 1, self.context_tokens).sum())
        held = size.parameter_bytes + resources.runtime.tokens_per_pass() * size.reading_bytes_per_token
        flops = float(FORWARD) * size.parameters * num_tokens
        return [*self.proxy.forecast(sizes, resources), PhaseCost("scoring", len(sizes.scored_lengths), flops, held)]


@dataclass(frozen=True)
class AnswerJudge:
    """[D, 2] margin and entropy of pairs under the model `name`, as `PreferenceScorer` defines them."""

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    name: str
    revision: str | None
    context_tokens: int

    def open(self, device: str) -> Callable[[PairBatch], NDArray[Any]]:
        import torch

        from delt_exp.model.next_token import label_logits

        network = load_causal_lm(self.name, self.revision).to(device)

        def judgement(pairs: PairBatch) -> NDArray[Any]:
            arrays = {"input_ids": pairs.ids_RT, "labels": pairs.labels_RT}
            batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
            with torch.inference_mode():
                log_p_NV = label_logits(network, batch).float().log_softmax(-1)
                entropy_N = -(log_p_NV.exp() * log_p_NV).sum(-1)
                label_N1 = batch["labels"][batch["labels"] != IGNORED][:, None]
                log_p_N = log_p_NV.gather(1, label_N1)[:, 0]
            return margin_and_entropy(log_p_N.cpu().numpy(), entropy_N.cpu().numpy(), pairs.labels_RT != IGNORED)

        return judgement


def margin_and_entropy(
    log_p_N: NDArray[Any], entropy_N: NDArray[Any], is_answer_RT: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return [D, 2] from log p of each token of the answers and the entropy where it was predicted."""
    count_R, row_N = is_answer_RT.sum(1), is_answer_RT.nonzero()[0]
    log_p_R, entropy_R = (np.bincount(row_N, of_N, len(count_R)) for of_N in (log_p_N, entropy_N))
    reward_R = log_p_R / count_R
    entropy_D = entropy_R.reshape(-1, 2).sum(1) / count_R.reshape(-1, 2).sum(1)
    return np.stack([np.abs(reward_R[::2] - reward_R[1::2]), entropy_D], axis=1)
