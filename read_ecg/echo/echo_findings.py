"""The findings of each ECG's echocardiogram, and what is counted on the way.

Owns which ECGs get an echocardiogram of the table and the table of delays. ECGs of some sources
bring what theirs measured. Knows findings only through what
judges measurements, and never turns unknown into not shown.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecgpipe.config.data import DataConfig
from ecgpipe.config.echo import EchoConfig
from ecgpipe.echo_measurements import Measured
from ecgpipe.errors import SourceError
from ecgpipe.files import sha256_file
from ecgpipe.read_ecg.echo.echo_table import Echo, EchoTable, Fault, read_cells
from ecgpipe.read_ecg.echo.moment import Moment, parse_moment
from ecgpipe.read_ecg.echo.nearest import find_nearest, is_before_birth

DELAYS = (1, 7, 30, 90)
"""Days within which an echocardiogram is looked for, for the table of delays."""

PACED = ("ペースメーカー調律", "心房ペーシング調律", "心室ペーシング調律")
"""Names of paced rhythms in the lists of findings that ship; other lists may have them too."""

_BEFORE_BIRTH = "echos before birth"


class EchoJudge(Protocol):
    """What says which findings an echocardiogram shows."""

    @property
    def digest(self) -> str:
        """Changes when a rule does."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all findings, in order."""

    def judge(self, measured: Measured, sex: str | None) -> dict[str, bool]:
        """Shown or not, by id, in order; what cannot be known is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ecg:
    """What the choice of an echocardiogram depends on."""

    patient_id: str
    recorded_at: str | None
    age: float | None
    sex: str | None
    findings: Collection[str]
    """Ids."""

    echo: tuple[tuple[str, str], ...] | None = None
    """As `SourceRow.echo`; then no other is looked for."""

    place: str = ""
    """Of its row, for messages."""


@dataclass(frozen=True, slots=True)
class EchoFindings:
    """What an ECG's echocardiogram says; nothing if it has none."""

    shown: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    """Shown or surely not shown."""

    report: str | None = None
    """As it was written. Findings are not read from it."""


