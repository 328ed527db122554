"""One self-contained HTML page of a set: what was kept, what was dropped and why, and whether it can be trusted."""

from .page import write_report

__all__ = ["write_report"]
