"""Embeddings of a run as a stage: sketches are taken while the run goes forward, and become embeddings at its end.

A folder holds `embeddings.npy` [N, K] float32, their corpus rows in `rows.npy` [N], the parameters at the end of the
run in `final.safetensors`, and `about.json` with what they were made of and by which law.
Shapes: N occurrences of a run, B of an update, K features, G groups of a target, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from delt_exp.corpus.tokens import IGNORED
from delt_exp.distributed.processes import Spread, run_in_group
from delt_exp.distributed.ranks import Ranks, SingleProcess
from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json
from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.projection import Projection, inner_products
from delt_exp.scorer.dvemb.embedding import ClippedSketches, embed_in_place
from delt_exp.scorer.dvemb.job import ValueJob
from delt_exp.scorer.dvemb.run import LanguageModelRun
from delt_exp.scorer.dvemb.settings import STAGE
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.dvemb.value import Descending
from delt_exp.scorer.reverse.model import OBJECTIVE
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.shown import Shown
from delt_exp.scorer.reverse.sweep import Progress
from delt_exp.store.store import StageUse, Store

EMBEDDINGS = "embeddings.npy"


@dataclass(frozen=True)
class StoredEmbeddings:
    """The embeddings of a run."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """`documents`, `occurrences`, `updates`, and `projection` with all that it is."""
        about: dict[str, Any] = read_json(self.folder / "about.json")
        return about

    def final_parameters(self) -> Tensor:
        """The trainable parameters after the last update, where gradients of a target are to be taken."""
        return load_file(self.folder / "final.safetensors")["theta"]

    def values(self, target_GK: Tensor, projection: Mapping[str, Any], step: int) -> tuple[Tensor, NDArray[np.intp]]:
        """Estimated values [N, G] for target gradients with these features, and the corpus row of each occurrence.

        projection: what `Projection.describe` says of them. step: after how many updates they were taken. Raises
        ConfigError where the projection is not that of the embeddings, DataError for a step that is not the last.
        """
        if step != self.about["updates"]:
            raise DataError(
                f"the target's gradients were taken after update {step}, but these embeddings lead to the end of their "
                f"run after update {self.about['updates']}; take them there"
            )
        features_NK = torch.from_numpy(np.load(self.folder / EMBEDDINGS, allow_pickle=False))
        values_NG = inner_products(features_NK, self.about["projection"], target_GK, projection)
        return values_NG, np.load(self.folder / "rows.npy", allow_pickle=False)


def capture_stage(
    store: Store, inputs: Mapping[str, Any], job: ValueJob, projection: Projection, spread: Spread
) -> StageUse:
    """Return the embeddings of the run of `job`, which `inputs` decide; its target is not looked at."""

    def build(folder: Path) -> None:
        run_in_group(_capture, CaptureJob(job, projection), folder, spread)

    return store.get(STAGE, inputs, build)


@dataclass(frozen=True, eq=False)
class CaptureJob:
    """What to embed, and how it is sketched."""

    valuation: ValueJob
    projection: Projection

    @property
    def device(self) -> str:
        return self.valuation.device

    def unloaded(self) -> "CaptureJob":
        """The same for another process."""
        return replace(self, valuation=self.valuation.unloaded())


def _capture(job: CaptureJob, folder: Path, ranks: Ranks | None) -> None:
    ranks, valuation = ranks or SingleProcess(), job.valuation
    network = valuation.network()
    with Shown(ranks.rank == 0, "embedding") as progress:
        run, cure = valuation.run(network, ranks), valuation.settings.cure
        capture(run, network, valuation.descending(), job.projection, folder, cure, progress)


def capture(
    run: LanguageModelRun, network: nn.Module, descending: Descending, projection: Projection, folder: Path, cure: str,
    progress: Progress,
) -> None:  # fmt: skip
    """Take `run` forward and write its embeddings to `folder`; called by every process of the run."""
    sizes = [len(update.rows_N) for update in run.updates]
    first_T, norm_T = np.cumsum([0, *sizes]), np.zeros(run.num_steps)
    shape, is_writer = (sum(sizes), projection.num_features), run.ranks.rank == 0
    folder.mkdir(parents=True, exist_ok=True)
    features_NK = np.lib.format.open_memmap(folder / EMBEDDINGS, "w+", np.float32, shape) if is_writer else None

    def keep(step: int, sketches_BK: NDArray[np.float32]) -> None:
        if features_NK is not None:  # sketches are summed over processes; one of them keeps them, on disk
            features_NK[first_T[step] : first_T[step + 1]] = sketches_BK

    def on_step(step: int, loss: float, norm: float) -> None:
        norm_T[step] = norm
        progress("forward", step + 1, run.num_steps)

    states = descending.states(_Sketching(run, projection, keep), network, run.ranks, cure, is_whole=False)
    states.run_forward(run.num_steps, on_step)
    if features_NK is None:
        return
    step_N = np.repeat(np.arange(run.num_steps), sizes)
    shares = [update.shares for update in run.updates]
    rate_T = np.array([states.rate(step) for step in range(run.num_steps)])
    clipping = ClippedSketches([states.clip_factor(norm) for norm in norm_T], norm_T.tolist(), shares)
    embed_in_place(features_NK, step_N, rate_T[step_N] * torch.cat(shares).numpy(), clipping)
    features_NK.flush()
    _write_about(folder, run, projection.describe(trainable_parameters(network)))


def _write_about(folder: Path, run: LanguageModelRun, projection: dict[str, Any]) -> None:
    rows_N = np.concatenate([update.rows_N for update in run.updates])
    np.save(folder / "rows.npy", rows_N)
    save_file({"theta": run.theta.cpu()}, folder / "final.safetensors")
    about = {"documents": len(np.unique(rows_N)), "occurrences": len(rows_N), "updates": run.num_steps}
    write_json(folder / "about.json", {**about, "projection": projection})


class _Sketching:
    """A run that hands on the sketches of an update's occurrences, (B, K), whenever it takes a step."""

    def __init__(
        self, run: LanguageModelRun, projection: Projection, on_sketches: Callable[[int, NDArray[np.float32]], None]
    ) -> None:
        self._run, self._projection, self._on_sketches = run, projection, on_sketches
        self.num_steps, self.updates = run.num_steps, run.updates

    @property
    def theta(self) -> Tensor:
        return self._run.theta

    @theta.setter
    def theta(self, value: Tensor) -> None:
        self._run.theta = value

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        self._on_sketches(step, self._sketches(self._run.updates[step]))
        return self._run.step_gradient(step)

    def _sketches(self, update: Update) -> NDArray[np.float32]:
        run, parts = self._run, parts_of(update)
        features_BK = torch.zeros(len(parts), self._projection.num_features, device=run.device)
        for indices, batch in run.batches(parts, run.gradient_samples):
            features_BK[indices] = per_sample_features(
                run.model, batch, OBJECTIVE, self._projection, autocast_dtype=run.dtype
            )
        return np.asarray(run.ranks.sum(features_BK).cpu().numpy())


def parts_of(update: Update) -> list[Sample]:
    """Each occurrence as a sample of its own: its sequence up to its last label, with its labels alone."""
    parts = dict[int, Sample]()
    for sample, occurrence_T in zip(update.samples, update.occurrence_BT, strict=True):
        for n in occurrence_T[occurrence_T >= 0].unique().tolist():
            is_own_T = occurrence_T == n
            length = int(is_own_T.nonzero()[-1]) + 1
            positions_T = None if sample.position_ids_T is None else sample.position_ids_T[:length]
            labels_T = torch.where(is_own_T, sample.labels_T, IGNORED)[:length]
            parts[n] = Sample(sample.input_ids_T[:length], labels_T, positions_T)
    return [parts[n] for n in range(len(update.rows_N))]
