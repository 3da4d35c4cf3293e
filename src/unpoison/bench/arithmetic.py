"""The arithmetic in which the networks of a suite compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast, get_args

from unpoison.core.device import choose_device
from unpoison.core.precision import Resolved, choose_precision, resolve
from unpoison.core.records import TrialRecord
from unpoison.core.settings import PrecisionOrInt8, Settings, with_precision

S = TypeVar("S", bound=Settings)


class Arithmetic:
    """Resolves the precision of every network of a suite, so that a suite goes on as it was begun.

    Args:
        device: where they compute.
        asked: precision of every network, whatever the suite's profiles say; theirs if left out.
        fixed: what `auto` stands for by the suite, in networks that could compute in int8 too.
        begun: records of the suite that are there. Without `fixed`, what `auto` stood for in them it stands for now,
            else the device decides; and where some were made before int8 was there, no `auto` stands for it.
    """

    def __init__(
        self,
        device: str,
        *,
        asked: PrecisionOrInt8 | None = None,
        fixed: Resolved | None = None,
        begun: Sequence[TrialRecord] = (),
    ):
        self._place, self._asked, self._auto = choose_device(device), asked, fixed or _precision_of(begun)
        self._int8 = not fixed and all(record.precision for record in begun)

    @property
    def precision(self) -> Resolved:
        """What `auto` stands for."""
        if self._asked in get_args(Resolved):
            return cast(Resolved, self._asked)
        return self._auto or choose_precision(self._place).precision

    def settle(self, settings: S) -> S:
        """Settings with the arithmetic in them that is used."""
        settings = with_precision(settings, self._asked)
        auto = None if self._int8 and settings.prefers_int8(self._place) else self.precision
        return resolve(settings, self._place, auto)


def _precision_of(records: Sequence[TrialRecord]) -> Resolved | None:
    """What `auto` stood for in the records of a suite; None if there are none, or both kinds."""
    found: set[Resolved] = {record.precision or "bf16" for record in records}
    return found.pop() if len(found) == 1 else None
