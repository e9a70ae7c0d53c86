"""How far do LQS annotations agree with themselves under another seed, and what do they find? Needs `data_dir`.

python -m benchmarks.lqs_agreement FOLDER [NAME ...] annotates the same documents under several seeds with each setting
and prints one row each: Spearman between seeds, AUC of what there is to find, and CPU seconds of one thread. FOLDER
keeps every annotation, so that an interrupted table continues.
"""

import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.fixtures import config
from delt_exp.files import write_json
from delt_exp.progress import say
from delt_exp.rows.draws import random_rows
from delt_exp.scorer.base import Pool
from delt_exp.scorer.distilled import DistilledScorer
from delt_exp.statistics.diagnostics import auc
from delt_exp.steps.components import build_components
from delt_exp.steps.reading import read
from delt_exp.store.evidence import Evidence

SEEDS, DOCUMENTS = range(4), 256
# A corpus with something to find each: spoiled documents in one domain, one of seven domains.
CORPORA = {
    "spoiled news": [
        "train_dataset=spoiled", "train_dataset@train_dataset.dataset=news_agnews",
        "train_dataset@train_dataset.other=code_python", "target_dataset=news_agnews",
    ],
    "seven domains": ["train_dataset=seven_domains", "target_dataset=biomed_abstracts"],
}  # fmt: skip
FOUND = {"spoiled news": "clean", "seven domains": "biomed_abstracts"}
SETTINGS: dict[str, list[str]] = {
    "48 targets, T 20": ["scorer.base.num_target=48"],
    "T 5": ["scorer.base.num_steps=5"],
    "205 of 256 targets, T 5": ["scorer.base.num_steps=5", "scorer.base.num_target=205"],
    "T 20": ["scorer.base.num_steps=20"],
    "T 10": ["scorer.base.num_steps=10"],
    "T 5, every step": ["scorer.base.num_steps=5", "scorer.base.interval=1"],
    "T 2": ["scorer.base.num_steps=2"],
    "T 5, warm start 25 k": ["scorer.base.num_steps=5", "proxy.train_tokens=25_000"],
    "T 5, warm start 50 k": ["scorer.base.num_steps=5", "proxy.train_tokens=50_000"],
    "T 5, warm start 200 k": ["scorer.base.num_steps=5", "proxy.train_tokens=200_000"],
    "T 5, 64 documents a step": ["scorer.base.num_steps=5", "scorer.base.batch_documents=64"],
    "T 5, lr 0.2": ["scorer.base.num_steps=5", "scorer.base.lr=0.2"],
    "T 5, lr 0.0125": ["scorer.base.num_steps=5", "scorer.base.lr=0.0125"],
    "T 1": ["scorer.base.num_steps=1"],
}


def annotated(corpus: str, settings: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """Return the score of every document, whether it is one to be found, and CPU seconds of both phases."""
    seeds = [f"scorer.base.seed={seed}", f"proxy.seed={seed}"]
    everything = [
        "scorer.base.num_target=null",
        "scorer.base.num_steps=20",
        "scorer.base.interval=5",
        "proxy.train_tokens=100_000",
    ]
    cfg = config(f"output_dir={folder}", "scorer=lqs", *CORPORA[corpus], *everything, *seeds, *settings)
    parts = build_components(cfg)
    resources, candidates, target = read(parts)
    rows = random_rows(candidates.corpus.ids, DOCUMENTS, 0, "documents of this benchmark")
    scorer, work = cast(DistilledScorer, parts.scorer), folder / "work"
    pool = Pool(candidates, target, resources, work, Evidence(folder / "evidence"), rows)
    started = time.process_time()
    scorer.proxy.prepare(resources, candidates, target)
    warm = time.process_time()
    labels = scorer.base.score(pool)
    good = [candidates.corpus.source(row) == FOUND[corpus] for row in rows]
    seconds = {"warm_start_seconds": warm - started, "annotation_seconds": time.process_time() - warm}
    return {"scores": labels.tolist(), "good": good, **seconds}


def agreement(scores_SD: NDArray[np.float64], averaged: int) -> float:
    """Return the mean Spearman correlation of means over disjoint groups of `averaged` of the S seeds."""
    groups = list(combinations(range(len(scores_SD)), averaged))
    pairs = [(a, b) for a, b in combinations(groups, 2) if not set(a) & set(b)]
    standard_SD = (scores_SD - scores_SD.mean(1, keepdims=True)) / scores_SD.std(1, keepdims=True)
    return float(np.mean([spearmanr(standard_SD[list(a)].mean(0), standard_SD[list(b)].mean(0))[0] for a, b in pairs]))


def table_row(corpus: str, name: str, folder: Path) -> str:
    """Return the Markdown row of one setting."""
    from delt_exp.files import read_json

    runs = []
    for seed in SEEDS:
        file = folder / f"{corpus} {name} {seed}.json".replace(" ", "_")
        if not file.exists():
            write_json(file, annotated(corpus, SETTINGS[name], seed, folder))
        runs.append(read_json(file))
    scores_SD, good = np.array([run["scores"] for run in runs]), np.array(runs[0]["good"])
    inside = agreement(scores_SD[:, good], 1)
    found = np.mean([auc(scores, good) for scores in scores_SD])
    seconds = [np.median([run[key] for run in runs]) for key in ("warm_start_seconds", "annotation_seconds")]
    return (
        f"| {corpus} | {name} | {agreement(scores_SD, 1):.2f} | {agreement(scores_SD, 2):.2f} | {inside:.2f} "
        f"| {found:.3f} | {seconds[0]:.1f} | {seconds[1]:.1f} |"
    )


def main() -> None:
    """Print the table, a row as soon as it is known."""
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(SETTINGS)
    folder.mkdir(parents=True, exist_ok=True)
    say("| corpus | setting | agreement | of means of 2 | among the good | AUC | warm start s | annotation s |")
    for name in names:
        for corpus in CORPORA:
            say(table_row(corpus, name, folder))


if __name__ == "__main__":
    main()
