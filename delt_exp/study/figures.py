"""What the figures of all studies share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# Okabe and Ito 2008, told apart by every colour vision; then the same darker.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#004a73", "#8a3d00", "#006648",
    "#854e6d", "#95670a", "#38749a", "#5b4714",
)  # fmt: skip


SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "triangle-down", "pentagon", "hexagram")


BAND, LINE = "rgba(110, 120, 135, 0.18)", "#6e7887"


BLUE_TO_RED = [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]]  # ColorBrewer RdBu, told apart by every colour vision
