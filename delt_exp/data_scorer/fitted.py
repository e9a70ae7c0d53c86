"""A fitted data scorer on disk and in memory.

Its folder holds `body/` (Hugging Face format), `head.safetensors`, `fit.parquet` and `fit.json` (see `evidence.py`),
which is written last: a folder that has it is complete.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from delt_exp.corpus.tokens import Tokens
from delt_exp.data_scorer.averages import average_over_positions
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.files import digest, file_sha256, read_json, written_aside
from delt_exp.pretrained.loading import load_base_model
from delt_exp.runtime import Runtime

PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Reading:
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


@dataclass(frozen=True, eq=False)
class FittedScorer:
    """A regressor with everything it takes to predict in annotated units."""

    regressor: Regressor
    reading: Reading

    @property
    def digest(self) -> str:
        """Hash of weights and reading: equal digests mean equal predictions."""
        return digest(asdict(self.reading))

    @property
    def tokenizer(self) -> str:
        """Digest of the tokenizer whose tokens it reads."""
        return self.reading.tokenizer

    def predict_rows(
        self, tokens: Tokens, rows: NDArray[np.intp], runtime: Runtime,
        advance: Callable[[int], None] = lambda num_documents: None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return scores in annotated units for the documents `rows`, whatever they share a batch with, up to rounding.

        `advance` is told how many documents were begun.
        """
        reading, regressor = self.reading, self.regressor.to(runtime.torch_device()).eval()
        dots_D = average_over_positions(
            regressor, tokens, rows, reading.context_tokens, reading.precision, runtime, advance
        )
        standardised_D = dots_D + regressor.head.bias.item()
        return (reading.label_mean + reading.label_std * standardised_D).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> "FittedScorer":
        """Read what a data scorer's `fit` wrote, in evaluation mode on the CPU."""
        reading = Reading(**read_json(folder / "fit.json")["reading"])
        body = load_base_model(folder / "body")
        head = load_file(folder / "head.safetensors")
        regressor = Regressor(body, head["weight"].shape[1], reading.layers)
        regressor.head.load_state_dict(head)
        return cls(regressor.eval(), reading)


def save_weights(regressor: Regressor, folder: Path) -> list[str]:
    """Write body and head; return the SHA-256 of every file of weights."""
    body: Any = regressor.body
    body.save_pretrained(folder / "body")
    with written_aside(folder / "head.safetensors") as aside:
        save_file(regressor.head.state_dict(), aside)
    return [file_sha256(file) for file in [*sorted(folder.glob("body/*.safetensors")), folder / "head.safetensors"]]
