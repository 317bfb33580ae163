"""Where tests find what lies beside them."""

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
REPOSITORY = TESTS.parent
GOLDEN = TESTS / "golden"
