"""An experiment at a glance, in a terminal and in a notebook: what is computed, and what the answer is."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from delt_exp.config.run_name import RunInfo
from delt_exp.report import prepared
from delt_exp.report.answer import limits, sources, why_none
from delt_exp.report.facts import headline
from delt_exp.report.numbers import count, seconds

NOT_YET = "not computed yet"


class Facts(NamedTuple):
    """Title, steps with the result of each, and sentences below them."""

    title: str
    steps: Sequence[tuple[str, str]]
    answer: str


def facts(info: RunInfo, record: Mapping[str, Any]) -> Facts:
    """Return what there is to say of a run with this record, which is empty where nothing is computed."""
    chosen = info.choices
    parts = [chosen[group] for group in ("scorer", "selector", "orderer", "model")]
    title = " · ".join([*parts, f"seed {info.config['seed']}"])
    return Facts(title, _steps(chosen, record), _answer(record))


def _steps(chosen: Mapping[str, str], record: Mapping[str, Any]) -> list[tuple[str, str]]:
    stopped, selection, training = record.get("stopped_after"), record.get("selection"), record.get("training")
    scored = NOT_YET
    if record:
        score, documents = record["score"], count(record["data"]["train"]["documents"])
        unit = "" if score["unit"] == "none" else f" [{score['unit']}]"
        scored = f"{documents} documents, {score['name']}{unit}, {score['better']} is better"
    kept = NOT_YET
    if selection:
        kept = f"{count(selection['kept_documents'])} of {count(selection['of_documents'])} documents kept"
    ordered = NOT_YET if not record or stopped in ("scores", "selection") else "done"
    trained = NOT_YET
    if training:
        verdict = "verified" if record["order_verified"] else "NOT VERIFIED"
        trained = f"{count(training['steps'])} steps, order {verdict}, {seconds(record['seconds'])} in all"
    names = (chosen["scorer"], chosen["selector"], chosen["orderer"], chosen["model"])
    steps = ("scores", "selection", "order", "training")
    return [
        (f"{step} ({name})", found)
        for step, name, found in zip(steps, names, (scored, kept, ordered, trained), strict=True)
    ]


def _answer(record: Mapping[str, Any]) -> str:
    if not record:
        return "nothing has been computed yet; ask for .scores, .selection, .order or .results"
    if "stopped_after" in record:
        return prepared.headline(record)
    said = (headline(record, 0), sources(record), limits(record), why_none(record))
    return " ".join(filter(None, said))


def as_text(facts: Facts) -> str:
    """Return the facts for a terminal."""
    width = max(len(step) for step, _ in facts.steps)
    return "\n".join([facts.title, *(f"  {step:{width}}  {found}" for step, found in facts.steps), facts.answer])


def as_html(facts: Facts) -> str:
    """Return the facts for a notebook, escaped as HTML."""
    cell = '<td style="text-align:left">{}</td>'
    rows = "".join(f"<tr>{''.join(cell.format(escape(text)) for text in step)}</tr>" for step in facts.steps)
    return f"<div><b>{escape(facts.title)}</b><table>{rows}</table><p>{escape(facts.answer)}</p></div>"
