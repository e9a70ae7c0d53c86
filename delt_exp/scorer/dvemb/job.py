"""A valuation on several processes, as a stage of the store."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.processes import Spread, run_in_group
from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import ConfigError
from delt_exp.model.isolation import check_isolation
from delt_exp.scorer.dvemb.run import LanguageModelRun
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.update import plan_updates
from delt_exp.scorer.dvemb.value import Descending, value_run
from delt_exp.scorer.dvemb.values import Values
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.scorer.reverse.shown import Shown
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainJob

FILE = "values.safetensors"


@dataclass(frozen=True, eq=False)
class ValueJob:
    """Everything a valuation needs.

    target_groups: rows of `target` that share a gradient, one array for each group. is_fixed: see `Descending`.
    """

    training: TrainJob
    target: Tokens
    target_groups: Sequence[NDArray[np.intp]]
    settings: ValueSettings
    device: str
    is_fixed: bool

    def network(self) -> nn.Module:
        """The network before the first update; raises ConfigError for one with dropout, whose updates are random."""
        training = self.training
        network: nn.Module = training.recipe.make_network(training.tokenizer, training.seed)
        if training.plan.isolates_documents:
            check_isolation(network)
        found = dropout_of(network)
        if found is not None:
            raise ConfigError(
                f"model.network has dropout ({found}), so that its updates are random and have no derivative; data "
                "values need a network without: set its dropout to 0"
            )
        device = torch.device(self.device, torch.cuda.current_device()) if self.device == "cuda" else "cpu"
        return network.to(device).eval()

    def run(self, network: nn.Module, ranks: Ranks) -> LanguageModelRun:
        """The run that is valued, at its beginning."""
        context_tokens = self.training.recipe.context_tokens
        target = [document_samples(self.target, rows, context_tokens) for rows in self.target_groups]
        return LanguageModelRun(network, plan_updates(self.training.plan), target, self.settings, ranks)

    def descending(self) -> Descending:
        """How the run follows its gradients."""
        recipe, num_steps = self.training.recipe, self.training.plan.num_steps
        rates = [recipe.lr(step, num_steps) for step in range(num_steps)]
        return Descending(recipe.optimizer, rates, recipe.clip_norm, self.is_fixed)

    def unloaded(self) -> "ValueJob":
        """The same for another process, which maps tokens by itself."""
        return replace(self, training=self.training.unloaded(), target=Tokens(self.target.folder))


OF_OTHER_HEADS = ("summary_", "classifier_")  # settings of networks that classify, which a language model ignores


def dropout_of(network: nn.Module) -> str | None:
    """Return `name=probability` of the first dropout of a network that is not 0."""
    config = getattr(network, "config", None)
    rates = {} if config is None else {n: v for n, v in config.to_dict().items() if n.endswith(("dropout", "pdrop"))}
    rates = {name: rate for name, rate in rates.items() if not name.startswith(OF_OTHER_HEADS)}
    rates |= {name: m.p for name, m in network.named_modules() if isinstance(m, nn.Dropout)}
    return next((f"{name}={rate:g}" for name, rate in rates.items() if isinstance(rate, float) and rate > 0), None)


def values_stage(
    store: Store, inputs: Mapping[str, Any], job: ValueJob, spread: Spread
) -> tuple[Values, Mapping[str, Any]]:
    """Return the values of `job`, which `inputs` decide, and what computing them took, whenever that was.

    They are the same on any number of processes. A killed valuation continues after its last finished segment.
    """

    def build(folder: Path) -> None:
        run_in_group(_value, job, folder, spread)

    use = store.get("document values", inputs, build, resumable=True)
    return Values.load(use.path / FILE), use.cost


def _value(job: ValueJob, folder: Path, ranks: Ranks | None) -> None:
    ranks, network = ranks or SingleProcess(), job.network()
    run = job.run(network, ranks)
    states = job.descending().states(run, network, ranks, job.settings.cure)
    with Shown(ranks.rank == 0, "valuing") as progress:
        values = value_run(run, states, job.settings, ranks=ranks, state_dir=folder / "state", progress=progress)
    if ranks.rank == 0:
        values.save(folder / FILE)
        shutil.rmtree(folder / "state")
