"""What went through a run: its steps from documents to results, with the choices and the counts at each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.report.numbers import compact, count, share

Record = Mapping[str, Any]


class Step(NamedTuple):
    """One step: its kind, the option chosen, its settings, and what came out."""

    kind: str
    choice: str
    settings: list[str]
    outcome: list[str]


def steps(record: Record) -> list[Step]:
    """Return the steps in the order in which documents take them; those that were left out are missing."""
    choices, config, training, train = record["choices"], record["config"], record["training"], record["data"]["train"]
    size = [f"{count(train['documents'])} documents", f"{compact(train['tokens'])} tokens ({choices['tokenizer']})"]
    kept, measures = record["selection"]["kept_documents"], len(record["results"])
    trained = [f"{compact(training['parameters'])} parameters"]
    trained.append(f"{count(training['steps'])} steps on {training['device']}")
    # A list of options, such as eval_dataset=[a,b], is no choice to Hydra.
    evaluation = choices.get("eval_dataset") or ", ".join(config["eval_dataset"])
    return [
        Step("dataset", choices["train_dataset"], [], size),
        Step("scorer", choices["scorer"], [], _scored(record)),
        Step("selector", choices["selector"], settings(config["selector"]), [f"{count(kept)} documents kept"]),
        Step("orderer", choices["orderer"], settings(config["orderer"]), [f"order {verdict(record)}"]),
        *_optional(record),
        Step("model", choices["model"], rates(record), trained),
        Step("evaluation", evaluation, [], [f"{measures} measures" if measures else "none"]),
    ]


def _scored(record: Record) -> list[str]:
    """Return what the scores are, what they are based on and what the scorer remarks."""
    meaning = record["score"]
    unit = f" [{meaning['unit']}]" if meaning["unit"] != "none" else ""
    told = [f"{meaning['name']}{unit}, {meaning['better']} is better", *_by_target(record, "scorer")]
    return [*told, *record.get("evidence", {}).get("remarks", [])]


def _by_target(record: Record, reader: str) -> list[str]:
    """Return that a step reads the target set, where it does."""
    target = record["data"]["target"]
    if not target or reader not in target.get("readers", ["scorer"]):  # only scorers read it in older records
        return []
    return [f"by the target set {record['choices']['target_dataset']} of {count(target['documents'])} documents"]


def _optional(record: Record) -> list[Step]:
    """Return mixture, weights and averaging, as far as they were chosen."""
    choices, config = record["choices"], record["config"]
    found = {
        "mixture": lambda name: Step("mixture", name, settings(config["mixture"]), _shares(record)),
        "weighter": lambda name: Step("weighter", name, [], _by_target(record, "weighter")),
        "averaging": lambda name: Step("averaging", name, settings(config["averaging"]), []),
    }
    return [step(choices[kind]) for kind, step in found.items() if choices.get(kind, "none") != "none"]


def rates(record: Record) -> list[str]:
    """Return the learning rate, how it was chosen and, where several were tried, what each of them reached."""
    protocol = record["training"].get("protocol")
    if protocol is None:  # a record of an earlier version
        return []
    tried = [
        f"learning rate {row['lr']:g}: " + ("diverged" if row["loss"] is None else f"loss {row['loss']:.4f}")
        for row in protocol.get("tried", [])
    ]
    by_loss = f" by the loss on {count(protocol['documents'])} documents left out of training" if tried else ""
    return [f"learning rate {protocol['lr']:g}, {protocol['name']}{by_loss}", *tried]


def _shares(record: Record) -> list[str]:
    """Return the sources of a mixture by their share."""
    rows = sorted(record["mixture"], key=lambda row: -row["share"])
    return [f"{row['source'] or 'no source'} {share(row['share'], 1)}" for row in rows[:6]]


def verdict(record: Record) -> str:
    """Return whether training consumed the documents in the planned order."""
    return "verified" if record["order_verified"] else "NOT verified"


def settings(node: Mapping[str, Any]) -> list[str]:
    """Return the settings of a configured component as `name value`; a component inside it is its name."""
    shown = {key: value for key, value in node.items() if not key.startswith("_") and value is not None}
    return [f"{key} {_short(value)}" for key, value in shown.items()]


def _short(setting: Any) -> str:
    if isinstance(setting, Mapping):
        return str(setting.get("_target_", "…")).rpartition(".")[2]
    return str(setting).lower() if isinstance(setting, bool) else str(setting)
