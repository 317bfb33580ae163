"""Training signals that lie in memory already, for the runs of a sweep.

Owns how long they are kept: as long as any run uses them, and the last ones until others are asked
for. Knows nothing of what lies on a shelf; several runs may ask at the same time.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakValueDictionary


class Shelves:
    """What runs share, by what it holds."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._in_use: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._last: Any = None

    def shared(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The one of `key`, made if no run has it and it was not the last."""
        with self._asking:
            found = self._in_use.get(key)
            if found is None:
                self._last = None  # before the next is filled: they are large
                found = self._in_use[key] = make()
            self._last = found
            return found
