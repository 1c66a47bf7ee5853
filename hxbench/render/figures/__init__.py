"""The figures of a run: frames in, figures out. Drawing computes no number that a verdict rests on.

Large data is thinned for display only and the figure says so; the frames beside the figures hold all.
"""

from hxbench.render.figures.bars import slowest, slowest_rows, typical, waterfall, waterfall_rows
from hxbench.render.figures.distribution import distribution
from hxbench.render.figures.gates import gates
from hxbench.render.figures.percentiles import percentiles
from hxbench.render.figures.prometheus import prometheus
from hxbench.render.figures.resources import resources
from hxbench.render.figures.sweep import sweep_latency, sweep_throughput
from hxbench.render.figures.throughput import throughput
from hxbench.render.figures.tokens import tokens

__all__ = [
    "distribution", "gates", "percentiles", "prometheus", "resources", "slowest", "slowest_rows",
    "sweep_latency", "sweep_throughput", "throughput", "tokens", "typical", "waterfall", "waterfall_rows",
]  # fmt: skip
