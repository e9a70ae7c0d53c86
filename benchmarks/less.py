"""Cost of scoring documents by LESS at one checkpoint, of further groups, and of features for targets of later.

CPU seconds (on a CUDA device: seconds) of one thread, of the judgement of one batch as workers call it, against a plain
forward and backward pass of the same adapted model, alternating. Moments of Adam are there; Gamma is Adam's next step.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.features import adam_step, compare, directions, lora
from benchmarks.lqs import CUDA, DEVICE, FULL, IS_CUDA, QUICK, Sizes, draw_ids, plain_pass
from benchmarks.table import Row
from delt_exp.corpus.windows import WindowBatch
from delt_exp.model.optimizer import AdamW
from delt_exp.scorer.influence.directions import save_directions
from delt_exp.scorer.influence.gamma import Form, Gamma
from delt_exp.scorer.influence.judge import InfluenceJudge

NUM_GROUPS = 9
NUM_FEATURES = 8192
ADAM = AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)


def judgement(
    model: Any, direction_SP: Tensor, folder: Path, num_features: int = 0, form: Form = "adam"
) -> Callable[[WindowBatch], Any]:  # fmt: skip
    """The judgement of windows by these directions, opened."""
    moments = adam_step(model).moments
    checkpoint: Any = SimpleNamespace(step=100, network=lambda: model, moments=lambda: moments)
    num_groups = len(direction_SP)
    path = folder / f"{num_groups}.safetensors"
    content, gamma = save_directions(direction_SP, path), Gamma.of(form, True, ADAM)
    judge = InfluenceJudge(checkpoint, gamma, path, content, num_groups, num_features, 0, 1024, "fp32")
    return judge.open(str(DEVICE))


def windows(ids_BT: Tensor) -> WindowBatch:
    """The batch as workers get it."""
    ids = ids_BT.cpu().numpy().astype(np.int64)
    lengths = np.full(len(ids), ids.shape[1] - 1)
    return WindowBatch(ids[:, :-1].copy(), ids[:, 1:].copy(), lengths, np.arange(len(ids)))


def compare_passes(sizes: Sizes, folder: Path) -> list[Row]:
    """Each pass against the plainer one."""
    ids_BT, model = draw_ids(sizes, sizes.micro_batch, 3), lora(sizes)
    batch, plain = windows(ids_BT), partial(plain_pass, model, ids_BT)
    one, several = (partial(judgement(model, directions(model, n), folder), batch) for n in (1, NUM_GROUPS))
    keeping = partial(judgement(model, directions(model, 1), folder, NUM_FEATURES), batch)
    passes = [
        ("LESS, known target, one checkpoint, LoRA r 8", "forward + backward", one, plain, 1.1),
        (f"the same, {NUM_GROUPS} groups", "one group", several, one, 1.05),
        (f"the same, {NUM_FEATURES:,} features kept", "forward + backward", keeping, plain, None),
    ]
    return [compare(*each, sizes.repeats) for each in passes]


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else CUDA if IS_CUDA else FULL
    with TemporaryDirectory() as folder:
        return compare_passes(sizes, Path(folder))
