"""Values of the documents of a training run, for a target that is known.

Method: Data Value Embedding (arXiv 2412.09538).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import DataError
from delt_exp.model.optimizer import Optimizer
from delt_exp.scorer.dvemb.run import LanguageModelRun, ValuedRun
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.states import RunStates
from delt_exp.scorer.dvemb.steps import steps_of
from delt_exp.scorer.dvemb.sweep import States, ValueSweep
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.sweep import Progress
from delt_exp.scorer.reverse.trajectory import Descent, fits_whole_everywhere


@dataclass(frozen=True)
class Descending:
    """How a run follows its gradients: the optimizer, the learning rate of each update, and clipping (None: none).

    is_fixed: Adam's preconditioner passes for a constant of each update.
    """

    optimizer: Optimizer
    rates: Sequence[float]
    clip_norm: float | None = None
    is_fixed: bool = False

    def states(
        self, run: Descent, model: nn.Module, ranks: Ranks, cure: str, is_whole: bool | None = None
    ) -> RunStates:
        """The states of `run`, which stands at the first; is_whole: keep all, or replay from some; None: what fits."""
        steps = steps_of(self.optimizer, model, is_fixed=self.is_fixed)
        if is_whole is None:
            is_whole = fits_whole_everywhere(run.theta, run.num_steps * (1 + steps.num_buffers), ranks)
        return RunStates(run, self.rates, is_whole, cure, steps, self.clip_norm)


def value_documents(
    model: nn.Module,
    updates: Sequence[Update],
    target: Sequence[Sequence[Sample]],
    descending: Descending,
    settings: ValueSettings,
    *,
    is_whole: bool | None = None,
    ranks: Ranks | None = None,
    state_dir: Path | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Values:
    """Value every occurrence of a document in `updates` by what it does for the loss of each group of `target`.

    The model is left as it came. is_whole: see `Descending.states`. With `ranks`, every process calls this with the
    same arguments and gets the whole result. With `state_dir`, which all processes must see, each finished segment is
    written there, and a repeated call continues after the last one with the same values.
    """
    if not len(updates):
        raise DataError("updates is empty; give at least one")
    empty = next((i for i, group in enumerate(target) if not len(group)), None)
    if not len(target) or empty is not None:
        raise DataError(f"group {empty or 0} of the target is empty; give at least one sample")
    ranks = ranks or SingleProcess()
    run = LanguageModelRun(model, updates, target, settings, ranks)
    states = descending.states(run, model, ranks, settings.cure, is_whole)
    return value_run(run, states, settings, ranks=ranks, state_dir=state_dir, progress=progress)


def value_run(
    run: ValuedRun, states: States, settings: ValueSettings, *, ranks: Ranks | None = None,
    state_dir: Path | None = None, progress: Progress = lambda phase, done, total: None,
) -> Values:  # fmt: skip
    """`value_documents` for anything that has gradients; theta is afterwards what it was."""
    theta_0 = run.theta
    try:
        return ValueSweep(run, settings, states, ranks or SingleProcess(), state_dir, progress).run()
    finally:
        run.theta = theta_0
