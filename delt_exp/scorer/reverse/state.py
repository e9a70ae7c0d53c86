"""How far a sweep has come, on disk, so that a killed one continues."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from delt_exp.errors import StoreError
from delt_exp.files import written_aside

_FILE = "reverse.safetensors"


def save_tensors(folder: Path, tensors: Mapping[str, Tensor], fingerprint: str) -> None:
    """Write one file aside and rename it."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / _FILE) as aside:
        save_file(dict(tensors), aside, metadata={"fingerprint": fingerprint})


def load_tensors(folder: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """What was saved last in `folder`, None where nothing was; StoreError where it belongs to another annotation."""
    path = folder / _FILE
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        found = (file.metadata() or {}).get("fingerprint")
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    if found != fingerprint:
        raise StoreError(
            f"{path} belongs to another annotation (model, samples or settings differ); delete it to start anew"
        )
    return tensors
