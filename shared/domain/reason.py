"""Why something is as it is."""

from typing import Self

from shared.domain.base import Model
from shared.errors import RollcallError


class Reason(Model):
    """Why something is as it is, and what to do about it."""

    code: str
    """Stable."""
    message: str
    """The same in words."""
    remedy: str
    """What to do about it."""

    @classmethod
    def of(cls, problem: RollcallError) -> Self:
        """What an error says."""
        return cls(code=problem.code, message=problem.detail, remedy=problem.remedy)
