"""A paired comparison of two lm-eval folders, as a real process."""

import json
import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benchmarks.table import Row
from delt_exp.config.build import CONF

NUM_TASKS = 10
PROMPT = "This question has about as many words as those of common benchmarks, and four answers. " * 4
DATE = "2026-01-01T00-00-00.000000"


def measure(quick: bool) -> list[Row]:
    """Return the seconds of `python -m delt_exp.compare` on two folders with all their samples."""
    num_items = 1_000 if quick else 100_000
    with TemporaryDirectory() as place:
        folders = [Path(place) / name for name in ("first", "second")]
        for seed, folder in enumerate(folders):
            _write(folder, num_items // NUM_TASKS, seed)
        num_bytes = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
        command = [sys.executable, "-m", "delt_exp.compare", *map(str, folders), "--out", f"{place}/out"]
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=Path(CONF).parent, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    detail = f"{num_items:,} items in each of two folders, {NUM_TASKS} tasks, {num_bytes / 1e6:,.0f} MB"
    return [Row("paired comparison", "two lm-eval folders", seconds, "s", detail, below=10.0)]


def _write(folder: Path, num_items: int, seed: int) -> None:
    """Write rows with four prompts each, as lm-eval does for a question of four answers."""
    folder.mkdir()
    draw, results = random.Random(seed), {}
    for number in range(NUM_TASKS):
        values = [float(draw.random() < 0.5) for _ in range(num_items)]
        results[f"task{number}"] = {"acc,none": fmean(values)}
        with (folder / f"samples_task{number}_{DATE}.jsonl").open("w") as file:
            file.writelines(json.dumps(_row(item, value)) + "\n" for item, value in enumerate(values))
    names = dict.fromkeys(results, 1)
    tables = {"results": results, "versions": names, "n-shot": names}
    (folder / f"results_{DATE}.json").write_text(json.dumps(tables))


def _row(item: int, value: float) -> dict[str, object]:
    digest = sha256(str(item).encode()).hexdigest()
    arguments = {f"gen_args_{choice}": {"arg_0": PROMPT, "arg_1": " an answer"} for choice in range(4)}
    answers = [["-1.2345678901234567", "False"]] * 4
    return {
        "doc_id": item, "doc": {"question": PROMPT, "choices": ["an answer"] * 4}, "target": "0",
        "arguments": arguments,
        "resps": [[answer] for answer in answers], "filtered_resps": answers, "filter": "none", "metrics": ["acc"],
        "doc_hash": digest, "prompt_hash": digest, "target_hash": digest, "acc": value,
    }  # fmt: skip
