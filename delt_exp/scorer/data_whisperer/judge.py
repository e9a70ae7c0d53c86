"""What a causal LM makes of a group: attention to its demonstrations, and how well it answers after them.

D demonstrations, Q queries, A answer tokens, V vocabulary, K = Q (D + 1) numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.base import Part
from delt_exp.errors import DataError
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.scorer.data_whisperer.metrics import WRITTEN, Metric, agreement
from delt_exp.scorer.data_whisperer.pairs import Pair, pair_of
from delt_exp.scorer.data_whisperer.prompt import Prompt, make_frame, make_prompt, stop_of, written_answers
from delt_exp.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class GroupBatch:
    """One group: parts of its demonstrations and of its queries, and where it stands among the groups."""

    demonstrations: list[tuple[Part, ...]]
    queries: list[tuple[Part, ...]]
    item: int

    def __len__(self) -> int:
        return 1

    def only(self, group: int) -> "GroupBatch":
        """Return the group itself: there is no other."""
        return self


@dataclass(frozen=True)
class WhisperJudge:
    """[1, K]: attention [Q, D] of each query to each demonstration, and the metric [Q]; 0 where there is none.

    name, revision: of the model; tokenizer_folder: of its tokenizer. layer: whose attention, None for none.
    max_new_tokens: of an answer that is written, whose question and response are whole.
    """

    dtype: ClassVar[str] = "float64"
    name: str
    revision: str | None
    tokenizer_folder: Path
    instruction: str
    num_demonstrations: int
    num_queries: int
    metric: Metric
    layer: int | None
    joint_queries: bool
    context_tokens: int
    max_new_tokens: int

    @property
    def width(self) -> int:
        return self.num_queries * (self.num_demonstrations + 1)

    def unpacked(self, numbers_GK: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return attention [G, Q, D] and metrics [G, Q] of the numbers of groups."""
        table_GQK = numbers_GK.reshape(len(numbers_GK), self.num_queries, self.num_demonstrations + 1)
        return table_GQK[..., :-1], table_GQK[..., -1]

    def open(self, device: str) -> Callable[[GroupBatch], NDArray[Any]]:
        network, tokenizer = load_causal_lm(self.name, self.revision).to(device), Tokenizer(self.tokenizer_folder)
        frame = make_frame(tokenizer)

        def judgement(group: GroupBatch) -> NDArray[Any]:
            demonstrations, queries = (
                [pair_of(parts, tokenizer, self.context_tokens, whole=whole) for parts in documents]
                for documents, whole in ((group.demonstrations, False), (group.queries, self.metric in WRITTEN))
            )
            asked = [queries] if self.joint_queries else [[query] for query in queries]
            prompts = [make_prompt(tokenizer, frame, self.instruction, demonstrations, some) for some in asked]
            if self.metric in WRITTEN:
                prompts = [prompt.asking() for prompt in prompts]
            attention_PD, losses = self._read(network, prompts)
            if not (np.isfinite(attention_PD).all() and np.isfinite(losses).all()):
                raise DataError(
                    f"the loss is {losses}, and the attention {attention_PD.tolist()}; check the judge's weights and "
                    "these documents"
                )
            metrics = np.array(self._metrics(network, tokenizer, prompts, asked, losses))
            table_QK = np.zeros((self.num_queries, self.num_demonstrations + 1))
            table_QK[: len(queries), : len(demonstrations)] = attention_PD
            table_QK[: len(queries), -1] = metrics
            return table_QK.reshape(1, -1)

        return judgement

    def _read(self, network: Any, prompts: Sequence[Prompt]) -> tuple[NDArray[Any], list[float]]:
        """Return the attention [P, D] of each prompt, 0 without a layer, and the mean loss of each response in them."""
        import torch

        from delt_exp.scorer.data_whisperer.attention import captured

        with torch.inference_mode():
            if self.layer is None:
                _, losses = read_prompts(network, prompts) if prompts[0].answers else (0, [])
                return np.zeros((len(prompts), len(prompts[0].demonstrations))), losses
            with captured(network, self.layer) as seen:
                shared, losses = read_prompts(network, prompts)
            return attention_of_prompts(network, self.layer, prompts, seen, shared), losses

    def _metrics(
        self, network: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], asked: Sequence[Sequence[Pair]],
        losses: Sequence[float],
    ) -> list[float]:  # fmt: skip
        if self.metric not in WRITTEN:
            return [-loss if self.metric == "neg_ce" else float(np.exp(-loss)) for loss in losses]
        from delt_exp.model.generate import generate

        count = len(asked[0])
        texts = generate(
            network, tokenizer, [p.ids for p in prompts], max_new_tokens=count * self.max_new_tokens,
            stop=[stop_of(count)],
        )  # fmt: skip
        return [
            agreement(self.metric, answer, query.response)
            for text, queries in zip(texts, asked, strict=True)
            for answer, query in zip(written_answers(text, len(queries)), queries, strict=True)
        ]


def read_prompts(network: Any, prompts: Sequence[Prompt]) -> tuple[int, list[float]]:
    """Return how many tokens of the prompts were read once for all, and the mean loss, in nats, of each answer.

    Only logits that an answer needs are computed.
    """
    import torch

    from delt_exp.model.shared_prefix import common_prefix, read_prefix

    first = min(place for p in prompts for place in (len(p.ids), *(answer.start for answer in p.answers))) - 1
    ids = [prompt.ids for prompt in prompts]
    prefix = read_prefix(network, common_prefix(ids)[:first])
    shared = len(prefix.ids)
    wanted = sorted({i - 1 for prompt in prompts for a in prompt.answers for i in range(a.start, a.stop)})
    place = {position: index for index, position in enumerate(wanted)}
    positions_C = torch.tensor(wanted, dtype=torch.long, device=next(network.parameters()).device) - shared
    logits_PCV = prefix.logits(network, ids, positions_C)
    return shared, [
        _loss(logits_PCV[row, [place[i - 1] for i in range(a.start, a.stop)]], prompt.ids[a])
        for row, prompt in enumerate(prompts)
        for a in prompt.answers
    ]


def attention_of_prompts(
    network: Any, layer: int, prompts: Sequence[Prompt], seen: Sequence[Any], shared: int
) -> NDArray[Any]:
    """Return [P, D]; seen: what the layer saw of the shared tokens, if there are any, and of the rest."""
    import torch

    from delt_exp.scorer.data_whisperer.attention import (
        attention_of,
        attention_rows,
        demonstration_attention,
        joined_seen,
    )

    found = []
    for row, prompt in enumerate(prompts):
        rest = seen[-1].of(row, prompt.block.stop - shared)
        whole = joined_seen([seen[0], rest]) if shared else rest
        rows_HRL = attention_rows(attention_of(network, layer), whole, prompt.block)
        found.append(demonstration_attention(rows_HRL, prompt.demonstrations))
    return np.asarray(torch.stack(found).cpu().numpy())


def _loss(logits_AV: "Tensor", ids: Sequence[int]) -> float:
    import torch

    targets = torch.tensor(ids, device=logits_AV.device)
    return float(torch.nn.functional.cross_entropy(logits_AV.double(), targets))
