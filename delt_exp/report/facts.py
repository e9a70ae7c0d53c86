"""What the page of a run says, as plain values made from its record: sentences, counts, warnings and tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.corpus.overlap import overlap_sentences
from delt_exp.quantity import is_chance
from delt_exp.report.answer import first_sentence, limits, sources, why_none
from delt_exp.report.numbers import compact, count, listed, seconds, share, value

Record = Mapping[str, Any]
NUM_HEADLINE_RESULTS = 3
NUM_SOURCES = 20
ORACLE_ACCURACY = "oracle_accuracy"  # the measure of an evaluation that says what its oracle is worth


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


class Caution(NamedTuple):
    """Something a reader must know before trusting the numbers; `serious` when a result may be wrong."""

    serious: bool
    text: str


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


def unfit(record: Record) -> int:
    """Return how many kept documents no training step could use, because they do not fit the model's context."""
    return int(record["training"].get("documents_left_out", 0))


def held_out(record: Record) -> int:
    """Return how many kept documents were left out of training to compare learning rates on."""
    return int(record["training"].get("protocol", {}).get("documents", 0))


def pipeline(record: Record) -> list[Step]:
    """Return the steps from documents to results, with the choices and the counts at each."""
    choices, config, training, meaning = record["choices"], record["config"], record["training"], record["score"]
    train, target = record["data"]["train"], record["data"]["target"]
    kept, measures = record["selection"]["kept_documents"], len(record["results"])
    size = [f"{count(train['documents'])} documents", f"{compact(train['tokens'])} tokens ({choices['tokenizer']})"]
    unit = f" [{meaning['unit']}]" if meaning["unit"] != "none" else ""
    scored = [f"{meaning['name']}{unit}, {meaning['better']} is better"]
    by_target = (
        f"by the target set {choices['target_dataset']} of {count(target['documents'])} documents" if target else ""
    )
    readers = target.get("readers", ["scorer"]) if target else []  # only scorers read it in older records
    scored += [by_target] if "scorer" in readers else []
    scored += record.get("evidence", {}).get("remarks", [])
    weighter = choices.get("weighter", "none")
    learnt = [by_target] if "weighter" in readers else []
    weighted = [Step("weighter", weighter, [], learnt)] if weighter != "none" else []
    averaging = choices.get("averaging", "none")
    averaged = [Step("averaging", averaging, settings(config["averaging"]), [])] if averaging != "none" else []
    mixture = choices.get("mixture", "none")
    mixed = [Step("mixture", mixture, settings(config["mixture"]), _shares(record))] if mixture != "none" else []
    steps = f"{count(training['steps'])} steps on {training['device']}"
    return [
        Step("dataset", choices["train_dataset"], [], size),
        Step("scorer", choices["scorer"], [], scored),
        Step("selector", choices["selector"], settings(config["selector"]), [f"{count(kept)} documents kept"]),
        Step("orderer", choices["orderer"], settings(config["orderer"]), [f"order {verdict(record)}"]),
        *mixed,
        *weighted,
        *averaged,
        Step("model", choices["model"], rates(record), [f"{compact(training['parameters'])} parameters", steps]),
        # A list of options, such as eval_dataset=[a,b], is no choice to Hydra.
        Step(
            "evaluation",
            choices.get("eval_dataset") or ", ".join(config["eval_dataset"]),
            [],
            [f"{measures} measures" if measures else "none"],
        ),
    ]


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


def _at_the_edge(record: Record) -> str:
    """Return that a rate beyond those tried may be better; nothing where the best has one on each side."""
    protocol = record["training"].get("protocol", {})
    tried = [row["lr"] for row in protocol.get("tried", [])]
    if not tried or min(tried) < protocol["lr"] < max(tried):
        return ""
    side = "smallest" if protocol["lr"] == min(tried) else "largest"
    return (
        f"The best learning rate, {protocol['lr']:g}, is the {side} that was tried: one beyond it may be better. Add "
        "it to training.tuned_ratios."
    )


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


