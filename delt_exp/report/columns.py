"""The cells of a column as text: equally many decimals, so that a reader compares numbers by their digits."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from delt_exp.quantity import Below, Ranged
from delt_exp.report.findings import Cell, Difference
from delt_exp.statistics.families import Comparison

MAX_DECIMALS = 4  # of numbers without an interval; those with one have as many as their intervals ask for
TINY = 1e-4  # a column without a larger number is written with powers of ten


class Text(NamedTuple):
    """A cell as text, its interval apart."""

    value: str
    interval: str = ""

    @property
    def joined(self) -> str:
        """Both in one line."""
        return f"{self.value} {self.interval}" if self.interval else self.value


def column_texts(cells: Sequence[Cell]) -> list[Text]:
    """Return the cells of one column: counts exactly, other numbers to two digits of their intervals, else to three."""
    ranged = [cell for cell in cells if isinstance(cell, Ranged)]
    plain = [float(cell) for cell in cells if isinstance(cell, float)]
    style = _style(ranged, plain)
    return [_text(cell, style) for cell in cells]


def in_words(pair: Comparison) -> str:
    """Return the difference of a comparison with its unit and its interval, for a sentence."""
    value, interval = column_texts([Difference.of(pair)])[0]
    return f"{value} {pair.unit}, {100 * (1 - pair.alpha):g} % interval {interval}"


def number(value: float, style: str) -> str:
    """Return a number in a format such as `.3f` or `+.3f`; what rounds to 0 has no sign."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "∞" if value > 0 else "-∞"
    text = f"{value:{style.replace('.', ',.')}}"
    return text if text.strip("+-0.,") else text.strip("+-")


def _style(ranged: Sequence[Ranged], plain: Sequence[float]) -> str:
    """Return the format of all numbers of a column."""
    widths = [(one.high - one.low) / 2 for one in ranged]
    widths = [width for width in widths if 0 < width < math.inf]
    if widths:
        return f".{min(max(_decimals(median(widths), 2), 0), 6)}f"
    sizes = [abs(value) for value in [*plain, *(one.value for one in ranged)] if value and math.isfinite(value)]
    if not sizes or all(size == int(size) for size in sizes):
        return ".0f"
    return ".2e" if max(sizes) < TINY else f".{min(max(_decimals(median(sizes), 3), 0), MAX_DECIMALS)}f"


def _decimals(size: float, digits: int) -> int:
    """Return how many decimals show so many digits of a number of this size."""
    return digits - 1 - math.floor(math.log10(size))


def _text(cell: Cell, style: str) -> Text:
    if isinstance(cell, Ranged):
        style = f"+{style}" if isinstance(cell, Difference) else style
        return Text(number(cell.value, style), f"[{number(cell.low, style)}, {number(cell.high, style)}]")
    if isinstance(cell, Below):
        return Text(f"< {cell.limit:.2g}")
    if isinstance(cell, float):
        text = number(cell, style)
        return Text(f"< {text[:-1]}1" if cell > 0 and not text.strip("0.") else text)
    return Text("" if cell is None else cell if isinstance(cell, str) else f"{cell:,}")
