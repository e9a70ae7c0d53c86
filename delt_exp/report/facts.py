"""What the page of a run says, as plain values made from its record: sentences, numbers, tables of results."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.report.answer import first_sentence, limits, sources, why_none
from delt_exp.report.numbers import compact, count, listed, seconds, share, value

Record = Mapping[str, Any]
NUM_HEADLINE_RESULTS = 3
NUM_SOURCES = 20


class Fact(NamedTuple):
    """One number to see at a glance, and what it is."""

    label: str
    value: str
    detail: str


def headline(record: Record, not_reached: int) -> str:
    """Return one sentence: whether it helped; without a baseline, what was done and what came out."""
    return first_sentence(record) or f"{_done(record, not_reached)}; {_outcome(record['results'])}{_averaged(record)}."


def lead(record: Record, not_reached: int) -> list[str]:
    """Return the sentences after the headline: what was kept of each source, what was done, and what limits it."""
    done = _done(record, not_reached) if first_sentence(record) else ""
    averaged = _averaged(record) if first_sentence(record) else ""
    told = (sources(record), limits(record), f"{done}{averaged}{'.' * bool(done)}", why_none(record))
    return [text for text in told if text]


def _done(record: Record, not_reached: int) -> str:
    """Return what was done, as half a sentence."""
    choices, selection, steps = record["choices"], record["selection"], count(record["training"]["steps"])
    kept, every = count(selection["kept_documents"]), count(selection["of_documents"])
    scorer, orderer = choices["scorer"], choices["orderer"]
    if kept == every:
        done = f"All {every} documents of {choices['train_dataset']} were scored by {scorer}"
    else:
        part = f"{kept} of {every} documents of {choices['train_dataset']}"
        by_scores = selection.get("by_scores", True)  # older records do not say
        done = f"{part} were kept by {choices['selector']}" + (f" on {scorer} scores" if by_scores else "")
    trained = f"{count(selection['kept_documents'] - not_reached)} of them trained" if not_reached else "trained"
    return f"{done} and {trained} in {orderer} order for {steps} steps"


def _averaged(record: Record) -> str:
    """Return what averaged weights have, in words; nothing where there are none."""
    found = record.get("averaged")
    return f"; averaged weights: {_outcome(found['results'])}" if found and found["results"] else ""


def all_results(record: Record) -> list[dict[str, Any]]:
    """Return the rows of the results, those of averaged weights under names that say so."""
    averaged = record.get("averaged", {"results": []})["results"]
    return [*record["results"], *({**row, "dataset": f"{row['dataset']}, averaged weights"} for row in averaged)]


def _outcome(results: list[dict[str, Any]]) -> str:
    """Return the first results in words: those of the loss, where there are any."""
    if not results:
        return "the model was not evaluated"
    first = next((r for r in results if r["metric"] == "loss"), results[0])
    alike = [r for r in results if r["metric"] == first["metric"]]
    shown = [f"{value(r['value'], r['stderr'])} on {r['dataset']}" for r in alike[:NUM_HEADLINE_RESULTS]]
    return f"the model's {first['metric'].replace('_', ' ')} ({first['unit']}) is {listed(shown)}" + (
        f" ({len(alike) - len(shown)} more below)" if len(alike) > len(shown) else ""
    )


def key_facts(record: Record) -> list[Fact]:
    """Return the numbers of the strip under the headline."""
    selection, training, stages = record["selection"], record["training"], record["stages"]
    kept, every = selection["kept_documents"], selection["of_documents"]
    token_share = share(selection["kept_tokens"], selection["of_tokens"])
    reused, every_stage = sum(stage["cached"] for stage in stages), len(stages)
    origin = (
        f"{reused} of {every_stage} stages reused from the cache" if reused else f"all {every_stage} stages computed"
    )
    loss, baseline = training["final_train_loss"], record.get("baseline") or {}
    if baseline.get("answers"):
        origin += f"; and {seconds(baseline['seconds'])} for the baseline"
    return [
        Fact("documents kept", count(kept), f"{share(kept, every)} of {count(every)}, {token_share} of the tokens"),
        Fact("tokens trained", compact(training["tokens"]), f"in {count(training['steps'])} steps"),
        Fact("model", compact(training["parameters"]), f"parameters ({record['choices']['model']})"),
        Fact("training loss", value(loss), f"{loss_unit(record)}, mean of the last tenth"),
        Fact("time", seconds(record["seconds"]), origin),
    ]


def loss_unit(record: Record) -> str:
    """Return what the training loss is measured in."""
    return str(record["training"].get("loss_unit", "nats/token"))  # records of earlier versions do not say


def largest_sources(by_source: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the sources with most documents, as many as fit a picture or a table."""
    return sorted(by_source.items(), key=lambda item: -item[1]["documents"])[:NUM_SOURCES]


def result_tables(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tables of datasets by kind of number; datasets that were measured in the same units share one.

    columns: (metrics, unit, better). rows: dataset, count, and cells of (value, metric); the metric is empty where the
    column has only one.
    """
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_dataset.setdefault(result["dataset"], []).append(result)
    alike: dict[tuple[tuple[str, str], ...], list[list[dict[str, Any]]]] = {}
    for row in by_dataset.values():
        alike.setdefault(tuple((r["unit"], r["better"]) for r in row), []).append(row)
    return [_table(rows, kinds) for kinds, rows in alike.items()]


def _table(rows: list[list[dict[str, Any]]], kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    metrics = [list(dict.fromkeys(r["metric"].replace("_", " ") for r in column)) for column in zip(*rows, strict=True)]
    several = [len(names) > 1 for names in metrics]
    return {
        "columns": [(", ".join(names), *kind) for names, kind in zip(metrics, kinds, strict=True)],
        "rows": [
            {
                "dataset": row[0]["dataset"],
                "cells": [
                    (value(r["value"], r["stderr"]), r["metric"].replace("_", " ") if named else "")
                    for r, named in zip(row, several, strict=True)
                ],
                "count": " / ".join(count(n) for n in dict.fromkeys(r["count"] for r in row)),
            }
            for row in rows
        ],
    }
