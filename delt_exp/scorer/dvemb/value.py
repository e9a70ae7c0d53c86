"""Values of the documents of a short run, for a target that is known.

Method: Data Value Embedding (arXiv 2412.09538).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import DataError
from delt_exp.scorer.dvemb.run import LanguageModelRun, ValuedRun
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.short_states import ShortStates
from delt_exp.scorer.dvemb.sweep import States, ValueSweep
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.sweep import Progress
from delt_exp.scorer.reverse.trajectory import fits_whole_everywhere

OpenStates = Callable[[ValuedRun, Ranks], States]


def short_states(rates: Sequence[float], cure: str, is_whole: bool | None = None) -> OpenStates:
    """The states of a run with these learning rates.

    is_whole: whether to keep all of them, or to replay them from some; None keeps what the memory allows.
    """

    def open_states(run: ValuedRun, ranks: Ranks) -> States:
        fits = fits_whole_everywhere(run.theta, run.num_steps, ranks) if is_whole is None else is_whole
        return ShortStates(run, rates, fits, cure)

    return open_states


def value_documents(
    model: nn.Module,
    updates: Sequence[Update],
    target: Sequence[Sequence[Sample]],
    open_states: OpenStates,
    settings: ValueSettings,
    *,
    ranks: Ranks | None = None,
    state_dir: Path | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Values:
    """Value every occurrence of a document in `updates` by what it does for the loss of each group of `target`.

    The model is left as it came. With `ranks`, every process calls this with the same arguments and gets the whole
    result. With `state_dir`, which all processes must see, each finished segment is written there, and a repeated call
    continues after the last one with the same values.
    """
    if not len(updates):
        raise DataError("updates is empty; give at least one")
    empty = next((i for i, group in enumerate(target) if not len(group)), None)
    if not len(target) or empty is not None:
        raise DataError(f"group {empty or 0} of the target is empty; give at least one sample")
    ranks = ranks or SingleProcess()
    run = LanguageModelRun(model, updates, target, settings, ranks)
    return value_run(run, open_states(run, ranks), settings, ranks=ranks, state_dir=state_dir, progress=progress)


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
