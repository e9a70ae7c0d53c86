"""How well a written answer agrees with the response, from 0 to 1."""

import re
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

from delt_exp.errors import DependencyError

Metric = Literal["neg_ce", "prob", "exact", "rouge_l"]
WRITTEN = ("exact", "rouge_l")  # metrics of text that the judge writes; the others read the response
MARK = "####"  # in front of the final answer of a worked problem
# A sign, unless it stands after a word or number, as in 3-5; digits with separators; what they are divided by.
NUMBER = re.compile(r"((?<!\w)[-+])?\$?(\d[\d,]*(?:\.\d+)?|(?<!\w)\.\d+)(?:/(0*[1-9]\d*))?")


def agreement(metric: Metric, written: str, response: str) -> float:
    """Return `exact`, 1 for the same final answer, or `rouge_l`, the F of the longest common subsequence, stemmed.

    Of an answer without a `####` in place of a response with one, the last number counts.
    """
    if metric == "rouge_l":
        return float(_rouge().score(response, written)["rougeL"].fmeasure)
    found = last_number(written) if MARK in response and MARK not in written else None
    return float((final_answer(written) if found is None else found) == final_answer(response))


def final_answer(text: str) -> Fraction | str:
    """Return what is compared: the last number after a `####`, or the whole text, whose case and space do not count."""
    _, mark, end = text.rpartition(MARK)
    number = last_number(end) if mark else None
    return " ".join((end if mark else text).casefold().split()) if number is None else number


def last_number(text: str) -> Fraction | None:
    """Return the value of the last number or fraction a/b, without separators and currency; None where there is none.

    A minus or plus directly after a letter or digit is no sign.
    """
    numbers = NUMBER.findall(text.replace("\u2212", "-"))
    if not numbers:
        return None
    sign, number, divisor = numbers[-1]
    return Fraction(sign + number.replace(",", "")) / Fraction(divisor or 1)


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
