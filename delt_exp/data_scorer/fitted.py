"""A fitted data scorer on disk and in memory.

Its folder holds `body/` (Hugging Face format), `head.safetensors`, `fit.parquet` (id, annotated, predicted, split) and
`fit.json`, which is written last: a folder that has it is complete.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from delt_exp.data_scorer.regressor import Regressor
from delt_exp.files import digest, file_sha256, read_json, written_aside
from delt_exp.model.pretrained import load_base_model


@dataclass(frozen=True)
class Reading:
    """How a regressor reads documents and what its output means: label_mean + label_std * output.

    precision: of Lightning. tokenizer: digest of the tokenizer. weights: SHA-256 of every file of weights.
    """

    label_mean: float
    label_std: float
    context_tokens: int
    precision: str
    tokenizer: str
    weights: list[str]


@dataclass(frozen=True, eq=False)
class FittedScorer:
    """A regressor with everything it takes to predict in annotated units."""

    regressor: Regressor
    reading: Reading

    @property
    def digest(self) -> str:
        """Hash of weights and reading: equal digests mean equal predictions."""
        return digest(asdict(self.reading))

    @classmethod
    def load(cls, folder: Path) -> "FittedScorer":
        """Read what `DataScorer.fit` wrote, in evaluation mode on the CPU."""
        body = load_base_model(folder / "body")
        head = load_file(folder / "head.safetensors")
        regressor = Regressor(body, head["weight"].shape[1])
        regressor.head.load_state_dict(head)
        return cls(regressor.eval(), Reading(**read_json(folder / "fit.json")["reading"]))


def save_weights(regressor: Regressor, folder: Path) -> list[str]:
    """Write body and head; return the SHA-256 of every file of weights."""
    body: Any = regressor.body
    body.save_pretrained(folder / "body")
    with written_aside(folder / "head.safetensors") as aside:
        save_file(regressor.head.state_dict(), aside)
    return [file_sha256(file) for file in [*sorted(folder.glob("body/*.safetensors")), folder / "head.safetensors"]]
