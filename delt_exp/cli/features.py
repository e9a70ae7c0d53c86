"""`python -m delt_exp.features`: stored features of documents, and scores for a later target made of them.

`list` shows what runs with scorer.save_features=true or scorer.save_embeddings=true left, and the newest of these runs.
`score RUN target_dataset=NAME [KEY=VALUE ...]` scores the documents of such a run for another target, without reading
them again: RUN is the run's folder, KEY=VALUE are settings of the target as for run.py. Scores are estimates: the error
of a cosine is about 1 / sqrt(scorer.num_features). With `--again` it reads them once more: scores are exact, and what
the run is set to keep and is no longer stored is kept again.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from delt_exp.cli.check import check_command
from delt_exp.cli.named_datasets import quoted
from delt_exp.cli.reporting import parser_of, reporting
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest, disk_errors, read_json, write_json
from delt_exp.report.numbers import size
from delt_exp.report.prepared import STOPPED, record_of
from delt_exp.resources import Resources
from delt_exp.runtime import quiet
from delt_exp.scorer.base import Pool, Rescoring
from delt_exp.scorer.dvemb.settings import STAGE as EMBEDDINGS
from delt_exp.scorer.influence.stored import STAGE as FEATURES
from delt_exp.scorer.table import ScoreTable
from delt_exp.steps.components import build_components
from delt_exp.steps.reading import read
from delt_exp.store.evidence import Evidence

TARGET = "target_dataset"
STAGES = (FEATURES, EMBEDDINGS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = parser_of("features", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="list what is stored, and by which run")
    listing.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), help="output folder of the runs (%(default)s)"
    )
    listing.add_argument("--store", type=Path, help="folder of the store (OUTPUT_DIR/store)")
    scoring = commands.add_parser("score", help="score the documents of a run for another target")
    scoring.add_argument("run", type=Path, help="folder of a run with scorer.save_features=true")
    scoring.add_argument(
        "--again", action="store_true", help="read the corpus once more: exact scores, and features that were removed"
    )
    scoring.add_argument("overrides", nargs="+", help="target_dataset=NAME and its settings")
    options = parser.parse_args(arguments)
    quiet()
    with reporting():
        print(
            _list(options) if options.command == "list" else _score(options.run, options.overrides, again=options.again)
        )


def _list(options: argparse.Namespace) -> str:
    root, runs = options.store or options.output_dir / "store", _runs_by_key(options.output_dir / "runs")
    found = [file.parent for stage in STAGES for file in sorted(root.glob(f"{stage}/*/about.json"))]
    found = [folder for folder in found if folder.suffix == ""]  # finished
    lines = [f"{'key':<18}{'documents':>11}{'features':>10}{'size':>10}  {'of':<22}newest run"]
    for folder in found:
        about, num_bytes = read_json(folder / "about.json"), sum(file.stat().st_size for file in folder.iterdir())
        lines.append(
            f"{folder.name:<18}{about['documents']:>11,}{about['projection']['num_features']:>10,}{size(num_bytes):>10}"
            f"  {_taken_from(about):<22}{runs.get(folder.name, 'none')}"
        )
    return "\n".join([*lines, f"{len(found)} sets of features"])


def _taken_from(about: Mapping[str, Any]) -> str:
    """Return what the features are of: steps at the checkpoints of a warm-up, or updates of a valued run."""
    if "updates" in about:
        return f"{about['updates']:,} updates"
    return f"{about['gamma']['form']}, {len(about['steps'])} checkpoints"


def _runs_by_key(folder: Path) -> dict[str, Path]:
    """Return the newest run that used each set of features."""
    runs: dict[str, Path] = {}
    records = [*folder.glob("**/record.json"), *folder.glob(f"**/{STOPPED}")]
    for record in sorted(records, key=lambda file: file.stat().st_mtime):
        stages = read_json(record).get("stages", [])
        runs |= {stage["key"]: record.parent for stage in stages if stage["stage"] in STAGES}
    return runs


def _score(run: Path, overrides: Sequence[str], *, again: bool) -> str:
    cfg = _configuration(run, overrides)
    parts = build_components(cfg)
    if not isinstance(parts.scorer, Rescoring):
        raise ConfigError(
            f"run {run} has the scorer {type(parts.scorer).__name__}, which stores no features; give a run with "
            "scorer=less scorer.save_features=true, or scorer=dvemb scorer.save_embeddings=true"
        )
    resources, candidates, target = read(parts)
    if parts.decontaminate:  # the candidates are those of the run, which were far from its own target
        resources, candidates, _ = read(build_components(_recorded(run)))
    assert target is not None
    named = digest(cfg.scorer_digest, candidates.tokens.digest, target.corpus.digest, *(["again"] if again else []))
    folder = Path(cfg.output_dir).expanduser() / "features" / named
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        table, evidence = _scored(parts.scorer, resources, candidates, target, folder, again=again)
        write_json(folder / "settings.json", {"run": str(run), "overrides": list(overrides)})
    return _summary(table, evidence, folder)


def _configuration(run: Path, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of a run with another target; raises ConfigError for other settings, and DataError."""
    wrong = [text for text in overrides if not text.lstrip("+~").startswith(TARGET)]
    if wrong or not any(text.startswith(f"{TARGET}=") for text in overrides):
        found = f"{wrong[0]} is not one of them" if wrong else "none of them names it"
        raise ConfigError(
            f"settings must choose a target, and {found}: give target_dataset=NAME and target_dataset.KEY=VALUE; "
            "everything else is as in the run"
        )
    cfg = _recorded(run)
    check_command(CONF, list(overrides))
    cfg[TARGET] = composed(CONF, [f"data_dir={quoted(str(cfg.data_dir))}", *overrides])[TARGET]
    return cfg


