"""What a sweep will compute, shown before it starts: how many stages, and at scale how many GPU-hours."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.config.fields import Count, PositiveFloat, settings
from delt_exp.errors import DataError
from delt_exp.files import digest, read_json
from delt_exp.model.cost import Sizes, total
from delt_exp.report.stages import own_stage
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.reading import would_keep
from delt_exp.steps.components import build_components
from delt_exp.steps.costs import scoring_costs, training_costs
from delt_exp.steps.rehearsal import stand_in_goodness

# What decides a stage, as far as the configuration tells: two stages with different settings may still turn out equal.
READ = ("train_dataset", "corpus", "tokenizer", "target_dataset", "decontaminate", "drop_near_duplicates", "minhash")
SCORES = (*READ, "held_apart", "scorer", "precision")
MODEL = (*SCORES, "selector", "orderer", "mixture", "training", "model", "weighter", "averaging", "seed")
KINDS = {"scores": SCORES, "model": MODEL}
# What decides the cost at nominal sizes.
COSTLY = {"scores": ("scorer",), "model": ("selector", "training", "model", "weighter")}


@settings
class Nominal:
    """Sizes in place of corpora, which a forecast does not read.

    gpu_tflops: what one GPU sustains, 10^12 operations a second.
    """

    corpus_documents: Count
    document_tokens: Count
    target_documents: Count
    vocab_size: Count
    gpu_tflops: PositiveFloat

    @property
    def sizes(self) -> Sizes:
        """The sizes as those of texts: all documents are of one length."""
        lengths_N = np.full(self.corpus_documents, self.document_tokens, np.int64)
        return Sizes(lengths_N, self.target_documents, 1, _Vocabulary(self.vocab_size))


class _Vocabulary(NamedTuple):
    """A number of ids; which of them mark a document changes no size."""

    vocab_size: int
    begin_id: int = 0
    eos_id: int = 0


class Outlook(NamedTuple):
    """Stages of one kind: those still to compute, with a configuration that asks for each, and how many are cached."""

    missing: Mapping[str, DictConfig]
    cached: int


def outlook(configs: Sequence[DictConfig], runs_folder: Path) -> dict[str, Outlook]:
    """Return what the jobs of a study need, by kind; a stage is cached if a finished run of any study left it."""
    sciences = [_science(cfg) for cfg in configs]
    wanted = {
        kind: {_name(science, kind): cfg for science, cfg in zip(sciences, configs, strict=True)} for kind in KINDS
    }
    known = _known(runs_folder)
    return {
        kind: Outlook({name: cfg for name, cfg in needs.items() if (kind, name) not in known},
                      sum((kind, name) in known for name in needs))
        for kind, needs in wanted.items()
    }  # fmt: skip


def gpu_hours(outlooks: Mapping[str, Outlook], nominal: Nominal) -> dict[str, float]:
    """Return the GPU-hours of what is missing, by kind, evaluation not counted."""

    sizes, count = nominal.sizes, nominal.corpus_documents

    def flops(kind: str, cfg: DictConfig) -> float:
        parts = build_components(cfg)
        if kind == "scores":
            return total(scoring_costs(parts, sizes)).flops
        seen = Candidates.ungrouped(np.arange(count, dtype=np.uint64), stand_in_goodness(count))
        seen = replace(seen, num_tokens=sizes.lengths_N)
        return total(training_costs(parts, sizes, would_keep(parts.selector, seen))).flops

    hours = dict.fromkeys(KINDS, 0.0)
    for kind, needs in outlooks.items():
        alike: dict[str, list[DictConfig]] = {}
        for cfg in needs.missing.values():
            alike.setdefault(digest({key: plain(cfg[key]) for key in COSTLY[kind]}), []).append(cfg)
        operations = sum(len(configs) * flops(kind, configs[0]) for configs in alike.values())
        hours[kind] = operations / (nominal.gpu_tflops * 1e12 * 3600)
    return hours


def _science(cfg: DictConfig) -> dict[str, Any]:
    """Return the nodes of a configuration that decide stages, resolved."""
    derived = ("held_apart", "precision")
    return _with_derived({key: plain(cfg[key]) for key in (*MODEL, "eval_dataset", "trainer") if key not in derived})


def _with_derived(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return nodes with two more: evaluation sets where candidates that are near them are left out, and precision."""
    held_apart = config["eval_dataset"] if config["decontaminate"] else None
    return {**config, "held_apart": held_apart, "precision": config["trainer"]["precision"]}


def _name(science: Mapping[str, Any], kind: str) -> str:
    return digest({key: science[key] for key in KINDS[kind]})


def _known(runs_folder: Path) -> set[tuple[str, str]]:
    """Return (kind, name) of the stages of finished runs that are still in the store."""
    known: set[tuple[str, str]] = set()
    for path in runs_folder.glob("*/record.json"):
        record = read_json(path)
        with suppress(KeyError, DataError):  # of another version of this code, whose stages this one cannot reuse
            science = _with_derived(record["config"])
            for kind in KINDS:
                if Path(own_stage(record, kind)["path"]).exists():
                    known.add((kind, _name(science, kind)))
    return known
