"""Influence of documents by their gradients, beside dattri's TracIn on the same model, documents and dimension.

CPU seconds of one thread, alternating: cosines of plain gradients of the adapters of one checkpoint with one target
document, as they are and from projections to 8,192 numbers. Needs dattri, which asks for no version of torch:
`pip install --no-deps dattri`. Without it there are no rows.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.features import batch_of, lora
from benchmarks.less import NUM_FEATURES, judgement, windows
from benchmarks.lqs import FULL, QUICK, Sizes, draw_ids, seconds
from benchmarks.table import Row, alternate, median_ratio
from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.projection import Projection
from delt_exp.model.objective import CrossEntropy

Cosines = Callable[[], Tensor]
NUM_PAIRS = 3


def ours(model: Any, ids_NT: Tensor, target_1T: Tensor, sizes: Sizes, num_features: int, folder: Path) -> Tensor:
    """Return cosines [N] of documents with the target, of gradients or of their features."""
    if num_features:
        projection = Projection(num_features, 0)
        parts = [*ids_NT.split(sizes.micro_batch), target_1T]
        found = [per_sample_features(model, batch_of(part), CrossEntropy(), projection) for part in parts]
        return cosine_similarity(torch.cat(found[:-1]), found[-1])
    loss = CrossEntropy().losses(model, batch_of(target_1T)).sum()
    target_P = flatten(torch.autograd.grad(loss, list(trainable_parameters(model).values())))
    judged = judgement(model, (target_P / target_P.norm())[None], folder, form="sgd")
    numbers_N2 = np.concatenate([judged(windows(part)) for part in ids_NT.split(sizes.micro_batch)])  # cosine, norm
    return torch.from_numpy(numbers_N2[:, 0])


def theirs(model: Any, ids_NT: Tensor, target_1T: Tensor, projector: dict[str, Any] | None) -> Tensor:
    """Return the same by dattri, all documents in one batch: it takes the target's gradient anew for each batch."""
    from dattri.algorithm.tracin import TracInAttributor  # type: ignore[import-not-found]
    from dattri.task import AttributionTask  # type: ignore[import-not-found]

    def loss(parameters: dict[str, Tensor], data: tuple[Tensor]) -> Tensor:
        ids_T = data[0]
        logits_TV = torch.func.functional_call(model, parameters, (ids_T[None, :-1],)).logits[0]
        return torch.nn.functional.cross_entropy(logits_TV, ids_T[1:])

    task = AttributionTask(loss, model, [model.state_dict()])
    names = list(trainable_parameters(model))
    attributor = TracInAttributor(task, torch.ones(1), True, projector, names)
    if projector is None:
        attributor.projector_kwargs = None  # its own default projects to 512
    loaders = [DataLoader(TensorDataset(ids), batch_size=len(ids)) for ids in (ids_NT, target_1T)]
    found: Tensor = attributor.attribute(*loaders)
    return found[:, 0]


def compare(what: str, own: Cosines, other: Cosines, exact_N: Tensor, num_tokens: int, repeats: int) -> Row:
    """The ratio of times, with tokens per second and errors of both."""
    times = alternate(repeats, lambda: seconds(own)[0], lambda: seconds(other)[0])
    errors = [float((one().double() - exact_N).abs().max()) for one in (own, other)]
    rates = [num_tokens / float(np.median(side)) for side in times]
    detail = f"{rates[0]:,.0f} and {rates[1]:,.0f} tokens/s; cosines off by {errors[0]:.1g} and {errors[1]:.1g} at most"
    return Row(what, "dattri's TracIn", median_ratio(*times), "x time", detail)


def measure(quick: bool) -> list[Row]:
    """Return the rows, none without dattri."""
    if find_spec("dattri") is None:
        print("dattri is not installed (pip install --no-deps dattri): no rows", file=sys.stderr)
        return []
    torch.set_num_threads(1)
    sizes = QUICK if quick else FULL
    model, num_documents = lora(sizes), sizes.documents // 2
    ids_NT = draw_ids(sizes, num_documents + 1, 3)
    ids_NT, target_1T = ids_NT[:-1], ids_NT[-1:]
    with TemporaryDirectory() as folder:
        own = partial(ours, model, ids_NT, target_1T, sizes, folder=Path(folder))
        other = partial(theirs, model, ids_NT, target_1T)
        exact_N, num_tokens = own(0).double(), ids_NT[:, 1:].numel()
        projector = {"proj_dim": NUM_FEATURES, "proj_max_batch_size": 32, "proj_seed": 0, "proj_type": "normal"}
        pairs = [
            ("cosines of gradients, LoRA r 8", partial(own, 0), partial(other, None)),
            # On a CPU its dense projections are all that keeps every gradient in view.
            (f"cosines of {NUM_FEATURES:,} features", partial(own, NUM_FEATURES), partial(other, projector)),
        ]
        return [compare(*pair, exact_N, num_tokens, NUM_PAIRS) for pair in pairs]
