"""The look of the figures: quiet axes, colours that everybody can tell apart, Greek letters."""

import base64
import io
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from jaxpot.typing import AnyArray

INK = "#1f2933"
SOFT = "#64707d"
LINE = "#c9d0d8"
GRID = "#e8ebef"
# M. Okabe and K. Ito's colours, told apart with every common form of colour blindness; in this order
# they differ in lightness too, so that they survive a black-and-white printer.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
DOTS_PER_INCH = 160
SHADE = 0.28  # of bands of one standard deviation


class Picture(Figure):
    """A matplotlib figure that can be saved and shown without pyplot."""

    def __init__(self, width: float = 5.6, height: float = 3.8) -> None:
        super().__init__(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
        FigureCanvasAgg(self)
        cast(ConstrainedLayoutEngine, self.get_layout_engine()).set(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.05)

    def png(self) -> bytes:
        """The picture as bytes of a PNG file."""
        buffer = io.BytesIO()
        # No date and no version in the file: the same card gives the same bytes.
        self.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    def base64(self) -> str:
        """The picture as text, for an HTML page."""
        return base64.b64encode(self.png()).decode("ascii")

    def _repr_png_(self):
        return self.png()


def prepare(
    axes: Axes, title: str | None = None, x: str | None = None, y: str | None = None, grid: Any = "both"
) -> Axes:
    """Give axes the common look, a title and labels."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=SOFT, labelcolor=INK, labelsize=9, length=3.5, width=0.8)
    if grid:
        axes.grid(True, axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, fontsize=10.5, color=INK, loc="left", pad=8)
    if x:
        axes.set_xlabel(x, fontsize=9.5, color=INK)
    if y:
        axes.set_ylabel(y, fontsize=9.5, color=INK)
    return axes


def few_ticks(axis: Axis, count: int = 6) -> None:
    """At most `count` round numbers on an axis, without the offsets nobody reads ("+5.43")."""
    axis.set_major_locator(MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]))
    cast(ScalarFormatter, axis.get_major_formatter()).set_useOffset(False)


def plain_log_axis(axis: Axis) -> None:
    """Numbers instead of powers of ten."""
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high > 8.0 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs) if high > 2.0 * low else MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())


def band(axes: Axes, x: AnyArray, y: AnyArray, width: AnyArray | None, color: str) -> None:
    """One standard deviation to each side of a curve, where it has one."""
    if width is not None:
        axes.fill_between(x, y - width, y + width, color=color, alpha=SHADE, linewidth=0)


def legend(axes: Axes, columns: int = 1, outside: bool = False, **kwargs: Any) -> Legend:
    """A legend without a box; `outside` puts it to the right of the axes, where no data are."""
    if outside:
        kwargs |= {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    return axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=columns, handlelength=1.6, **kwargs)


def note(axes: Axes, text: str, x: float = 0.97, y: float = 0.95, ha: str = "right", va: str = "top") -> None:
    """A few quiet words inside axes."""
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, fontsize=9, color=SOFT, linespacing=1.5)


def special_point(name: str) -> str:
    """The label of a special point as it is printed: G or Gamma as a Greek letter, X1 with a subscript."""
    parts = []
    for part in str(name).replace(",", "|").split("|"):
        part = part.strip().strip("$\\").strip("{}")
        if part.lower() in ("g", "gamma", "γ") or part == "Γ":
            parts.append("Γ")
        elif len(part) > 1 and part[1:].lstrip("_").isdigit():
            parts.append(f"{part[0]}$_{{{part[1:].lstrip('_')}}}$")
        else:
            parts.append(part)
    return "|".join(parts)
