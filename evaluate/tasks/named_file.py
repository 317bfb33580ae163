"""A taxonomy or task that ships with ecgpipe, by its name, or your own file, by its path."""

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from ecgpipe.errors import TaxonomyError
from ecgpipe.files import decode_text


@dataclass(frozen=True)
class NamedFiles:
    """A folder of shipped files that a setting names."""

    folder: str
    """Below ecgpipe/evaluate."""

    suffixes: tuple[str, ...]
    """The first is that of the shipped files; a name that ends in one is a path."""

    what: str
    setting: str

    def read(self, name: str) -> str:
        """The text of the file that `name` means.

        Raises:
            TaxonomyError: there is none, or its encoding is unknown.
        """
        if self.is_own(name):
            return self._read_own(Path(name))
        suffix = self.suffixes[0]
        if name not in (names := self.shipped()):
            raise TaxonomyError(
                f"There is no {self.what} {name!r}. {self.setting} takes {', '.join(names)}, or the"
                f" path of a {suffix} file."
            )
        return (self._shipped_folder() / f"{name}{suffix}").read_text(encoding="utf-8")

    def shipped(self) -> list[str]:
        """The names of all that ship with ecgpipe."""
        suffix = self.suffixes[0]
        names = (entry.name for entry in self._shipped_folder().iterdir())
        return sorted(name.removesuffix(suffix) for name in names if name.endswith(suffix))

    def _shipped_folder(self) -> Traversable:
        return resources.files("ecgpipe.evaluate") / self.folder

    def is_own(self, name: str) -> bool:
        """Whether `name` is the path of your own file."""
        return Path(name).suffix.casefold() in self.suffixes

    def _read_own(self, path: Path) -> str:
        try:
            return decode_text(path.read_bytes())
        except FileNotFoundError:
            raise TaxonomyError(
                f"The {self.what} {path} does not exist. Check {self.setting}."
            ) from None
        except (OSError, ValueError) as error:
            raise TaxonomyError(f"The {self.what} {path} cannot be read: {error}.") from error
