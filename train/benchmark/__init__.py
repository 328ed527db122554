"""Measures what backbones cost: parameters, multiply-adds, size of the weights, speed, latency and memory."""

from .plan import BenchmarkSpec, Case, cases
from .report import as_rows, pareto, write_report
from .runs import benchmark

__all__ = ["BenchmarkSpec", "Case", "as_rows", "benchmark", "cases", "pareto", "write_report"]
