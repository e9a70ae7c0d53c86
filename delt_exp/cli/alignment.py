"""How well texts fit each other, measured before anything is trained.

    python -m delt_exp.alignment DATASET DATASET [DATASET ...] [KEY=VALUE ...]

A DATASET is an option of conf/train_dataset or a .jsonl, .parquet or .txt file (also packed: .jsonl.gz). Two give the
coefficient of training on the first for the second, with its interval; more give every pair, as a table and a clustered
heat map; one gives its Task2Vec diversity. KEY=VALUE is as for run.py: alignment=ncd chooses the metric (task2vec, ncd,
sentence, unigram, ngram), alignment.ncd.codec=lz4 a setting of it, corpora.NAME.max_documents=100 one of a dataset,
where NAME is the option or the file's name without endings.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from delt_exp.alignment.align import Session, open_session, with_default
from delt_exp.alignment.base import Coefficient
from delt_exp.alignment.table import Describer, TableRow, coefficients, matrix
from delt_exp.alignment.task2vec.diversity import diversity
from delt_exp.alignment.task2vec.metric import Task2VecAlignment
from delt_exp.cli.check import check_command
from delt_exp.cli.named_datasets import dataset_overrides, labelled
from delt_exp.cli.reporting import names_in, run_with_overrides
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.errors import ConfigError
from delt_exp.files import digest, disk_errors, write_json, written_aside

COLUMNS = (
    "train", "evaluation", "value", "low", "high", "train_seconds", "evaluation_seconds", "pair_seconds",
    "without_interval",
)  # fmt: skip


def main() -> None:
    """Run the command line."""
    run_with_overrides(__doc__, run)


def run(arguments: Sequence[str]) -> str:
    """Return what the command prints; raises DeltError for what cannot be done."""
    names, given = names_in(arguments, 1, "at least one DATASET", "alignment")
    overrides = with_default([*dataset_overrides(labelled(names)), *given])
    check_command(CONF, overrides)
    cfg = composed(CONF, overrides)
    session = open_session(cfg, {label: build(node, f"corpora.{label}") for label, node in cfg.corpora.items()})
    return (
        _show_diversity(session)
        if len(names) == 1
        else _show_table(session, Path(cfg.output_dir).expanduser() / "alignment")
    )


def _show_table(session: Session, folder: Path) -> str:
    names = [*session.texts]
    is_square = len(names) > 2
    trained = names if is_square else names[:1]
    evaluation = names if is_square else names[1:]
    sides = [{name: session.texts[name] for name in side} for side in (trained, evaluation)]
    rows = coefficients(session.alignment, sides[0], sides[1], session.resources)
    place = _write(session, rows, folder, with_picture=is_square)
    meaning = session.alignment.meaning
    title = f"{meaning.name} [{meaning.unit}], training text -> evaluation text, with 95 % interval"
    lines = [f"{row.train} -> {row.evaluation}: {_show(row)}" for row in rows]
    return "\n".join([title, *lines, f"table, settings{' and heat map' * is_square}: {place}"])


def _write(session: Session, rows: Sequence[TableRow], folder: Path, *, with_picture: bool) -> Path:
    """Write the files of a table into a folder named after settings and texts, and return it."""
    settings = Describer(session.alignment, session.resources).settings
    meaning = session.alignment.meaning
    place = folder / digest(asdict(meaning), settings, {name: t.corpus.digest for name, t in session.texts.items()})
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        _write_csv(place / "coefficients.csv", rows)
        write_json(place / "settings.json", {"meaning": asdict(meaning), "settings": settings})
        if with_picture:
            from delt_exp.alignment.heatmap import write_heatmap

            write_heatmap(place / "heatmap.png", *matrix(rows), meaning)
    return place


def _show_diversity(session: Session) -> str:
    if not isinstance(session.alignment, Task2VecAlignment):
        raise ConfigError("one DATASET gives its diversity, which needs alignment=task2vec; give two to compare them")
    ((label, text),) = session.texts.items()
    found = diversity(session.alignment, text, session.resources)
    bounds = f"between {found.lower:.4f} (one token) and {found.upper:.4f} (random tokens)"
    return f"Task2Vec diversity of {label}: {_show(found.coefficient)}, {bounds}"


def _show(c: Coefficient) -> str:
    if c.low is None or c.high is None:
        return f"{c.value:.4f}" + (f" (no interval: {c.without_interval})" if c.without_interval else "")
    return f"{c.value:.4f} [{c.low:.4f}, {c.high:.4f}]"


def _write_csv(path: Path, rows: Sequence[TableRow]) -> None:
    with written_aside(path) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
