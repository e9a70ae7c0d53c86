"""Folders as lm-evaluation-harness 0.4 writes them with --log_samples, small and without the program."""

import hashlib
import json
import statistics
from pathlib import Path

DATE = "2026-01-02T03-04-05.678901"


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sample(item, values, *, filter_name="none", prompt="", passage="one"):
    """One row of a samples file; values: by metric."""
    return {
        "doc_id": item, "doc": {"passage": passage}, "target": "0", "arguments": {}, "resps": [],
        "filtered_resps": [], "filter": filter_name, "metrics": list(values), "doc_hash": hashed(f"doc {item}"),
        "prompt_hash": hashed(f"{prompt} {item}"), "target_hash": hashed("0"), **values,
    }  # fmt: skip


def accuracies(values, metric="acc", **options):
    """The rows of a task with one number per document, of which the documents are 0, 1, ..."""
    return [sample(item, {metric: value}, **options) for item, value in enumerate(values)]


def results_of(rows):
    """The row of a task in the results file, for metrics that are means of one number per document."""
    found = {"alias": "task", "sample_len": len({row["doc_id"] for row in rows})}
    for row in rows:
        for metric in row["metrics"]:
            values = [one[metric] for one in rows if one["filter"] == row["filter"]]
            if isinstance(values[0], (int, float)):
                found[f"{metric},{row['filter']}"] = statistics.fmean(values)
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                found[f"{metric}_stderr,{row['filter']}"] = spread / len(values) ** 0.5
    return found


def write_folder(folder: Path, tasks, *, date=DATE, groups=None, shots=0, version=1.0, values=None, lists=None):
    """Write one evaluation. values: what the results file says of a task beyond means; lists: metric_list of a task."""
    folder = folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    counts = {name: len({row["doc_id"] for row in rows}) for name, rows in tasks.items()}
    results = {
        "date": date,
        "results": {name: results_of(rows) | (values or {}).get(name, {}) for name, rows in tasks.items()},
        "group_subtasks": groups or {},
        "configs": {name: {"metric_list": (lists or {}).get(name, [])} for name in tasks},
        "versions": dict.fromkeys(tasks, version),
        "n-shot": dict.fromkeys(tasks, shots),
        "higher_is_better": {name: dict.fromkeys(rows[0]["metrics"], True) for name, rows in tasks.items()},
        "n-samples": {name: {"original": count, "effective": count} for name, count in counts.items()},
    }
    for group in groups or {}:
        results["results"][group] = {"alias": group}
    (folder / f"results_{date}.json").write_text(json.dumps(results))
    for name, rows in tasks.items():
        (folder / f"samples_{name}_{date}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent
