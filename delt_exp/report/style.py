"""How every picture looks: one set of settings, and blue against orange, which every colour vision tells apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from delt_exp.files import written_aside
from delt_exp.report.numbers import compact

INK, MUTED, GRID = "#1f2933", "#66727f", "#e4e7eb"
KEPT, DROPPED, LINE = "#2b6cb0", "#8793a0", "#d9601a"  # kept or main, dropped, the line on top of data
FAINT = 0.72  # the opacity of what stands back; less would be too pale on white

STYLE: dict[str, Any] = {
    "figure.dpi": 200,  # 9 inches are 1800 pixels, shown at half that width
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.06,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names of datasets may contain $
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
WIDTH_INCHES = 9.0


def draw(paint: Callable[[Figure], None], height_inches: float, path: Path) -> None:
    """Write a PNG of the page's width, painted in the style of all pictures.

    `Figure.savefig` would lay the figure out twice and compress harder: 1.2 times the time of a run's pictures.
    """
    with style.context(["default", STYLE]), written_aside(path) as aside:
        figure = Figure(figsize=(WIDTH_INCHES, height_inches))
        paint(figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(aside, format="png", compress_level=3)


def count_ticks(axes: Axes, axis: str) -> None:
    """Write the ticks of the x or y axis as 20 k or 1.5 M."""
    getattr(axes, f"{axis}axis").set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
