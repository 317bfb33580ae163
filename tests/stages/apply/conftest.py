"""Commands that ask a model about ECGs."""

import pytest

from ecgpipe.stages.apply import predict


@pytest.fixture(autouse=True)
def _reads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no processes that read unless `workers` says so: each takes longer than the test."""
    monkeypatch.setattr(predict, "available_cores", lambda: 1)
