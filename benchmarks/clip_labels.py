"""Do prototypes and adapters of CLIP-style selection find wrong labels? Needs the local data folder and MiniLM.

python -m benchmarks.clip_labels FOLDER gives a share of AG News items the label of another topic and prints a row for
each prototype and adapter: the AUC with which wrong labels have lower scores, with its 95 % interval over seeds. FOLDER
keeps the embeddings.
"""

import json
import sys
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.fixtures import config
from delt_exp.dataset.json_records import json_records
from delt_exp.progress import say
from delt_exp.scorer.base import Pool
from delt_exp.scorer.clip_style.scorer import ClipStyleScorer
from delt_exp.statistics.diagnostics import auc, auc_interval
from delt_exp.steps.components import build_components
from delt_exp.steps.reading import read
from delt_exp.store.evidence import Evidence

SEEDS, DOCUMENTS, SHARES = range(3), 2000, (0.1, 0.5)
PROTOTYPES: tuple[Literal["centroid", "text"], ...] = ("centroid", "text")
ADAPTERS: tuple[Literal["none", "linear"], ...] = ("none", "linear")
TOPICS = ["World news and politics.", "Sport.", "Business and markets.", "Science and technology."]


def wrong_labels(labels_N: NDArray[np.int64], share: float, seed: int, file: Path) -> NDArray[np.bool_]:
    """Write labels of which a share is another one, and return [N] which they are."""
    draws = np.random.default_rng(seed)
    is_wrong_N = draws.permutation(len(labels_N)) < share * len(labels_N)
    moved_N = (labels_N + draws.integers(1, len(TOPICS), len(labels_N))) % len(TOPICS)
    lines = [str(label) for label in np.where(is_wrong_N, moved_N, labels_N)]
    file.write_text("\n".join(["label", *lines]) + "\n")
    return is_wrong_N


def news(folder: Path) -> tuple[ClipStyleScorer, Pool, NDArray[np.int64]]:
    """Return a scorer, the items and their topics."""
    file, work = folder / "news.jsonl", folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    cfg = config("scorer=clip_style", "encoder=minilm", "train_dataset=jsonl", f"train_dataset.path={file}",
                 f"output_dir={folder}", "corpus.drop_duplicates=false", "corpus.max_document_chars=null")  # fmt: skip
    path = Path(cfg.data_dir) / "news_agnews" / "train.jsonl"
    records = [record for record, _ in islice(json_records(path), DOCUMENTS)]
    file.write_text("".join(f"{json.dumps({'text': record['text']})}\n" for record in records))
    parts = build_components(cfg)
    resources, candidates, _ = read(parts)
    pool = Pool(candidates, None, resources, work, Evidence(work))
    return cast(ClipStyleScorer, parts.scorer), pool, np.array([record["label"] for record in records])


def main() -> None:
    """Print the table, a row as soon as it is known."""
    folder = Path(sys.argv[1])
    given, pool, labels_N = news(folder)
    file, told = folder / "labels.csv", {str(label): text for label, text in enumerate(TOPICS)}
    given = replace(given, classes="labels", labels=str(file), by="row", descriptions=told)
    say("| wrong labels | prototype | adapter | AUC |")
    for share, prototype, adapter in product(SHARES, PROTOTYPES, ADAPTERS):
        values = []
        for seed in SEEDS:
            is_wrong_N = wrong_labels(labels_N, share, seed, file)
            scorer = replace(given, prototype=prototype, adapter=adapter, seed=seed)
            values.append(auc(-scorer.score(pool), is_wrong_N))
        low, high = auc_interval(np.array(values), int(share * len(labels_N)), 0.05)
        say(f"| {share:.0%} | {prototype} | {adapter} | {np.mean(values):.3f} [{low:.3f}, {high:.3f}] |")


if __name__ == "__main__":
    main()
