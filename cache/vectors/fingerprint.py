"""What a text vector depends on, and nothing else.

Owns the identity of a vector cache: vectors may be mixed if and only if their fingerprints are
equal. The values come from `embed_text`, which knows the model; this module only compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ecgpipe.files import canonical_json, digest_of

Value = str | int | bool


@dataclass(frozen=True)
class Fingerprint:
    """Named values that together determine a vector: equal values, equal vectors."""

    fields: Mapping[str, Value]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the fields, 64 hex digits."""
        return digest_of(dict(self.fields))

    @property
    def short(self) -> str:
        """The first 16 digits: the name of the cache's folder."""
        return self.digest[:16]

    def as_json(self) -> str:
        """The fields as canonical JSON, as stored with the vectors."""
        return canonical_json(dict(self.fields))

    def differences(self, found: Mapping[str, object]) -> list[str]:
        """One line for every field in which `found` differs from this fingerprint."""
        names = sorted(set(self.fields) | set(found))
        return [
            f"{name}: found {found.get(name)!r}, wanted {self.fields.get(name)!r}"
            for name in names
            if found.get(name) != self.fields.get(name)
        ]
