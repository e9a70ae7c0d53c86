"""Whether the files that a study reads are there, asked before anything is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

from omegaconf import DictConfig

from delt_exp.config.build import build, plain
from delt_exp.dataset.files import FileDataset
from delt_exp.errors import DataError, DeltError
from delt_exp.files import digest


def missing_files(configs: Sequence[DictConfig]) -> list[str]:
    """Return one message for each dataset of the configurations whose files are missing or empty, each once.

    A component that cannot be built says so when its run fails, which stops no other.
    """
    messages: dict[str, None] = {}
    for dataset in _datasets_of(configs):
        try:
            dataset.files()
        except DataError as error:
            messages[str(error)] = None
    return list(messages)


def check_files(cfg: DictConfig) -> None:
    """Raise DataError with all files of a run that are missing."""
    missing = missing_files([cfg])
    if missing:
        raise DataError("\n".join(["data is missing:", *missing] if len(missing) > 1 else missing))


def file_fingerprints(configs: Sequence[DictConfig]) -> list[str]:
    """Return the hashes of all files that the configurations read, wherever these lie."""
    return sorted({dataset.fingerprint() for dataset in {repr(one): one for one in _datasets_of(configs)}.values()})


def _datasets_of(configs: Sequence[DictConfig]) -> Iterator[FileDataset]:
    """Yield the file datasets of candidates, targets that are read, and evaluation sets."""
    nodes: dict[str, DictConfig] = {}
    for cfg in configs:
        found = [cfg.train_dataset, *(cfg.eval_dataset or {}).values()]
        if any("target" in scorer.needs for scorer in _built(cfg.scorer)):
            found.append(cfg.target_dataset)
        nodes |= {digest(plain(node)): node for node in found}
    return chain.from_iterable(_file_datasets(part) for node in nodes.values() for part in _built(node))


def _built(node: DictConfig) -> list[Any]:
    try:
        return [build(node)]
    except DeltError:
        return []


def summary(messages: Sequence[str]) -> str:
    """Return one message for several of `missing_files`."""
    more = len(messages) - 1
    others = f" ({more} more of its datasets are missing.)" if more else ""
    return f"this study reads data that is missing: {messages[0]}{others}"


def _file_datasets(part: Any) -> Iterator[FileDataset]:
    """Yield the file datasets in a component, at any depth."""
    if isinstance(part, FileDataset):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from _file_datasets(value)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _file_datasets(getattr(part, field.name, None))