def cautions(record: Record, not_reached: int) -> list[Caution]:
    """Return what could mislead a reader; `not_reached` counts kept documents that no training step used."""
    found = []
    if not record["order_verified"]:
        reason = record["training"]["order_mismatch"]
        found.append(
            Caution(True, f"The order of training is not verified ({reason}): do not compare orders by this run.")
        )
    found += [Caution(True, text) for text in record.get("evidence", {}).get("warnings", [])]
    found += [Caution(False, text) for text in filter(None, [_at_the_edge(record)])]
    baseline = (record.get("baseline") or {}).get("training", {})
    if baseline and not baseline["order_verified"]:
        reason = baseline["order_mismatch"]
        found.append(Caution(True, f"The order of the baseline is not verified ({reason}): do not trust the answer."))
    data = record["data"]
    found += [Caution(True, text) for text in overlap_sentences(data.get("target_overlap"), data["overlap"])]
    found += [Caution(True, f"{note}.") for note in record.get("model_notes", [])]
    for role, data in (("training", record["data"]["train"]), ("target", record["data"]["target"])):
        found += [
            Caution(False, text) for text in (_losses(role, data["counts"], data.get("left_out", {})) if data else [])
        ]
    for result in record["results"]:
        if result.get("truncated"):
            part = f"{count(result['truncated'])} of {count(result['count'])} questions of {result['dataset']}"
            found.append(Caution(False, f"{part} lost their beginning to fit the context ({result['metric']})."))
        if result["metric"] == ORACLE_ACCURACY and is_chance(result["value"], result["stderr"]):
            found.append(Caution(True, oracle_worth(result["dataset"], result["value"], result["stderr"])))
    for name, reasons in record["data"].get("evaluation_left_out", {}).items():
        found += [Caution(False, _left_out(f"evaluation set {name}", *reason)) for reason in reasons.items()]
    every = f"of {count(record['selection']['kept_documents'])} kept documents"
    if too_long := unfit(record):
        text = f"{count(too_long)} {every} were not trained on: an answer does not fit the context of the model."
        found.append(Caution(False, text))
    if beyond := not_reached - too_long - held_out(record):  # what is held out is said where rates are shown
        text = f"{count(beyond)} {every} were not trained on because the token budget was used up."
        found.append(Caution(False, text))
    return found


def oracle_worth(dataset: str, accuracy: float, stderr: float | None) -> str:
    """Return what the oracle of an evaluation set is worth."""
    doubt = ", no more often than chance: its win rates carry no information about quality"
    consequence = doubt if is_chance(accuracy, stderr) else ""
    shown = value(accuracy, stderr)
    return f"The oracle of {dataset} agrees with people on {shown} of the preferences{consequence}."


def _left_out(where: str, reason: str, number: int) -> str:
    return f"Left out of the {where}: {count(number)} {reason}."


def _losses(role: str, counts: Mapping[str, int], left_out: Mapping[str, int]) -> list[str]:
    """Return what is to be said of documents of a set that were skipped or occur twice."""
    texts = [_left_out(f"{role} set", *reason) for reason in left_out.items()]
    if counts["empty_files"]:
        texts.append(f"{count(counts['empty_files'])} {role} files have no records.")
    if counts["empty"]:
        part = f"{count(counts['empty'])} of {count(counts['read'])} {role} documents"
        texts.append(f"{part} had no text and were skipped.")
    if counts.get("without_tokens"):
        part = f"{count(counts['without_tokens'])} of {count(counts['read'])} {role} documents"
        texts.append(f"{part} have text that the tokenizer turns into no tokens; they were left out.")
    if counts["duplicates"]:
        fate = "dropped" if counts["duplicates_dropped"] else "kept"
        texts.append(f"{count(counts['duplicates'])} {role} documents are exact copies of others; they were {fate}.")
    if counts.get("near_duplicates"):
        texts.append(f"{count(counts['near_duplicates'])} {role} documents were near-duplicates of others and dropped.")
    return texts


def largest_sources(by_source: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the sources with most documents, as many as fit a picture or a table."""
    return sorted(by_source.items(), key=lambda item: -item[1]["documents"])[:NUM_SOURCES]


def ledger(data: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how the documents read became the documents used, line by line; the lines before the last add up to it."""
    counts, documents = data["counts"], data["documents"]
    # Records of earlier versions do not know all of these.
    skipped, without_tokens, contaminated, near = (
        counts.get(name, 0) for name in ("left_out", "without_tokens", "contaminated", "near_duplicates")
    )
    dropped = counts["duplicates_dropped"] + without_tokens + contaminated + near
    pieces = documents + dropped - (counts["read"] - counts["empty"] - skipped)
    kind = "preferences" if data.get("preferences") else "conversations"
    return [
        ("documents read", counts["read"]),
        ("without text, skipped", -counts["empty"]),
        *([(f"{kind} left out", -skipped)] if skipped else []),
        (f"extra pieces of {count(counts['split'])} long documents that were cut", pieces),
        ("exact copies, dropped", -counts["duplicates_dropped"]),
        *([("without a token, left out", -without_tokens)] if without_tokens else []),
        *([("in or nearly in another set, left out", -contaminated)] if contaminated else []),
        *([("near-duplicates, dropped", -near)] if near else []),
        ("documents used", documents),
    ]


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
