"""All gates on one scale: each estimate and interval as a share of its own limit."""

from html import escape

import numpy as np
import pandas as pd

from hxbench.render.figure import BLUE, FORBIDDEN, GREY, ORANGE, RED, Figure, nothing, panels, thin

_LOG_FROM = 0.1  # with a share below, or above its inverse, even steps would press the others together
_LOOKS = {"PASS": (BLUE, "circle"), "FAIL": (RED, "x"), "INCONCLUSIVE": (ORANGE, "diamond-open")}
_REST = (GREY, "square-open")


def gates(frame: pd.DataFrame) -> Figure:
    """Returns estimate and interval of every gate against its limit, which is 1; right of it is beyond.

    From `Frames.gates`. An interval without an end reaches to the edge. The axis is logarithmic where one of
    even steps would not show all.
    """
    title = "Every gate against its limit"
    shown = frame[frame["estimate_share"].notna()]
    if shown.empty:
        return nothing(title, "No gate has a number and a limit.")
    left = len(frame) - len(shown)
    says = "Measured value and interval; what reaches beyond 1 may break the limit"
    figure = panels(title, says + (f"; {left} without a number" if left else ""), [1], 150 + 34 * len(shown))
    low, high, is_log = _scale(shown)
    for verdict, part in shown.groupby("verdict", sort=False):
        _draw(figure, part, str(verdict), low, high, is_log=is_log)
    figure.add_vline(x=1, line={"color": RED, "width": 1.5, "dash": "dash"})
    figure.add_vrect(x0=1, x1=high, fillcolor=FORBIDDEN, line_width=0, layer="below")
    figure.update_xaxes(
        type="log" if is_log else "linear", range=[np.log10(low), np.log10(high)] if is_log else [low, high],
        dtick=1 if is_log else None, tickformat="~g",
        title_text="Share of the limit (logarithmic)" if is_log else "Share of the limit",
    )  # fmt: skip
    figure.update_yaxes(
        categoryorder="array", categoryarray=[escape(name) for name in shown["name"]], showgrid=False,
        range=[len(shown) - 0.5, -0.8],
    )  # fmt: skip
    return figure.update_layout(showlegend=True, hovermode="closest")  # type: ignore[no-any-return]


def _scale(shown: pd.DataFrame) -> tuple[float, float, bool]:
    """Returns the ends of the axis and whether it is logarithmic; what lies beyond is drawn at its edge."""
    shares = shown[["estimate_share", "low_share", "high_share"]].to_numpy(dtype="float64")
    seen = shares[np.isfinite(shares) & (shares > 0)]
    smallest, largest = float(seen.min(initial=1.0)), float(seen.max(initial=1.0))
    if smallest < _LOG_FROM or largest > 1 / _LOG_FROM:
        return max(smallest, 1e-4) / 2, min(largest, 1e4) * 4, True
    return 0.0, 1.25 * max(largest, 1.2), False


def _towards_the_middle(along: pd.Series) -> list[str]:
    """Returns where a mark's text stands, by how far along the axis the mark is, so that it stays inside."""
    return ["top right" if each < 0.25 else "top left" if each > 0.75 else "top center" for each in along]


def _draw(figure: Figure, part: pd.DataFrame, verdict: str, low: float, high: float, *, is_log: bool) -> None:
    colour, symbol = _LOOKS.get(verdict, _REST)
    at = part["estimate_share"].clip(low, high)
    along = np.log(at / low) / np.log(high / low) if is_log else (at - low) / (high - low)
    first, last = (part[name].fillna(at).clip(low, high) for name in ("low_share", "high_share"))
    figure.add_scatter(
        x=thin(at), y=[escape(name) for name in part["name"]], mode="markers+text", name=verdict,
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x={
            "array": thin(last - at), "arrayminus": thin(at - first), "symmetric": False,
            "color": colour, "thickness": 2, "width": 5,
        },
        text=[escape(text, quote=False) for text in part["measured"] + ", limit " + part["bound"]],
        textposition=_towards_the_middle(along), textfont={"size": 10}, cliponaxis=False,
        hovertemplate="%{y}: %{x:.3~g} of the limit<extra></extra>",
    )  # fmt: skip
