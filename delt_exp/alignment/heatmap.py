"""An alignment table as a picture, with similar texts beside each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.quantity import Meaning
from delt_exp.report.style import draw

BLACK_READS_BETTER = 0.179  # than white, from this luminance on: (L + 0.05)^2 = 0.05 * 1.05


def write_heatmap(
    path: Path, trained: Sequence[str], evaluation: Sequence[str], values_NM: NDArray[np.float64], meaning: Meaning
) -> None:
    """Write a PNG: training texts down, evaluation texts across, each in the order of a clustering of their values."""
    rows, columns = cluster_order(values_NM), cluster_order(values_NM.T)
    if list(trained) == list(evaluation):  # one order for both sides keeps a text against itself on the diagonal
        columns = rows = cluster_order(values_NM + values_NM.T)
    ordered = values_NM[np.ix_(rows, columns)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.imshow(ordered, cmap="viridis", aspect="auto")
        axes.set_xticks(range(len(columns)), [evaluation[i] for i in columns], rotation=35, ha="right")
        axes.set_yticks(range(len(rows)), [trained[i] for i in rows])
        axes.set(xlabel="evaluation text", ylabel="training text")
        axes.grid(visible=False)
        for (row, column), value in np.ndenumerate(ordered):
            color = "black" if _luminance(image.cmap(image.norm(value))) > BLACK_READS_BETTER else "white"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=color, fontsize=8)
        figure.colorbar(image, label=f"{meaning.name} [{meaning.unit}], higher is more aligned")

    draw(paint, 1.6 + 0.5 * len(rows), path)


def _luminance(colour: tuple[float, float, float, float]) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2)."""
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def cluster_order(values_NM: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the rows in the leaf order of average linkage on the distances between them."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(values_NM) < 3:
        return np.arange(len(values_NM))
    return np.asarray(leaves_list(linkage(values_NM, "average", optimal_ordering=True)), np.intp)
