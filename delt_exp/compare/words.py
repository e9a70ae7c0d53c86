"""The verdicts in plain sentences, and in lines for a terminal."""

from collections.abc import Sequence

from delt_exp.compare.verdicts import NOT, OVERALL, Verdict


def sentences(names: Sequence[str], verdicts: Sequence[Verdict], alpha: float) -> list[str]:
    """Return a verdict for each arm of these names, how many tasks agree, and what the intervals do not cover."""
    return [*(said for name in names for said in _about(name, verdicts)), *_limits(verdicts, alpha)]


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return one line for each comparison, in columns."""
    rows = [
        (
            one.label,
            f"{one.comparison.first} - {one.comparison.second}",
            f"{signed(one.comparison.estimate.value)} {interval(one)} {one.comparison.unit}",
            f"p {one.comparison.p_holm:.2g}",
            one.word,
        )
        for one in verdicts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def signed(value: float) -> str:
    """Return a difference to three digits, with its sign."""
    return f"{value:+.3g}" if value else "0"


def interval(one: Verdict) -> str:
    """Return the interval of the difference."""
    low, high = one.comparison.interval
    return f"[{low:.3g}, {high:.3g}]"


def _about(name: str, verdicts: Sequence[Verdict]) -> list[str]:
    mine = [one for one in verdicts if one.comparison.first == name]
    tasks = [one for one in mine if one.level == "task"]
    said = [_sentence(one) for one in [one for one in mine if one.level == OVERALL] or tasks[:1]]
    if len(tasks) > 1:
        count = {word: sum(one.word == word for one in tasks) for word in ("better", "worse", NOT)}
        said.append(
            f"Of {len(tasks)} tasks, {name} is better on {count['better']} and worse on {count['worse']}; "
            f"{count[NOT]} are {NOT}."
        )
    return said


def _sentence(one: Verdict) -> str:
    pair = one.comparison
    over = f"mean over {one.num_tasks} tasks" if one.num_tasks > 1 else one.place
    place = over if one.metric == pair.unit else f"{one.metric}, {over}"
    size = f"{signed(pair.estimate.value)} {pair.unit} {interval(one)} ({place})"
    if one.smallest is None:
        same = f"{pair.first} and {pair.second} differ by the same amount on every item"
        return f"{same}: {size}; nothing varies, so nothing can be tested."
    if one.word != NOT:
        return f"{pair.first} is {one.word} than {pair.second}: {size}."
    if pair.unit == "accuracy" and one.smallest > 1:
        return f"{pair.first} and {pair.second} are {NOT}: {size}; with so few items no difference can be detected."
    return (
        f"{pair.first} and {pair.second} are {NOT}: {size}; a true difference of {one.smallest:.2g} would have been "
        "detected with 80 % power."
    )


def _limits(verdicts: Sequence[Verdict], alpha: float) -> list[str]:
    corrected = ", verdicts corrected for the number of comparisons (Holm)" if len(verdicts) > 1 else ""
    if {True, False} == {one.level == OVERALL for one in verdicts}:
        corrected += ", means over all tasks apart from the rest"
    said = [f"Intervals are {100 * (1 - alpha):g} %{corrected}."]
    if len(verdicts[0].seeds) == 1:
        said.append(
            "Each was trained once: the intervals are over items, and another training run of either could differ by "
            "more."
        )
    if any(one.comparison.estimate.few_documents and one.word != NOT for one in verdicts):
        said.append("A task with fewer than 100 items of unequal length may tell of its long items only.")
    return said
