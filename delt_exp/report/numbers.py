"""Numbers as a reader wants them: rounded to what is known, with the unit that keeps them short."""

import math
from collections.abc import Sequence


def count(value: int) -> str:
    """Return an exact count: 1,234,567."""
    return f"{value:,}"


def compact(value: float) -> str:
    """Return a large number to three digits: 950, 12.3 k, 1.5 M."""
    for factor, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            scaled = value / factor
            return f"{scaled:.3g} {letter}" if abs(scaled) < 999.5 else f"{scaled:,.0f} {letter}"
    return f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """Return a percentage that says 0 % only of nothing and 100 % only of everything."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.3g} %" if percent >= 10 else f"{percent:.2g} %"


def value(number: float, stderr: float | None = None) -> str:
    """Return a measured number; a standard error has two significant digits and decides those of the number."""
    if stderr is None:
        whole = abs(number) >= 1000 or number == int(number)
        return f"{number:,.0f}" if whole else f"{number:#.4g}"
    decimals = 3 if stderr == 0 else min(max(1 - math.floor(math.log10(stderr)), 0), 6)
    return f"{number:,.{decimals}f}\u00a0±\u00a0{stderr:,.{decimals}f}"  # never broken over two lines


def cell(content: object) -> str:
    """Return a cell of a table from elsewhere: numbers rounded, whole ones and texts as they are, nothing for NaN."""
    if isinstance(content, bool):
        return "yes" if content else "no"
    if content is None or (isinstance(content, float) and math.isnan(content)):
        return ""
    return value(content) if isinstance(content, float) else str(content)


def seconds(duration: float) -> str:
    """Return a duration: 0.42 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if duration < 0.01:
        return "< 0.01 s"
    if duration < 59.5:
        return f"{duration:.0f} s" if duration >= 9.95 else f"{duration:.2g} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def size(num_bytes: float) -> str:
    """Return a size in decimal units: 812 B, 1.2 MB, 3.4 GB."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= 0.9995 * factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes:.0f} B"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
