"""Cost of valuing the documents of a training run for a known target against that training run.

CPU seconds (on a CUDA device: seconds) of one thread. Theirs is the run itself: the gradient and the update of every
step, by the code that the valuation uses for its own forward run. Ours is the whole valuation: forward run, target, and
for each update products with all documents and a product with the curvature. Sequences are packed, three documents in
each on average.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.lqs import CUDA, FULL, IS_CUDA, QUICK, Sizes, draw_ids, make_model, seconds
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.distributed.ranks import SingleProcess
from delt_exp.model.optimizer import SGD, AdamW, Optimizer
from delt_exp.scorer.dvemb.run import LanguageModelRun
from delt_exp.scorer.dvemb.settings import Curvature, ValueSettings
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.dvemb.value import Descending, value_documents
from delt_exp.scorer.reverse.samples import Sample, next_token_sample

DOCUMENTS_PER_SEQUENCE, NUM_PAIRS = 3, 3
LAPTOP = replace(FULL, steps=8, accumulation=1)
PLAIN = SGD(lr=0.01, momentum=0.0, weight_decay=0.0)
ADAM = AdamW(lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def updates(sizes: Sizes) -> list[Update]:
    """Updates on packed sequences, each of equal documents one after the other."""
    batch = sizes.micro_batch * sizes.accumulation
    ids = draw_ids(sizes, batch * sizes.steps, 1).cpu()
    occurrence_T = torch.arange(sizes.length) * DOCUMENTS_PER_SEQUENCE // sizes.length
    made = []
    for first in range(0, len(ids), batch):
        samples = [next_token_sample(row.tolist()) for row in ids[first : first + batch]]
        occurrences = [occurrence_T + DOCUMENTS_PER_SEQUENCE * place for place in range(batch)]
        weights_B = torch.full((batch,), 1 / batch, dtype=torch.float64)
        made.append(Update(samples, weights_B, occurrences, np.arange(batch * DOCUMENTS_PER_SEQUENCE)))
    return made


def target(sizes: Sizes) -> list[Sample]:
    """A sequence for every eight that are trained on."""
    count = max(1, sizes.micro_batch * sizes.accumulation * sizes.steps // 8)
    return [next_token_sample(row.tolist()) for row in draw_ids(sizes, count, 2).cpu()]


def sides(sizes: Sizes, optimizer: Optimizer, curvature: Curvature, *, is_whole: bool) -> list[Callable[[], float]]:
    """Seconds of the valuation and of the training run."""
    model, made, wanted = make_model(sizes, "sdpa"), updates(sizes), [target(sizes)]
    settings = ValueSettings(curvature, "", sizes.micro_batch, max(1, sizes.micro_batch // 4), "fp32")
    descending = Descending(optimizer, [optimizer.lr] * sizes.steps, 1.0)

    def train() -> None:
        run = LanguageModelRun(model, made, wanted, settings, SingleProcess())
        begin = run.theta
        descending.states(run, model, SingleProcess(), "", is_whole=False).run_forward(sizes.steps, lambda *_: None)
        run.theta = begin

    value = partial(value_documents, model, made, wanted, descending, settings, is_whole=is_whole)
    return [lambda: seconds(value)[0], lambda: seconds(train)[0]]


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else CUDA if IS_CUDA else LAPTOP
    cases: list[tuple[str, Optimizer, Curvature, bool]] = [
        ("data values, exact Hessian, SGD", PLAIN, "hessian", True),
        ("the same, states replayed", PLAIN, "hessian", False),
        ("the same, AdamW", ADAM, "hessian", True),
        ("data values, Gauss-Newton", PLAIN, "gauss_newton", True),
        ("data values, Fisher", PLAIN, "fisher", True),
        ("data values, no curvature", PLAIN, "none", True),
    ]
    rows = []
    for what, optimizer, curvature, is_whole in cases:
        ours, theirs = alternate(NUM_PAIRS, *sides(sizes, optimizer, curvature, is_whole=is_whole))
        detail = f"{sizes.steps} updates, {spread(ours, theirs)}"
        rows.append(Row(what, "the training that is valued", median_ratio(ours, theirs), "x", detail, below=6.0))
    return rows
