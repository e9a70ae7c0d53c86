"""Groups as items of a map. G groups, D places for members, Q for queries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.files import digest
from delt_exp.mapping.items import Advance, document_name, judged, settings_of
from delt_exp.mapping.judge import Numbers
from delt_exp.proxy.base import ProxyModel
from delt_exp.scorer.data_whisperer.cuts import check_written, show_cuts
from delt_exp.scorer.data_whisperer.groups import NOBODY, Groups, Rows
from delt_exp.scorer.data_whisperer.judge import GroupBatch, WhisperJudge
from delt_exp.scorer.data_whisperer.metrics import WRITTEN
from delt_exp.scorer.data_whisperer.survey import check_prompts, frame_tokens, group_tokens, pair_lengths
from delt_exp.store.evidence import Evidence


@dataclass(frozen=True, eq=False)
class GroupItems:
    """Each group is one item: its demonstrations are read once, in front of all its queries.

    sizes_G: about how many tokens of each are read.
    """

    UNIT: ClassVar[str] = "groups"
    corpus: Corpus
    query_corpus: Corpus
    groups: Groups
    sizes_G: NDArray[np.int64]
    judge: WhisperJudge

    @property
    def source(self) -> str:
        groups = self.groups.members_GD, self.groups.queries_GQ
        return digest(self.corpus.digest, self.query_corpus.digest, *groups, settings_of(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        return self.sizes_G

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.asarray(self.corpus.ids[self.groups.members_GD[items, 0]])

    def read(
        self, judgement: Callable[[GroupBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        numbers_GK = np.zeros((items.stop - items.start, self.judge.width), self.judge.dtype)
        for i, group in enumerate(range(items.start, items.stop)):
            batch = self._batch(group)
            numbers_GK[i] = judged(judgement, batch, self._place, self.judge.width)
            advance(1, int(self.sizes_G[group]))
        return numbers_GK

    def _batch(self, group: int) -> GroupBatch:
        (corpus, members), (query_corpus, queries) = self._rows(group)
        return GroupBatch(list(corpus.read(members)), list(query_corpus.read(queries)), group)

    def _place(self, batch: GroupBatch) -> str:
        members, queries = (
            ", ".join(document_name(int(row), corpus.ids) for row in rows) for corpus, rows in self._rows(batch.item)
        )
        return f"demonstrations {members} before queries {queries}"

    def _rows(self, group: int) -> tuple[tuple[Corpus, Rows], tuple[Corpus, Rows]]:
        members, queries = self.groups.members_GD[group], self.groups.queries_GQ[group]
        return (self.corpus, members[members != NOBODY]), (self.query_corpus, queries[queries != NOBODY])


def surveyed(
    evidence: Evidence, model: ProxyModel, judge: WhisperJudge, corpora: tuple[Corpus, Corpus], groups: Groups, *,
    split: bool,
) -> GroupItems:  # fmt: skip
    """Return what is judged; corpora: of the candidates and of the queries. What is cut is left as evidence.

    Raises for documents that are no pairs, for prompts that are too long, and where no answer could be right.
    """
    members, queries = (
        pair_lengths(corpus, rows, model.tokenizer, judge.context_tokens, split=split)
        for corpus, rows in zip(corpora, (groups.members_GD, groups.queries_GQ), strict=True)
    )
    is_written = judge.metric in WRITTEN
    show_cuts(evidence, members, None if is_written else queries)
    if is_written:
        check_written(evidence, queries, judge.metric, judge.max_new_tokens)
    asked_M = queries.question_N + judge.max_new_tokens if is_written else queries.shown_N
    smaller = "scorer.max_new_tokens" if is_written else "scorer.context_tokens"
    frame = frame_tokens(model.tokenizer, judge.instruction)
    check_prompts(model, groups, members.shown_N, asked_M, frame, joint=judge.joint_queries, smaller=smaller)
    return GroupItems(*corpora, groups, group_tokens(groups, members.shown_N, asked_M, frame), judge)
