"""The passes over the corpus, one for each checkpoint, and what becomes of them in the store.

R documents, S groups of shots, C checkpoints, P trainable parameters, K features.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError
from delt_exp.files import digest, written_aside
from delt_exp.gradients.precision import Precision, autocast_dtype
from delt_exp.mapping.items import settings_of
from delt_exp.mapping.map_documents import map_documents
from delt_exp.scorer.base import Pool
from delt_exp.scorer.influence.gamma import Gamma, check_state, share_below_floor
from delt_exp.scorer.influence.judge import InfluenceJudge
from delt_exp.scorer.influence.stored import FORMAT, STAGE, StoredFeatures, write_about, write_features
from delt_exp.scorer.influence.warm_up import State

if TYPE_CHECKING:
    from torch import Tensor, nn

    from delt_exp.scorer.influence.directions import Shots

EVERYTHING = "everything.npy"  # what a pass says of the documents, until it is taken apart


@dataclass(frozen=True, eq=False)
class Passes:
    """Reads the documents `rows` [R] of `candidates`, those that are readable, at the state after each epoch.

    candidates: tokens as the proxy reads them. context_tokens: of each document. num_features, seed: of the sketch.
    """

    pool: Pool
    candidates: Tokens
    rows: NDArray[np.intp]
    is_readable_R: NDArray[np.bool_]
    states: list[State]
    gamma: Gamma
    context_tokens: int
    precision: Precision
    num_features: int
    seed: int

    @property
    def read_rows(self) -> NDArray[np.intp]:
        """The rows that are read; what is returned for R documents below is for these."""
        return self.rows[self.is_readable_R]

    def exact(self, shots: "Shots", *, keep_features: bool) -> NDArray[np.float32]:
        """Return cosines [C, R, S]; the same pass leaves features in the store where they are to be kept."""
        with self.pool.evidence.phase("target"):
            judges = [self._judge(state, shots) for state in self.states]
        store = self.pool.resources.store
        with self.pool.evidence.phase("scoring"):
            if keep_features and store.find(STAGE, self._inputs) is None:
                store.get(STAGE, self._inputs, lambda folder: self._build(folder, judges), resumable=True)
            return np.stack([self._cosines(judge) for judge in judges])

    def estimated(self, shots: "Shots") -> NDArray[np.float64]:
        """Return cosines [C, R, S] from features in the store; raises ConfigError where there are none."""
        from delt_exp.gradients.projection import Projection
        from delt_exp.gradients.sketch import sketched

        use = self.pool.resources.store.find(STAGE, self._inputs)
        if use is None:
            raise ConfigError(
                "no features are stored for these documents under these settings; run them once with "
                "scorer.save_features=true, or, where those of such a run were removed, add --again to read the "
                "corpus once more. `python -m delt_exp.features list` shows what there is"
            )
        stored, projection, parts = StoredFeatures(use.path), Projection(self.num_features, self.seed), []
        for state in self.states:
            direction_SP, parameters = self._directions(state, shots)
            target_SK = sketched(direction_SP, projection, parameters).cpu()
            parts.append(stored.cosines(state.checkpoint.step, target_SK, projection.describe(parameters)))
        return np.stack(parts)

    def shares_below_floor(self) -> list[float | None]:
        """Return for each checkpoint the share of coordinates where `official` is momentum; None without moments."""
        moments = [state.checkpoint.moments() for state in self.states]
        return [share_below_floor(of_one) if of_one else None for of_one in moments]

    def _directions(self, state: State, shots: "Shots") -> "tuple[Tensor, Mapping[str, nn.Parameter]]":
        from delt_exp.gradients.flat import trainable_parameters
        from delt_exp.scorer.influence.directions import directions

        runtime, checkpoint = self.pool.resources.runtime, state.checkpoint
        network = checkpoint.network().to(runtime.torch_device())
        parameters = trainable_parameters(network)
        check_state(parameters, checkpoint.moments(), checkpoint.step, self.gamma)
        found = directions(network, shots, runtime.tokens_per_pass(), checkpoint.step, autocast_dtype(self.precision))
        return found, parameters

    def _judge(self, state: State, shots: "Shots") -> InfluenceJudge:
        from delt_exp.scorer.influence.directions import save_directions

        path = self.pool.work_dir / f"directions-{state.checkpoint.step}.safetensors"
        content = save_directions(self._directions(state, shots)[0], path)
        settings = len(shots.groups), 0, self.seed, self.context_tokens, self.precision
        return InfluenceJudge(state.checkpoint, self.gamma, path, content, *settings)

    def _cosines(self, judge: InfluenceJudge) -> NDArray[np.float32]:
        path = self._numbers_file(judge)
        if not path.exists():
            shards = self.pool.work_dir / f"shards-{judge.checkpoint.step}"
            numbers = map_documents(self.pool.resources, self.candidates, self.read_rows, judge, shards, _name(judge))
            _save(path, numbers)
        return np.asarray(np.load(path, allow_pickle=False)[:, : judge.num_directions])

    def _build(self, folder: Path, judges: list[InfluenceJudge]) -> None:
        """Fill the folder of the features, and leave the exact numbers of the same passes for `_cosines`."""
        for judge in judges:
            features = folder / f"features-{judge.checkpoint.step}.npy"
            if not (self._numbers_file(judge).exists() and features.exists()):
                self._read_once(folder, judge)
            _clear(folder)
        write_about(folder, self.candidates.ids[self.read_rows], self._about())

    def _read_once(self, folder: Path, judge: InfluenceJudge) -> None:
        """Leave the features of a checkpoint and the exact numbers, from one pass."""
        joint, step, exact = replace(judge, num_features=self.num_features), judge.checkpoint.step, judge.width
        # All targets share this folder: what a killed run for another one left has cosines with other directions.
        shards = folder / f"shards-{step}-{digest(settings_of(joint))}"
        out = np.lib.format.open_memmap(folder / EVERYTHING, "w+", np.float32, (len(self.read_rows), joint.width))
        documents = self.candidates, self.read_rows
        numbers = map_documents(self.pool.resources, *documents, joint, shards, _name(judge), out)
        write_features(folder, step, numbers, exact)
        _save(self._numbers_file(judge), numbers[:, :exact])

    def _numbers_file(self, judge: InfluenceJudge) -> Path:
        return self.pool.work_dir / f"numbers-{judge.checkpoint.step}.npy"

    def _about(self) -> dict[str, Any]:
        from delt_exp.gradients.flat import trainable_parameters
        from delt_exp.gradients.projection import Projection

        parameters = trainable_parameters(self.states[0].checkpoint.network())
        return {
            "steps": [state.checkpoint.step for state in self.states],
            "gamma": asdict(self.gamma),
            "context_tokens": self.context_tokens,
            "projection": Projection(self.num_features, self.seed).describe(parameters),
        }

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        """What decides the features: no target, so that those of one run serve another."""
        from delt_exp.gradients.projection import Projection

        return {
            "format": FORMAT,
            "law": [Projection.LAW, Projection.VERSION, self.num_features, self.seed],
            "gamma": asdict(self.gamma),
            "warm_up": self.states[0].checkpoint.folder.parents[1].name,  # the key of its stage
            "tokens": self.candidates.digest,
            "rows": digest(self.read_rows),
            "context_tokens": self.context_tokens,
            "precision": self.precision,
        }


def _clear(folder: Path) -> None:
    """Remove what served a pass alone, that of a killed one included."""
    (folder / EVERYTHING).unlink(missing_ok=True)
    for shards in folder.glob("shards-*"):
        shutil.rmtree(shards)


def _name(judge: InfluenceJudge) -> str:
    return f"scoring, step {judge.checkpoint.step}"


def _save(path: Path, numbers: NDArray[Any]) -> None:
    with written_aside(path) as aside, aside.open("wb") as file:
        np.save(file, numbers, allow_pickle=False)
