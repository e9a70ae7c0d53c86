"""Linear layers that bring documents near the prototypes of their classes.

N documents, B of a batch, C classes, D numbers of a vector.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from delt_exp.progress import track
from delt_exp.rows.draws import shuffled_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

TEMPERATURE = 0.07  # that CLIP begins with; cosines as logits would saturate at a loss near ln C
BATCH_DOCUMENTS = 256
BLOCK_DOCUMENTS = 4096


def adapted(
    vectors_ND: NDArray[np.float32], class_N: NDArray[np.intp], prototypes_CD: NDArray[np.float64],
    ids: NDArray[np.uint64], epochs: int, learning_rate: float, seed: int, device: str,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:  # fmt: skip
    """Return documents and prototypes, each after a linear layer of its own that Adam has trained for this task.

    The loss is the cross-entropy of the class of a document, whose logits are its cosines with all prototypes over a
    temperature. Layers begin as the identity. Pairs of a document and its prototype as in CLIP (InfoNCE) would take
    the many others of the same class in a batch for wrong ones.
    """
    import torch

    given_CD = torch.from_numpy(prototypes_CD.astype(np.float32)).to(device)
    layers = [_identity(vectors_ND.shape[1]).to(device) for _ in range(2)]
    optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], learning_rate)
    with track("adapting", epochs * len(class_N), "documents") as task:
        for epoch in range(epochs):
            order = shuffled_rows(ids, seed, "documents of an adapter", epoch)
            for start in range(0, len(order), BATCH_DOCUMENTS):
                rows_B = order[start : start + BATCH_DOCUMENTS]
                batch_BD = torch.from_numpy(np.asarray(vectors_ND[rows_B])).to(device)
                loss = torch.nn.functional.cross_entropy(
                    _cosines(layers[0](batch_BD), layers[1](given_CD)) / TEMPERATURE,
                    torch.from_numpy(class_N[rows_B]).to(device),
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                task.advance(len(rows_B))
    with torch.inference_mode():
        documents_ND = np.concatenate([
            layers[0](torch.from_numpy(np.array(vectors_ND[start : start + BLOCK_DOCUMENTS])).to(device)).cpu().numpy()
            for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS)
        ])  # fmt: skip
        return documents_ND, layers[1](given_CD).cpu().numpy().astype(np.float64)


def _identity(width: int) -> "nn.Linear":
    from torch import nn

    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _cosines(documents_BD: "Tensor", prototypes_CD: "Tensor") -> "Tensor":
    from torch.nn.functional import normalize

    return normalize(documents_BD, dim=-1) @ normalize(prototypes_CD, dim=-1).T
