"""What the page of a run says, as plain values made from its record: sentences, counts, warnings and tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.report.numbers import compact, count, seconds, share, value

Record = Mapping[str, Any]
NUM_HEADLINE_RESULTS = 3


class Fact(NamedTuple):
    """One number to see at a glance, and what it is."""

    label: str
    value: str
    detail: str


class Step(NamedTuple):
    """One step of the pipeline: its kind, the option chosen, its settings, and what came out."""

    kind: str
    choice: str
    settings: list[str]
    outcome: list[str]


class Warning_(NamedTuple):  # noqa: N801 - Warning is a built-in exception
    """Something a reader must know before trusting the numbers; `serious` when a result may be wrong."""

    serious: bool
    text: str


def headline(record: Record) -> str:
    """Return one sentence: what was done, and what came out."""
    choices, selection, steps = record["choices"], record["selection"], count(record["training"]["steps"])
    kept, every = count(selection["kept_documents"]), count(selection["of_documents"])
    scorer, orderer = choices["scorer"], choices["orderer"]
    if kept == every:
        done = f"All {every} documents of {choices['train_dataset']} were scored by {scorer}"
    else:
        done = f"{kept} of {every} documents of {choices['train_dataset']} were kept by {choices['selector']} on {scorer} scores"
    return f"{done} and trained in {orderer} order for {steps} steps; {_outcome(record['results'])}."


def _outcome(results: list[dict[str, Any]]) -> str:
    """Return the first results in words: those of the loss, where there are any."""
    if not results:
        return "the model was not evaluated"
    first = next((r for r in results if r["metric"] == "loss"), results[0])
    alike = [r for r in results if r["metric"] == first["metric"]]
    shown = [f"{value(r['value'], r['stderr'])} on {r['dataset']}" for r in alike[:NUM_HEADLINE_RESULTS]]
    more = f" and on {len(alike) - len(shown)} more datasets below" if len(alike) > len(shown) else ""
    return f"its {first['metric'].replace('_', ' ')} in {first['unit']} is {', '.join(shown)}{more}"


def key_facts(record: Record) -> list[Fact]:
    """Return the numbers of the strip under the headline."""
    selection, training, stages = record["selection"], record["training"], record["stages"]
    kept, every = selection["kept_documents"], selection["of_documents"]
    token_share = share(selection["kept_tokens"], selection["of_tokens"])
    found = sum(stage["cached"] for stage in stages)
    loss = training["last_train_loss"]
    return [
        Fact("documents kept", count(kept), f"{share(kept, every)} of {count(every)}, {token_share} of the tokens"),
        Fact("tokens trained", compact(training["tokens"]), f"in {count(training['steps'])} steps"),
        Fact("model", compact(training["parameters"]), f"parameters ({record['choices']['model']})"),
        Fact("last training loss", "–" if loss is None else value(loss), "nats/token, one batch"),
        Fact("time", seconds(record["seconds"]), f"{found} of {len(stages)} stages found, not computed"),
    ]


def pipeline(record: Record) -> list[Step]:
    """Return the steps from documents to results, with the choices and the counts at each."""
    choices, config, training, meaning = record["choices"], record["config"], record["training"], record["score"]
    train, target = record["data"]["train"], record["data"]["target"]
    against = [f"target: {choices['target_dataset']}, {count(target['documents'])} documents"] if target else []
    kept, datasets = record["selection"]["kept_documents"], {r["dataset"] for r in record["results"]}
    size = [f"{count(train['documents'])} documents", f"{compact(train['tokens'])} tokens ({choices['tokenizer']})"]
    trained = [f"{compact(training['parameters'])} parameters", f"{count(training['steps'])} steps on {training['device']}"]
    unit = f" [{meaning['unit']}]" if meaning["unit"] else ""
    return [
        Step("dataset", choices["train_dataset"], [], size),
        Step("scorer", choices["scorer"], against, [f"{meaning['name']}{unit}", f"{meaning['better']} is better"]),
        Step("selector", choices["selector"], settings(config["selector"]), [f"{count(kept)} documents kept"]),
        Step("orderer", choices["orderer"], settings(config["orderer"]), [f"order {verdict(record)}"]),
        Step("model", choices["model"], [], trained),
        Step("evaluation", choices["eval_dataset"], [], [f"{len(datasets)} dataset{'s' * (len(datasets) != 1)}"]),
    ]


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


def warnings(record: Record, not_reached: int) -> list[Warning_]:
    """Return what could mislead a reader; `not_reached` counts kept documents that no training step used."""
    found = []
    if not record["order_verified"]:
        reason = record["training"]["order_mismatch"] or "no reason is recorded"
        found.append(Warning_(True, f"The order of training is not verified: {reason}. Do not compare orders by this run."))
    for name, shared in record["data"]["overlap"].items():
        for key, place in (("in_train", "trained on"), ("in_target", "part of the target set that scores are based on")):
            if shared[key]:
                part = f"{count(shared[key])} of {count(shared['documents'])} documents of {name}"
                found.append(Warning_(True, f"{part} are also {place}: results on {name} flatter the model."))
    for role in ("train", "target"):
        if record["data"][role]:
            found += _data_warnings(role, record["data"][role]["counts"])
    if not_reached:
        kept = count(record["selection"]["kept_documents"])
        found.append(Warning_(False, f"{count(not_reached)} of {kept} kept documents lie beyond the token budget: never trained."))
    return found


def _data_warnings(role: str, counts: Mapping[str, int]) -> list[Warning_]:
    found = []
    if counts["empty"]:
        found.append(Warning_(False, f"{count(counts['empty'])} of {count(counts['read'])} {role} documents had no text and were skipped."))
    if counts["duplicates"]:
        kept = counts["duplicates"] - counts["duplicates_dropped"]
        fate = f"{count(kept)} of them stayed in" if kept else "all were dropped"
        found.append(Warning_(False, f"{count(counts['duplicates'])} {role} documents were exact copies of others; {fate}."))
    return found


def ledger(data: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how the documents read became the documents used, line by line; the lines before the last add up to it."""
    counts, documents = data["counts"], data["documents"]
    pieces = documents + counts["duplicates_dropped"] - (counts["read"] - counts["empty"])
    return [
        ("documents read", counts["read"]),
        ("without text, skipped", -counts["empty"]),
        (f"more by cutting {count(counts['split'])} long documents", pieces),
        ("exact copies, dropped", -counts["duplicates_dropped"]),
        ("documents used", documents),
    ]


def result_tables(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tables of datasets by metrics; datasets that were measured alike share one."""
    by_dataset: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {}
    for r in results:
        by_dataset.setdefault(r["dataset"], {})[r["metric"], r["unit"], r["better"]] = r
    tables: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for name, row in by_dataset.items():
        cells = [value(r["value"], r["stderr"]) for r in row.values()]
        counts = " / ".join(count(n) for n in dict.fromkeys(r["count"] for r in row.values()))
        tables.setdefault(tuple(row), []).append({"dataset": name, "cells": cells, "count": counts})
    return [{"columns": columns, "rows": rows} for columns, rows in tables.items()]
