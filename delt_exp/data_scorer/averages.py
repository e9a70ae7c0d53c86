"""Numbers of whole documents from passes over their windows. W windows, D documents."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import buckets, windows_of
from delt_exp.runtime import Runtime


def average_over_positions(
    sums: Callable[[Tensor, Tensor], Tensor], tokens: Tokens, rows: NDArray[np.intp], context_tokens: int,
    precision: str, runtime: Runtime, advance: Callable[[int], None],
) -> NDArray[np.float64]:  # fmt: skip
    """Return [D, ...]: what `sums` gives for all windows of a document, added up and divided by its positions.

    sums: (ids_WT, lengths_W) -> sums over the positions of each window [W, ...]. Batches hold at most
    `runtime.tokens_per_pass()` padded tokens, and what a document shares one with changes nothing but rounding.
    """
    device, windows = torch.device(runtime.torch_device()), windows_of(tokens, rows, context_tokens)
    parts, documents = [], []
    in_bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")
    with torch.inference_mode(), in_bf16:
        for chosen in buckets(windows.lengths_W, context_tokens, runtime.tokens_per_pass()):
            batch = windows.batch(chosen)
            parts.append(sums(batch.ids_WT.to(device), batch.lengths_W.to(device)).double().cpu().numpy())
            documents.append(windows.document_W[chosen])
            advance(int(np.count_nonzero(windows.starts_W[chosen] == 0)))
    total = np.zeros((len(rows), *parts[0].shape[1:]))
    np.add.at(total, np.concatenate(documents), np.concatenate(parts))
    return np.asarray((total.T / windows.totals_D).T)
