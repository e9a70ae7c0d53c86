"""What could mislead a reader of a run, and how the documents read became those that were used."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from delt_exp.corpus.overlap import overlap_sentences
from delt_exp.quantity import is_chance
from delt_exp.report.numbers import count, value

Record = Mapping[str, Any]
ORACLE_ACCURACY = "oracle_accuracy"  # the measure of an evaluation that says what its oracle is worth


class Caution(NamedTuple):
    """Something a reader must know before trusting the numbers; `serious` when a result may be wrong."""

    serious: bool
    text: str


def cautions(record: Record, not_reached: int) -> list[Caution]:
    """Return what could mislead a reader; `not_reached` counts kept documents that no training step used."""
    return [*_of_training(record), *_of_data(record), *_of_results(record), *_of_unused(record, not_reached)]


def _of_training(record: Record) -> Iterator[Caution]:
    if not record["order_verified"]:
        reason = record["training"]["order_mismatch"]
        yield Caution(True, f"The order of training is not verified ({reason}): do not compare orders by this run.")
    yield from (Caution(True, text) for text in record.get("evidence", {}).get("warnings", []))
    yield from (Caution(False, text) for text in filter(None, [_at_the_edge(record)]))
    baseline = (record.get("baseline") or {}).get("training", {})
    if baseline and not baseline["order_verified"]:
        reason = baseline["order_mismatch"]
        yield Caution(True, f"The order of the baseline is not verified ({reason}): do not trust the answer.")


def _of_data(record: Record) -> Iterator[Caution]:
    data = record["data"]
    yield from (Caution(True, text) for text in overlap_sentences(data.get("target_overlap"), data["overlap"]))
    yield from (Caution(True, f"{note}.") for note in record.get("model_notes", []))
    for role, described in (("training", data["train"]), ("target", data["target"])):
        if described:
            lost = _losses(role, described["counts"], described.get("left_out", {}))
            yield from (Caution(False, text) for text in lost)


def _of_results(record: Record) -> Iterator[Caution]:
    for result in record["results"]:
        if result.get("truncated"):
            part = f"{count(result['truncated'])} of {count(result['count'])} questions of {result['dataset']}"
            yield Caution(False, f"{part} lost their beginning to fit the context ({result['metric']}).")
        if result["metric"] == ORACLE_ACCURACY and is_chance(result["value"], result["stderr"]):
            yield Caution(True, oracle_worth(result["dataset"], result["value"], result["stderr"]))
    for name, reasons in record["data"].get("evaluation_left_out", {}).items():
        yield from (Caution(False, _left_out(f"evaluation set {name}", *reason)) for reason in reasons.items())


def _of_unused(record: Record, not_reached: int) -> Iterator[Caution]:
    every = f"of {count(record['selection']['kept_documents'])} kept documents"
    if too_long := unfit(record):
        text = f"{count(too_long)} {every} were not trained on: an answer does not fit the context of the model."
        yield Caution(False, text)
    if beyond := not_reached - too_long - held_out(record):  # what is held out is said where rates are shown
        text = f"{count(beyond)} {every} were not trained on because the token budget was used up."
        yield Caution(False, text)


def unfit(record: Record) -> int:
    """Return how many kept documents no training step could use, because they do not fit the model's context."""
    return int(record["training"].get("documents_left_out", 0))


def held_out(record: Record) -> int:
    """Return how many kept documents were left out of training to compare learning rates on."""
    return int(record["training"].get("protocol", {}).get("documents", 0))


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
