"""A fitted data scorer on disk, and how it scores documents.

Its folder holds `body/` (Hugging Face format), `head.safetensors`, `fit.parquet` and `fit.json` (see `evidence.py`),
which is written last: a folder that has it is complete.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import WindowBatch, Windowing
from delt_exp.data_scorer.averages import average_over_positions, judgement_of
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.errors import ConfigError
from delt_exp.files import digest, file_sha256, read_json, written_aside
from delt_exp.mapping.map_documents import map_documents
from delt_exp.pretrained.loading import load_base_model
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime


@dataclass(frozen=True)
class RegressorReading:
    """How a regressor reads documents and what its output means: label_mean + label_std * output.

    precision: of Lightning. tokenizer: digest of the tokenizer. weights: SHA-256 of every file of weights. layers: of
    the regressor.
    """

    label_mean: float
    label_std: float
    context_tokens: int
    precision: str
    tokenizer: str
    weights: list[str]
    layers: str


@dataclass(frozen=True)
class RegressorJudge:
    """Sums of a regressor's output over the positions of a window; fitted: digest of what `folder` holds."""

    dtype: ClassVar[str] = "float64"
    width: ClassVar[int] = 1
    folder: Path
    fitted: str
    layers: str
    context_tokens: int
    precision: str

    @property
    def windowing(self) -> Windowing:
        return Windowing("all", self.context_tokens)

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[np.float64]]:
        return judgement_of(load_regressor(self.folder, self.layers).to(device), self.precision, device)


@dataclass(frozen=True, eq=False)
class FittedScorer:
    """A regressor in a folder, with everything it takes to predict in annotated units.

    in_memory: the regressor, where it has just been fitted; it is loaded when it is asked for otherwise.
    """

    folder: Path
    reading: RegressorReading
    in_memory: Regressor | None = None

    @property
    def digest(self) -> str:
        """Hash of weights and reading: equal digests mean equal predictions."""
        return digest(asdict(self.reading))

    @cached_property
    def regressor(self) -> Regressor:
        """The model in evaluation mode."""
        return self.in_memory or load_regressor(self.folder, self.reading.layers)

    def predict(self, resources: Resources, tokens: Tokens, shards: Path) -> NDArray[np.float32]:
        """Return a score [N] in annotated units for every document of `tokens`; see `map_documents` for `shards`.

        Raises ConfigError for tokens of another tokenizer.
        """
        reading, rows = self.reading, np.arange(len(tokens))
        if tokens.meta["tokenizer"] != reading.tokenizer:
            raise ConfigError(
                f"{tokens.folder} was encoded by tokenizer {tokens.meta['tokenizer']}, the data scorer reads "
                f"{reading.tokenizer}; encode the corpus with the tokenizer of the annotated documents"
            )
        judge = RegressorJudge(self.folder, self.digest, reading.layers, reading.context_tokens, reading.precision)
        sums_N1 = map_documents(resources, tokens, rows, judge, shards, "scoring the corpus")
        return self._scores(sums_N1[:, 0] / judge.windowing.sizes(tokens.lengths[rows]))

    def predict_rows(self, tokens: Tokens, rows: NDArray[np.intp], runtime: Runtime) -> NDArray[np.float32]:
        """Return scores [D] in annotated units for the documents `rows`, in this process."""
        reading, regressor = self.reading, self.regressor.to(runtime.torch_device()).eval()
        dots_D1 = average_over_positions(regressor, tokens, rows, reading.context_tokens, reading.precision, runtime)
        return self._scores(dots_D1[:, 0])

    def _scores(self, dots_D: NDArray[np.float64]) -> NDArray[np.float32]:
        bias = load_file(self.folder / "head.safetensors")["bias"].item()
        return (self.reading.label_mean + self.reading.label_std * (dots_D + bias)).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> "FittedScorer":
        """Read what a data scorer's `fit` wrote."""
        return cls(folder, RegressorReading(**read_json(folder / "fit.json")["reading"]))


def load_regressor(folder: Path, layers: str) -> Regressor:
    """Read the weights in `folder`, in evaluation mode on the CPU."""
    head = load_file(folder / "head.safetensors")
    regressor = Regressor(load_base_model(folder / "body"), head["weight"].shape[1], layers)
    regressor.head.load_state_dict(head)
    return regressor.eval()


def save_weights(regressor: Regressor, folder: Path) -> list[str]:
    """Write body and head; return the SHA-256 of every file of weights."""
    body: Any = regressor.body
    body.save_pretrained(folder / "body")
    with written_aside(folder / "head.safetensors") as aside:
        save_file(regressor.head.state_dict(), aside)
    return [file_sha256(file) for file in [*sorted(folder.glob("body/*.safetensors")), folder / "head.safetensors"]]
