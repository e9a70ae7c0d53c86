"""What a scorer detects, on its page: tables from the results of detection studies that are kept in docs/results.

`<!-- detected: STUDY: ARM, ARM -->` stands for a table with the AUC of these arms, a column for each corpus.
"""

import csv
import re
from pathlib import Path
from typing import Any

import yaml

RESULTS = Path(__file__).parent / "results"
STUDIES = Path(__file__).parents[1] / "conf" / "study"
MARK = re.compile(r"<!-- detected: (\w+): (.+?) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put every table where its mark stands."""
    return MARK.sub(lambda found: detected(found[1], found[2].split(", ")), markdown)


def detected(study: str, arms: list[str]) -> str:
    """Return what the arms of a kept study detect; raises ValueError for an arm that has no results."""
    with (RESULTS / study / "detection.csv").open(newline="") as file:
        cells = {(row["scorer"], row["corpus"], row["spoiled by"]): row for row in csv.DictReader(file)}
    corpora, kinds = (list(dict.fromkeys(key[place] for key in cells)) for place in (1, 2))
    if missing := [arm for arm in arms if (arm, corpora[0], "all") not in cells]:
        raise ValueError(
            f"study={study} has no results of {missing}; it has those of {sorted({key[0] for key in cells})}"
        )
    columns = [(arm, corpus) for arm in arms for corpus in corpora]
    names = [corpus if len(arms) == 1 else f"{arm}, {corpus}" for arm, corpus in columns]
    kinds = [*(kind for kind in kinds if kind != "all"), "all"]
    rows = [["spoiled by", *names], ["---"] * (1 + len(names))]
    rows += [[kind, *(_cell(cells[arm, corpus, kind]) for arm, corpus in columns)] for kind in kinds]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    seeds = {int(cells[arm, corpus, "all"]["seeds"]) for arm, corpus in columns}
    return f"{_about(study, _documents(study, arms), seeds)}\n\n{table}"


def _cell(row: dict[str, str]) -> str:
    if not row["AUC low"]:
        return f"{float(row['AUC']):.2f}"
    return f"{float(row['AUC']):.2f} [{float(row['AUC low']):.2f}, {float(row['AUC high']):.2f}]"


def _documents(study: str, arms: list[str]) -> set[int]:
    """Return how many documents the arms score; costly ones have a number of their own among their overrides."""
    config = yaml.safe_load((STUDIES / f"{study}.yaml").read_text())
    entries = [entry for entry in config["study"]["slices"]["detection"]["scorer"] if isinstance(entry, dict)]
    overrides = {arm: texts for entry in entries for arm, texts in entry.items()}
    key, common = "train_dataset.max_documents", config["train_dataset"]["max_documents"]
    own = {arm: text.split("=")[1] for arm, texts in overrides.items() for text in texts if text.startswith(key)}
    return {int(own.get(arm, common)) for arm in arms}


def _about(study: str, documents: set[int], seeds: set[int]) -> str:
    count, over = (" to ".join(f"{number:,}" for number in sorted(numbers)) for numbers in (documents, seeds))
    return (
        "AUC: how often a spoiled document gets a worse score than one that was not; 0.5 is chance. In brackets its "
        f"95 % interval over {over} seeds. A fifth of {count} documents is spoiled; the target is other documents "
        f"of the same corpus. All scorers side by side: [`study={study}`](../../results/{study}/report.html)."
    )
