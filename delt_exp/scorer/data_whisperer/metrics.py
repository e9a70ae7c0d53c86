"""How well a written answer agrees with the response, from 0 to 1."""

import re
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

from delt_exp.errors import DependencyError

Metric = Literal["neg_ce", "prob", "exact", "rouge_l"]
WRITTEN = ("exact", "rouge_l")  # metrics of text that the judge writes; the others read the response
MARK = "####"  # in front of the final answer of a worked problem
NUMBER = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?")


def agreement(metric: Metric, written: str, response: str) -> float:
    """Return `exact`, 1 for the same final answer, or `rouge_l`, the F of the longest common subsequence, stemmed."""
    if metric == "exact":
        return float(final_answer(written) == final_answer(response))
    return float(_rouge().score(response, written)["rougeL"].fmeasure)


def final_answer(text: str) -> str:
    """Return what is compared: the last number after a `####`, without separators and currency, or the whole text.

    Case and amount of white space do not count.
    """
    _, mark, end = text.rpartition(MARK)
    numbers = NUMBER.findall(end.replace("\u2212", "-")) if mark else []
    if numbers:
        return f"{float(re.sub(r'[$,]', '', numbers[-1])):.12g}"
    return " ".join((end if mark else text).casefold().split())


def check_package(metric: Metric) -> None:
    """Raise DependencyError where the metric needs a package that is missing."""
    if metric == "rouge_l" and find_spec("rouge_score") is None:
        raise DependencyError(
            "scorer.metric=rouge_l needs rouge_score; install it with: pip install 'delt-exp[rouge]', or use "
            "scorer.metric=prob"
        )


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
