"""A run of this program: its losses on every evaluation document."""

from pathlib import Path

from delt_exp.compare.answers import Answers, Choice, ReadResults, by_item, chosen_tasks
from delt_exp.errors import DataError
from delt_exp.files import read_json

RECORD = "record.json"


def read_run(path: Path, choice: Choice) -> ReadResults:
    """Return the losses on each evaluation dataset, in nats per token; raises DataError for a run without any."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    record, file = read_json(path / RECORD), path / "losses.parquet"
    if not file.exists():
        raise DataError(f"{path} has no losses of evaluation documents; repeat the run with an eval_dataset of texts")
    table = pq.read_table(file)
    names = table["dataset"].unique().to_pylist()
    answers = {}
    for name in chosen_tasks(path, names, {}, choice.tasks):
        part = table.filter(pc.equal(table["dataset"], name))
        ids, sum_nats, num_tokens = (part[key].to_numpy() for key in ("id", "sum_nats", "num_tokens"))
        columns = by_item(f"{file}, {name}", ids, sum_nats, num_tokens, {})
        answers[name] = Answers("loss", "nats/token", "lower", **columns)
    others = sorted({row["dataset"] for row in record["results"]} - set(names))
    left_out = [f"{path.name}: {', '.join(others)} left out: a run keeps one number of each, not one per item."]
    return ReadResults({record["seed"]: answers}, {}, left_out if others else [])