class EchoJoin:
    """Gives each ECG the findings of its echocardiogram, and counts."""

    def __init__(
        self,
        judge: EchoJudge,
        table: tuple[EchoTable, EchoConfig] | None,
        paced: Collection[str] = (),
    ) -> None:
        """Join a table, or only judge what ECGs bring.

        Args:
            judge: what echocardiograms show.
            table: all of a table, and which one may belong to an ECG; None if there is no table.
            paced: ids of the ECG's own findings that mean a paced rhythm.
        """
        self._judge, self._joined, self._paced = judge, table, frozenset(paced)
        self._echos: dict[str, list[Echo]] = defaultdict(list)
        for echo in () if table is None else table[0].echos:
            self._echos[echo.patient_id].append(echo)
        self.faults: list[Fault] = []
        """Of what ECGs bring; those of the table are its own."""
        self._counts: Counter[str] = Counter()
        self._excluded: Counter[str] = Counter()
        self._within: Counter[int] = Counter()
        self._answers: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._before_birth: set[str] = set()

    def findings_of(self, ecg: Ecg) -> EchoFindings:
        """What the echocardiogram of an ECG says. Call it once for each ECG."""
        if ecg.echo is not None:
            self._counts["brought"] += 1
            measured, faults = read_cells(ecg.echo, ecg.place)
            self.faults += faults
            return self._judged(measured, ecg.sex)
        if self._joined is None:
            return EchoFindings()
        return self._of_table(ecg, self._joined[1])

    def _of_table(self, ecg: Ecg, config: EchoConfig) -> EchoFindings:
        self._counts["ecgs"] += 1
        recorded = _recorded(ecg)
        if recorded is None:
            self._counts["ecgs_without_time"] += 1
            return EchoFindings()
        echos = self._echos.get(ecg.patient_id, [])
        self._counts["ecgs_of_patients_with_echo"] += bool(echos)
        found = find_nearest(recorded, self._born(echos, recorded, ecg), config.nearest)
        if found is None:
            return EchoFindings()
        echo, days = found
        self._within.update(DELAYS[bisect_left(DELAYS, days) :])
        if days > config.window_days:
            return EchoFindings()
        if why := self._why_excluded(ecg, echo, config):
            self._excluded[why] += 1
            return EchoFindings()
        self._counts["joined"] += 1
        self._counts["reports"] += echo.report is not None
        return self._judged(echo.measured, ecg.sex, echo.report)

    def _judged(
        self, measured: Measured, sex: str | None, report: str | None = None
    ) -> EchoFindings:
        answers = self._judge.judge(measured, sex)
        for finding, is_shown in answers.items():
            self._answers[is_shown][finding] += 1
        shown = tuple(finding for finding, is_shown in answers.items() if is_shown)
        return EchoFindings(shown, tuple(answers), report)

    def counts(self) -> dict[str, Any]:
        """What was found so far: ECGs, the table of delays, exclusions, and each finding."""
        n = self._counts
        n_echos = n["brought"] + n["joined"]
        return {
            **({} if self._joined is None else self._table_counts(*self._joined)),
            "brought": n["brought"],
            "findings": {
                finding: {
                    "shown": (shown := self._answers[True][finding]),
                    "not_shown": (not_shown := self._answers[False][finding]),
                    "unknown": n_echos - shown - not_shown,
                }
                for finding in self._judge.ids
            },
        }

    def _table_counts(self, table: EchoTable, config: EchoConfig) -> dict[str, Any]:
        n = self._counts
        return {
            "echos": len(table.echos),
            "units": dict(table.units),
            "ecgs": n["ecgs"],
            "ecgs_without_time": n["ecgs_without_time"],
            "ecgs_of_patients_with_echo": n["ecgs_of_patients_with_echo"],
            "within_days": {str(days): self._within[days] for days in DELAYS},
            "window_days": config.window_days,
            "nearest": config.nearest,
            "excluded": dict(self._excluded),
            "joined": n["joined"],
            "reports": n["reports"],
        }

    def left_out(self) -> dict[str, int]:
        """What was left out, and how often."""
        n_birth = len(self._before_birth)
        of_table = {} if self._joined is None else self._joined[0].left_out()
        of_ecgs = Counter(fault.what for fault in self.faults)
        return of_table | dict(of_ecgs) | ({_BEFORE_BIRTH: n_birth} if n_birth else {})

    @property
    def before_birth(self) -> list[str]:
        """The places of echocardiograms that were made before birth, sorted."""
        return sorted(self._before_birth)

    def _born(self, echos: Iterable[Echo], recorded: Moment, ecg: Ecg) -> Iterable[Echo]:
        """The echocardiograms that were not made before birth."""
        for echo in echos:
            if is_before_birth(echo, recorded, ecg.age):
                self._before_birth.add(echo.place)
            else:
                yield echo

    def _why_excluded(self, ecg: Ecg, echo: Echo, config: EchoConfig) -> str | None:
        if config.min_age is not None and ecg.age is not None and ecg.age < config.min_age:
            return "too young"
        if config.exclude_paced and (echo.paced or not self._paced.isdisjoint(ecg.findings)):
            return "paced"
        if config.exclude_prosthetic_valves and echo.prosthetic_valve:
            return "prosthetic valve"
        return None


def echo_digest(config: DataConfig, judge: EchoJudge | None) -> list[str]:
    """Digests of what the findings of echocardiograms depend on, besides the settings.

    Raises:
        SourceError: the table is missing.
    """
    if judge is None:
        return []
    if config.echo is None:
        return [judge.digest]
    try:
        return [sha256_file(config.echo.table), judge.digest]
    except OSError:
        raise SourceError(
            f"The table {config.echo.table} does not exist or cannot be read. Check data.echo."
        ) from None


def _recorded(ecg: Ecg) -> Moment | None:
    try:
        return parse_moment(ecg.recorded_at or "")
    except ValueError:
        return None


def echo_words(counts: Mapping[str, Any]) -> dict[str, str]:
    """The table of delays, and how many ECGs bring what their echocardiogram measured, each in one
    line under its title."""
    lines = {}
    if "within_days" in counts:
        within = ", ".join(f"{n:,} within {days} d" for days, n in counts["within_days"].items())
        lines["echo"] = (
            f"{counts['joined']:,} of {counts['ecgs']:,} ECGs get an echo (nearest: {within})"
        )
    if n := counts["brought"]:
        lines["echo in the data"] = f"{n:,} ECGs come with what an echo measured"
    return lines