def _recorded(run: Path) -> DictConfig:
    """Return the configuration of a run, stopped after scoring or not; raises DataError where there is none."""
    record = record_of(run)
    if record is None:
        raise DataError(f"{run} is not the folder of a run: it has no record; `list` shows the runs with features")
    missing = [str(key) for key in composed(CONF, []) if key not in record["config"]]
    if missing:
        raise DataError(
            f"{run} was recorded by a version without {', '.join(missing)}; repeat the run, which reuses what it has "
            "stored, and give the new folder"
        )
    return OmegaConf.create({**record["config"], "scorer_digest": digest(record["config"]["scorer"])})


def _scored(
    scorer: Rescoring, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus, folder: Path,
    *, again: bool,
) -> tuple[ScoreTable, Evidence]:  # fmt: skip
    evidence, work = Evidence(folder / "evidence"), folder / "work"
    work.mkdir(exist_ok=True)
    pool = Pool(candidates, target, resources, work, evidence)
    scores = scorer.score(pool) if again else scorer.rescore(pool)
    table = ScoreTable(candidates.corpus.ids, scores.astype(np.float32), scorer.meaning)
    table.save(folder / "scores.parquet")
    shutil.rmtree(work)
    return table, evidence


def _summary(table: ScoreTable, evidence: Evidence, folder: Path) -> str:
    low, middle, high = np.quantile(table.scores, [0, 0.5, 1])
    lines = [f"{table.meaning.name} of {len(table.ids):,} documents: {low:.4f} to {high:.4f}, median {middle:.4f}"]
    groups = evidence.read_table("groups")
    for row in groups.to_pylist() if groups is not None else []:  # values of a target in one piece have none
        lines.append(
            f"  {row['group']}: {row['shots']} shots, mean {row['mean_score']:.4f}, best 5 % {row['mean_of_top']:.4f}"
        )
    return "\n".join([*lines, f"scores: {folder / 'scores.parquet'}, scores of groups: {folder / 'evidence'}"])
