"""What a pair is worth in context. N candidates, R of them to score, G groups, Q queries and D members of a group."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeInt, Seed, settings
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.mapping.map_documents import map_items
from delt_exp.model.cost import PhaseCost, Sizes, forward_cost
from delt_exp.pretrained.loading import load_config
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool
from delt_exp.scorer.data_whisperer.evidence import show
from delt_exp.scorer.data_whisperer.groups import Groups, folds, joined_groups, make_groups
from delt_exp.scorer.data_whisperer.items import surveyed
from delt_exp.scorer.data_whisperer.judge import WhisperJudge
from delt_exp.scorer.data_whisperer.metrics import WRITTEN, Metric, check_package
from delt_exp.scorer.data_whisperer.weighting import Weighting, candidate_scores, shares

CHARS_PER_TOKEN = 4  # of English, for a forecast
UNITS = {"neg_ce": "nats/token", "prob": "probability", "exact": "share", "rouge_l": "F"}


@settings
class DataWhispererScorer:
    """Scores a pair by how well `judge` answers queries after it, shared out by attention (arXiv 2505.12212).

    Plain documents are cut into halves, unless `split` is false. In each of `passes` all candidates are grouped anew,
    `num_demonstrations` to a prompt, in front of `num_queries` queries: of the target set, or with `queries: corpus` of
    the half of the candidates to which the group does not belong. Each query has a prompt of its own, or all share one
    with `joint_queries`. metric: neg_ce, the negative mean loss of the response; prob, exp of that; exact and rouge_l,
    of what the judge writes. weighting: `attention` of layer `layer` (null: at 0.4 of the depth); `position`, that
    relative to its mean at the same position; `uniform`. context_tokens: of a pair. max_new_tokens: of an answer that
    the judge writes; its question and response are whole. instruction: in front of the demonstrations.
    """

    VERSION: ClassVar[int] = 2
    judge: Proxy
    queries: Literal["target", "corpus"]
    num_demonstrations: Count
    num_queries: Count
    passes: Count
    metric: Metric
    weighting: Weighting
    layer: NonNegativeInt | None
    joint_queries: bool
    instruction: str
    split: bool
    context_tokens: Count
    max_new_tokens: Count
    seed: Seed

    def __post_init__(self) -> None:
        if self.metric == "neg_ce" and self.weighting != "uniform":
            raise ConfigError(
                f"scorer.metric=neg_ce is negative, so that a larger weight (scorer.weighting={self.weighting}) would "
                "lower the score; use scorer.metric=prob, or scorer.weighting=uniform"
            )

    @property
    def needs(self) -> frozenset[str]:
        return self.judge.needs | {"tokens"} | ({"target"} if self.queries == "target" else set())

    @property
    def meaning(self) -> Meaning:
        name = "data whisperer" if self.metric in WRITTEN else "data whisperer (teacher-forced)"
        explanation = "How well a language model answers after prompts that hold the document as a demonstration."
        return Meaning(name, UNITS[self.metric], "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; a killed call continues shard by shard."""
        candidates, asked = pool.candidates, self._query_corpus(pool)
        check_package(self.metric)
        groups = self._groups(pool)
        with pool.evidence.phase("warm start"):
            model = self.judge.prepare(pool.resources, candidates, pool.target)
        judge = self._judge(model)
        corpora = candidates.corpus, asked.corpus
        items = surveyed(pool.evidence, model, judge, corpora, groups, split=self.split)
        with pool.evidence.phase("prompting"):
            numbers_GK = map_items(pool.resources, items, pool.work_dir / "shards", "prompting", None)
        attention_GQD, metrics_GQ = judge.unpacked(numbers_GK)
        shares_GQD = shares(attention_GQD, groups.members_GD, self.weighting)
        scores_N = candidate_scores(shares_GQD, metrics_GQ, groups.members_GD, groups.queries_GQ, len(candidates))
        if self.weighting == "attention" and self.passes % self.num_demonstrations:
            pool.evidence.warn(
                f"scorer.passes={self.passes} is no multiple of scorer.num_demonstrations={self.num_demonstrations}: "
                "documents differ in the positions they had, which decide most of the weight; use "
                f"scorer.passes={self.num_demonstrations}, or scorer.weighting=position"
            )
        show(pool.evidence, shares_GQD, metrics_GQ, groups, self.metric)
        return scores_N[pool.rows].astype(np.float32)

    def _query_corpus(self, pool: Pool) -> TokenizedCorpus:
        """Return whom queries are drawn from; raises ConfigError where there are too few."""
        if len(pool.candidates) < 2:
            raise ConfigError(
                f"{len(pool.candidates)} document is too few for scorer=data_whisperer: at least 2 are compared"
            )
        if self.queries == "corpus":
            found, count, source = pool.candidates, len(pool.candidates) // 2, "half of the documents"
        else:
            if pool.target is None:
                raise ConfigError(
                    "scorer.queries=target needs a target_dataset; give one, or use scorer.queries=corpus"
                )
            found, count, source = pool.target, len(pool.target), "target set"
        if self.num_queries > count:
            cure = f"use scorer.num_queries={count}" if count else "give a target set with documents"
            raise ConfigError(f"scorer.num_queries={self.num_queries}, but the {source} has {count}; {cure}")
        return found

    def _groups(self, pool: Pool) -> Groups:
        """Return the groups that the documents to score are in; the mean of each position needs all groups."""
        ids = pool.candidates.corpus.ids
        settings = self.num_demonstrations, self.num_queries, self.passes, self.seed
        if self.queries == "target":
            assert pool.target is not None
            target_ids = pool.target.corpus.ids
            groups = make_groups(ids, np.arange(len(ids)), target_ids, np.arange(len(target_ids)), *settings)
        else:
            one, other = folds(ids, self.seed)
            groups = joined_groups([
                make_groups(ids, one, ids, other, *settings, fold=0),
                make_groups(ids, other, ids, one, *settings, fold=1),
            ])  # fmt: skip
        return groups if self.weighting == "position" else groups.of(pool.rows)

    def _judge(self, model: ProxyModel) -> WhisperJudge:
        layer = None
        if self.weighting != "uniform":
            from delt_exp.scorer.data_whisperer.attention import chosen_layer

            layer = chosen_layer(self.layer, load_config(model.name, model.revision))
        return WhisperJudge(
            model.name, model.revision, model.tokenizer.folder, self.instruction.strip(), self.num_demonstrations,
            self.num_queries, self.metric, layer, self.joint_queries, self.context_tokens, self.max_new_tokens,
        )  # fmt: skip

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the judge and of all passes; queries are taken to be as long as the documents, and all
        that may be written to be written."""
        size = self.judge.size(sizes, resources, self.num_demonstrations * self.context_tokens)
        lengths_N = np.minimum(sizes.scored_lengths, self.context_tokens)
        num_groups = self.passes * -(-len(lengths_N) // self.num_demonstrations)
        asked = int(num_groups * self.num_queries * lengths_N.mean())
        tokens = self.passes * int(lengths_N.sum()) + num_groups * len(self.instruction) // CHARS_PER_TOKEN + asked
        num_prompts = num_groups * (1 if self.joint_queries else self.num_queries)
        if self.metric in WRITTEN:  # prompts are read again before the judge writes, and none is shared
            repeated = 1 if self.joint_queries else self.num_queries
            tokens += repeated * self.passes * int(lengths_N.sum()) + asked
            tokens += num_groups * self.num_queries * self.max_new_tokens
        per_pass = resources.runtime.tokens_per_pass()
        return [
            *self.judge.forecast(sizes, resources),
            forward_cost("prompting", size, num_prompts, tokens, per_pass),
        ]
