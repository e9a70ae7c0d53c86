"""Did it help? The answer of a run in sentences, from its record alone."""

from collections.abc import Mapping
from typing import Any

from delt_exp.report.numbers import count, listed, share, value

Record = Mapping[str, Any]
NUM_ANSWERS = 3  # evaluation sets in the first sentence
NUM_SOURCES = 4  # in the sentence on sources
NO_BREAK = "\u00a0"


def answers(record: Record) -> list[Mapping[str, Any]]:
    """Return the comparison with the baseline on each evaluation set, that of the target first."""
    found = (record.get("baseline") or {}).get("answers", [])
    target = record["choices"].get("target_dataset")
    return sorted(found, key=lambda answer: answer["dataset"] != target)


def first_sentence(record: Record) -> str:
    """Return whether the run did better than its baseline, and by how much; nothing without a baseline."""
    found = answers(record)
    if not found:
        return ""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for answer in found[:NUM_ANSWERS]:
        groups.setdefault(_verb(answer), []).append(answer)
    parts = [f"{verb} {listed([_amount(one, one is not group[0]) for one in group])}" for verb, group in groups.items()]
    more = f" ({len(found) - NUM_ANSWERS} more below)" if len(found) > NUM_ANSWERS else ""
    return f"{_subject(record)} {listed(parts)}{more}, compared with {_against(record)}."


def limits(record: Record) -> str:
    """Return what the intervals of the first sentence cover, and what they do not; nothing without a baseline."""
    found = answers(record)
    if not found:
        return ""
    over = "documents" if all(answer["paired"] for answer in found) else "documents or questions"
    return (
        f"± is the 95 % interval over {over}, for these two models alone. Each was trained once: one seed is one draw, "
        "and another can move the difference by several times as much. study=compare with several seeds shows how far."
    )


def why_none(record: Record) -> str:
    """Return why there is no baseline although one was asked for; nothing where there is one or none was wanted."""
    skipped = (record.get("baseline") or {}).get("skipped", "")
    return f"Not compared with a baseline: {skipped}." if skipped else ""


def sources(record: Record) -> str:
    """Return how much was kept of each source; nothing where all was kept or there is one source."""
    selection, by_source = record["selection"], record["score"]["by_source"]
    if selection["kept_documents"] == selection["of_documents"] or len(by_source) < 2:
        return ""
    by_share = sorted(by_source.items(), key=lambda item: -item[1]["kept"] / item[1]["documents"])
    half = NUM_SOURCES // 2
    shown = by_share if len(by_share) <= NUM_SOURCES else [*by_share[:half], *by_share[-half:]]
    more = f" (most and least kept of {len(by_share)} sources)" if len(shown) < len(by_share) else ""
    return f"It kept {listed([_kept(name, source) for name, source in shown])}{more}."


def _kept(name: str, source: Mapping[str, Any]) -> str:
    kept, documents = source["kept"], source["documents"]
    part = "none" if kept == 0 else count(kept) if 100 * kept < documents else _percent(kept, documents)
    return f"{part} of the {count(documents)} documents of {name or 'no source'}"


def _percent(part: int, whole: int) -> str:
    """Return a share in whole percent, as long as that is neither nothing nor all."""
    percent = round(100 * part / whole)
    return f"{percent} %" if 0 < percent < 100 else share(part, whole)


def _subject(record: Record) -> str:
    selection, choices = record["selection"], record["choices"]
    kept, every = selection["kept_documents"], selection["of_documents"]
    by = f"{choices['scorer']} scores" if selection.get("by_scores", True) else choices["selector"]
    parts = []
    if kept < every:
        parts.append(f"Choosing {_percent(kept, every)} of {choices['train_dataset']} by {by}")
    if choices["orderer"] != "shuffle":
        what = "training it" if parts else f"Training all of {choices['train_dataset']}"
        parts.append(f"{what} in {choices['orderer']} order")
    for group in ("mixture", "weighter"):
        if choices.get(group, "none") != "none":
            parts.append(f"{group} {choices[group]}" if parts else f"{group.capitalize()} {choices[group]}")
    return listed(parts) or "This run"


def _against(record: Record) -> str:
    kept = record["selection"]["kept_documents"]
    if kept == record["selection"]["of_documents"]:
        return "the same documents in random order"
    return "as many random documents in random order"


def _verb(answer: Mapping[str, Any]) -> str:
    if answer["verdict"] not in ("better", "worse"):
        return "did not measurably change"
    return "raised" if answer["difference"] > 0 else "lowered"


def _amount(answer: Mapping[str, Any], is_next: bool) -> str:
    """Return what changed, and by how much; in a list the metric is said once."""
    what = f"{'that' if is_next else 'the ' + answer['metric'].replace('_', ' ')} on {answer['dataset']}"
    if answer["verdict"] not in ("better", "worse"):
        return f"{what} ({difference(answer)})"
    return f"{what} by {difference(answer, signed=False)}"


def difference(answer: Mapping[str, Any], *, signed: bool = True) -> str:
    """Return the difference with half of its interval, and its unit: +0.11 ± 0.03 nats/token."""
    number = answer["difference"]
    half = None if answer["low"] is None else (answer["high"] - answer["low"]) / 2
    sign = ("+" if number > 0 else "−" if number < 0 else "") if signed else ""
    unit = "" if answer["unit"] == answer["metric"] else f"{NO_BREAK}{answer['unit'].replace('nats/token', 'nats')}"
    return f"{sign}{value(abs(number), half)}{unit}"
