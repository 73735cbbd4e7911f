"""The house style of figures: quiet axes, colours that everyone can tell apart, readable on light and dark pages.

Figures are saved as SVG whose ink is the page's text colour, so that one file serves a light page, a dark page and
paper.
"""

import io
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#3b76d1", "#e07b1a", "#2a9d6f", "#b553c2", "#d1495b", "#8a8f2c", "#2ba6b8", "#8c6d5a")
"""Colours in order of use: distinguishable under the common colour deficiencies, mid-toned for light and dark."""

MUTED = "#8b8f98"
"""For reference lines and annotations, readable on light and dark."""

SEQUENTIAL = "viridis"
"""Colour map of a quantity that starts at zero."""

DIVERGING = "RdBu_r"
"""Colour map of a quantity with a meaningful centre."""

STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": False,
    "axes.facecolor": "none",
    "axes.prop_cycle": None,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "path",
    "image.interpolation": "nearest",
}


def style() -> dict[str, Any]:
    """Matplotlib settings of the house, for `matplotlib.rc_context`."""
    from cycler import cycler

    return {**STYLE, "axes.prop_cycle": cycler(color=PALETTE)}


def figure(
    width: float = 7.0,
    height: float = 3.6,
    rows: int = 1,
    columns: int = 1,
    **subplots: Any,
) -> tuple["Figure", Any]:
    """A figure and its axes in the house style.

    Args:
        width: Inches; 7 fills the report's column.
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.
        **subplots: Passed to `Figure.subplots` (`sharex`, `width_ratios`, ...).

    Returns:
        The figure, and one axes or an array of them as `Figure.subplots` gives.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(style()):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, **subplots)
    return made, axes


def to_svg(figure: "Figure", name: str) -> str:
    """The figure as SVG text: black becomes the page's ink, ids are stable, nothing is loaded from elsewhere.

    Args:
        figure: A Matplotlib figure.
        name: Salts the ids, so that the same figure gives the same file.
    """
    from matplotlib import rc_context
    from matplotlib.legend import Legend

    _thin_labels(figure)
    for legend in figure.findobj(Legend):  # a frame drawn outside the house style would be a white box
        legend.set_frame_on(False)
    buffer = io.StringIO()
    with rc_context({**style(), "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": "windtunnel"})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"#000000\b", "currentColor", text)
    ink = "<style>svg{color:#1d2129;fill:currentColor}@media (prefers-color-scheme:dark){svg{color:#e4e6eb}}</style>"
    end_of_tag = text.index(">") + 1
    return text[:end_of_tag] + ink + text[end_of_tag:]


SHORT = 5.0
"""Ratio of the ends of an axis below which Matplotlib's own labels have room."""


def _thin_labels(figure: "Figure") -> None:
    """On logarithmic axes label powers of ten, and 2 and 5 between them where there are fewer than two."""
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, NullFormatter

    def two_and_five(value: float, _: int) -> str:
        exponent = math.floor(math.log10(value))
        digits = value / 10.0**exponent
        near = min((2, 5), key=lambda digit: abs(digits - digit))
        return f"${near} \\times 10^{{{exponent}}}$" if abs(digits - near) < 1e-6 else ""

    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() != "log" or not isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
                continue
            low, high = sorted(axis.get_view_interval())
            if high / low < SHORT:
                continue
            powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
            axis.set_minor_formatter(NullFormatter() if powers >= 2 else FuncFormatter(two_and_five))
