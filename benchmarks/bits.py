"""Whether two versions of the code compute the same: runs of every scorer, metric and task, each digested.

    python -m benchmarks.bits CHECKOUT OUT.json     # run the code of a checkout
    python -m benchmarks.bits --compare A.json B.json

What is digested is content alone: scores, order, weights, results, alignment. Keys, paths and seconds may differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from delt_exp.cli.help import options
from delt_exp.config.build import CONF
from delt_exp.files import digest, file_sha256

SMALL = [
    "train_dataset.max_bytes=60_000", "proxy.train_tokens=8_192", "training.max_tokens=8_192",
    "probe.train_tokens=8_192",
]  # fmt: skip
SHORT_LQS = ["scorer.base.num_steps=4", "scorer.num_annotated=32", "scorer.base.num_target=8"]
READ_FILES = ("field", "kenlm", "table")  # scores from elsewhere, or a model that is not at hand
SHORT = {
    **dict.fromkeys(("lqs", "pds", "learnability", "quality"), SHORT_LQS),
    "less": ["scorer.warm_up.share=0.1"],  # a step for each epoch
    "rose": ["scorer.warm_up.share=0.1"],
    "ask_llm": ["train_dataset.max_documents=12", "scorer.context_tokens=32"],
    "data_whisperer": ["train_dataset.max_documents=12", "scorer.context_tokens=32"],
    "datamodel": ["scorer.num_fitted=8", "scorer.num_seeds=2", "scorer.num_held_out=4"],
}
RUNS: dict[str, list[str]] = {
    "default": [],
    **{
        f"scorer={name}": [f"scorer={name}", *SMALL, *SHORT.get(name, [])]
        for name in options(CONF, "scorer")
        if name not in READ_FILES
    },
    "proxy=target": ["scorer=perplexity", "proxy=target", *SMALL],
    "data_scorer=regression": ["scorer=lqs", "data_scorer@scorer.data_scorer=regression", *SMALL, *SHORT_LQS],
    "all_annotated": ["scorer=lqs", *SMALL, *SHORT_LQS, "scorer.num_annotated=null", "scorer.data_scorer=null"],
    "padded": ["scorer=length", *SMALL, "training.layout=padded"],
    "isolated": ["scorer=length", *SMALL, "training.layout=packed_isolated"],
    **{f"alignment={name}": ["scorer=length", *SMALL, f"alignment={name}"] for name in ("ngram", "ncd")},
    "alignment=task2vec": ["scorer=length", *SMALL, "alignment=task2vec", "alignment.task2vec.batch_documents=16"],
    "alignment=sentence": ["scorer=length", *SMALL, "alignment=sentence"],
    "local_bench": ["scorer=length", *SMALL, "eval_dataset=local_bench", "eval_dataset.local_bench.limit=20"],
}


def main() -> None:
    """Run and digest, or compare two files of digests."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bits", description=__doc__.split("\n")[0])
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"))
    parser.add_argument("--only", nargs="*", default=list(RUNS), metavar="NAME")
    parser.add_argument("paths", nargs="*", type=Path, metavar="CHECKOUT OUT")
    arguments = parser.parse_args()
    if arguments.compare:
        compare(*(json.loads(path.read_text()) for path in arguments.compare))
        return
    checkout, out = arguments.paths
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            output = Path(folder) / name.replace("=", "-")  # Hydra ends a value at "="
            results[name] = run(checkout.resolve(), RUNS[name], output)
            print(name, digest(results[name]), flush=True)
            out.write_text(json.dumps(results, indent=1) + "\n")


def run(checkout: Path, overrides: list[str], output: Path) -> dict[str, Any]:
    """Return what one run computed, as digests and numbers."""
    output.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "run.py", f"output_dir={output}", f"store.root={output.parent}/store", *overrides]
    finished = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if finished.returncode:
        return {"failed": finished.stderr.strip().splitlines()[-1:]}
    (record_file,) = output.rglob("record.json")
    record = json.loads(record_file.read_text())
    tables = {
        name: pq.read_table(record_file.with_name(name)).to_pydict() for name in ("scores.parquet", "order.parquet")
    }
    weights = sorted(record_file.with_name("model").glob("*.safetensors"))
    return {
        **{name: digest(table) for name, table in tables.items()},
        "weights": [file_sha256(path) for path in weights],
        "results": {f"{row['dataset']}/{row['metric']}": [row["value"], row["stderr"]] for row in record["results"]},
        "alignment": without_seconds(record["alignment"]),
        "verified": record["order_verified"],
        "train_loss": record["training"]["final_train_loss"],
    }


def without_seconds(value: Any) -> Any:
    """Return a JSON-like value without what says how long something took, at any depth."""
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if not key.endswith("seconds")}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Print what differs; leave with status 1 if anything does."""
    different = [
        (name, key) for name in before for key in before[name] if before[name][key] != after.get(name, {}).get(key)
    ]
    failed = [name for runs in (before, after) for name in runs if "failed" in runs[name]]
    if failed:
        sys.exit(f"these runs failed, which compares nothing: {', '.join(dict.fromkeys(failed))}")
    for name, key in different:
        print(f"{name}: {key}: {before[name][key]} -> {after.get(name, {}).get(key)}")
    print(f"{len(before)} runs, {len(different)} differences")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
