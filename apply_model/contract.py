"""The preprocessing that a model demands of every ECG.

Owns its fields, and the refusal of a contract that this version cannot keep. Knows no file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from ecgpipe.config.data import WindowConfig
from ecgpipe.errors import CheckpointError
from ecgpipe.read_ecg.signal.record import LEADS

VERSION = 1
"""Raised when the same recording and the same fields would give another window."""


@dataclass(frozen=True, kw_only=True)
class Contract(WindowConfig):
    """How a recording becomes the window that a model was trained on.

    The window is (12, samples) int16 in µV, -32768 where there is no reading, as
    `read_ecg.signal.window.to_window` makes it.
    """

    owner: ClassVar[str] = "the model's "

    leads: tuple[str, ...] = LEADS
    version: int = VERSION

    @classmethod
    def of(cls, config: WindowConfig) -> "Contract":
        """The contract of a model that was trained with these settings."""
        return cls(**{f.name: getattr(config, f.name) for f in fields(WindowConfig)})

    def as_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON."""
        return asdict(self)


_CONTRACT = TypeAdapter(Contract)


def read_contract(stated: Mapping[str, Any], where: str) -> Contract:
    """The contract that a model's files state.

    Args:
        stated: as `Contract.as_dict` gave them.
        where: the file, for errors.

    Raises:
        CheckpointError: it is of another version, of other leads, or incomplete.
    """
    known = {field.name for field in fields(Contract)}
    if missing := sorted(known - set(stated)):
        raise CheckpointError(
            f"{where} has no usable preprocessing contract: it lacks {', '.join(missing)}. Export"
            " the model again."
        )
    try:
        contract = _CONTRACT.validate_python(dict(stated))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "contract"
        raise CheckpointError(
            f"{where} has no usable preprocessing contract: {place}: {first['msg']}. Export the"
            " model again."
        ) from error
    if contract.version != VERSION:
        raise CheckpointError(
            f"{where} demands preprocessing of version {contract.version}; this ecgpipe does"
            f" version {VERSION}, and scores of other windows would be wrong. Use the ecgpipe that"
            " exported the model, or export it again."
        )
    if contract.leads != LEADS:
        raise CheckpointError(
            f"{where} demands the leads {', '.join(contract.leads)}; this ecgpipe gives a model"
            f" {', '.join(LEADS)}, in this order."
        )
    return contract
