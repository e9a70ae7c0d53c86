"""Alignment of texts at hand: one function call, with the defaults of the configuration files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from omegaconf import DictConfig

from delt_exp.alignment.base import Alignment, Coefficient, Text
from delt_exp.alignment.table import coefficients
from delt_exp.config.build import CONF, build, construct
from delt_exp.config.compose import composed
from delt_exp.corpus.stages import corpus_stage, tokenizer_stage
from delt_exp.corpus.writing import CorpusSettings
from delt_exp.dataset.base import Dataset
from delt_exp.dataset.in_memory import InMemory
from delt_exp.dataset.mixture import Mixture
from delt_exp.errors import ConfigError, DataError
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime
from delt_exp.store.store import Store

DEFAULT = "alignment=task2vec"


def align(train: Iterable[str], evaluation: Iterable[str], *overrides: str) -> Coefficient:
    """Return how well training texts fit evaluation texts, by Task2Vec or the metric that an override such as
    "alignment=ncd" chooses.

    Raises ConfigError or DataError as the command does, and DataError for one text or file in place of several texts.
    Works under `outputs/store` unless an override says otherwise.
    """
    datasets = {name: _texts(name, texts) for name, texts in (("train", train), ("evaluation", evaluation))}
    session = open_session(composed(CONF, with_default(overrides)), datasets)
    (train_side, evaluation_side) = ({name: text} for name, text in session.texts.items())
    (row,) = coefficients(session.alignment, train_side, evaluation_side, session.resources)
    return row


def _texts(name: str, texts: Iterable[str]) -> InMemory:
    """Return the texts as a dataset; a str is refused, because it would be read letter by letter."""
    if isinstance(texts, str | PathLike):
        raise DataError(
            f"{name} is {str(texts)[:40]!r}, where a list of texts is needed; give one text as [text], and compare "
            "files by python -m delt_exp.alignment FILE FILE"
        )
    given = tuple(texts)
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise DataError(f"{name}[{number}] is {type(text).__name__}, not a text (str); give the texts alone")
    return InMemory(given)


@dataclass(frozen=True, eq=False)
class Session:
    """What a comparison needs: metric, texts by name, and what the metric may use."""

    alignment: Alignment
    texts: Mapping[str, Text]
    resources: Resources


def with_default(overrides: Sequence[str]) -> list[str]:
    """Return the overrides, after DEFAULT where they choose no metric."""
    is_chosen = any(text.startswith("alignment=") for text in overrides)
    return [*overrides] if is_chosen else [DEFAULT, *overrides]


def open_session(cfg: DictConfig, datasets: Mapping[str, Dataset]) -> Session:
    """Read the datasets; a metric of tokens gets a tokenizer made on all of them."""

    if len(cfg.alignment) != 1:
        raise ConfigError(f"{len(cfg.alignment)} alignment metrics are chosen; choose one, such as alignment=task2vec")
    ((name, node),) = cfg.alignment.items()
    alignment: Any = build(node, f"alignment.{name}")
    store, settings = construct(Store, cfg.store, "store"), construct(CorpusSettings, cfg.corpus, "corpus")
    trainer, runtime = build(cfg.trainer, "trainer"), construct(Runtime, cfg.runtime, "runtime")
    maker, tokenizer = build(cfg.tokenizer, "tokenizer"), None
    texts = {name: Text(corpus_stage(store, dataset, settings)) for name, dataset in datasets.items()}
    if "tokens" in alignment.needs:
        everything = Mixture(datasets, weights=None, unit="bytes", stop="all", max_documents=None, max_bytes=None)
        tokenizer = tokenizer_stage(store, maker, corpus_stage(store, everything, settings))
    return Session(alignment, texts, Resources(store, tokenizer, trainer, runtime))
