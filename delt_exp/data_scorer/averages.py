"""Averages over the positions of whole documents, from passes over their windows. W windows, D documents, K numbers."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import WindowBatch, Windowing, sum_over_windows, windows_of
from delt_exp.runtime import Runtime

Sums = Callable[[Tensor, Tensor], Tensor]
"""(ids_WT, lengths_W) -> sums over the positions of each window, [W] or [W, K]."""


def judgement_of(sums: Sums, precision: str, device: str) -> Callable[[WindowBatch], NDArray[np.float64]]:
    """Return `sums` as the function of a batch that `map_documents` asks for; precision: of Lightning."""

    def judgement(batch: WindowBatch) -> NDArray[np.float64]:
        in_bf16 = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16-mixed")
        with torch.inference_mode(), in_bf16:
            ids_WT, lengths_W = (torch.from_numpy(array).to(device) for array in (batch.ids_WT, batch.lengths_W))
            return np.asarray(sums(ids_WT, lengths_W).double().cpu().numpy())

    return judgement


def average_over_positions(
    sums: Sums, tokens: Tokens, rows: NDArray[np.intp], context_tokens: int, precision: str,
    runtime: Runtime, advance: Callable[[int], None] = lambda documents: None,
) -> NDArray[np.float64]:  # fmt: skip
    """Return [D, K]: what `sums` gives for all windows of a document, added up and divided by its positions.

    Batches hold at most `runtime.tokens_per_pass()` padded tokens, and what a document shares one with changes nothing
    but rounding. advance: told how many documents were begun.
    """
    windows = windows_of(tokens, rows, Windowing("all", context_tokens))
    judgement = judgement_of(sums, precision, runtime.torch_device())
    total_DK = sum_over_windows(
        judgement, windows, context_tokens, runtime.tokens_per_pass(),
        lambda documents, positions: advance(documents),
    )  # fmt: skip
    return np.asarray(total_DK / windows.totals_D[:, None])
