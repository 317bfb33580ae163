"""What a run of the tests skipped, in one line."""

from collections import Counter
from collections.abc import Sequence

import pytest


def skipped_in_one_line(reports: Sequence[pytest.TestReport | pytest.CollectReport]) -> str:
    """Reasons by how often they were met, the commonest first; '' without any."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ").partition(":")[0]
        for report in reports
        if isinstance(report.longrepr, tuple)
    )
    told = "; ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return f"Skipped: {told}" if reasons else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it under a run; -ra would show forty lines without Slurm and Chromium."""
    if line := skipped_in_one_line(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)
