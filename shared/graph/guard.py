"""The guard of every loop over pages: Microsoft Graph has sent links that led back, and links that led on for ever."""

from shared.errors import SourceProblem

_SLACK = 200  # pages without anything new that are let pass: services send some in a row
_FACTOR = 5
_USUAL = 100  # objects of a page, while none had any


class PageGuard:
    """One enumeration. `expected`: how many objects it should bring, where that is known."""

    def __init__(self, expected: int | None = None) -> None:
        self._expected, self._pages, self._largest = expected or 0, 0, 0
        self._links: set[int] = set()

    def follow(self, link: str | None, objects: int, different: int) -> None:
        """Notes the link that a page of so many objects gave, and how many different ones there are by now. Raises
        SourceProblem for a link that was given before, or for far more pages than the objects explain.
        """
        self._pages += 1
        self._largest = max(self._largest, objects)
        if link is None:
            return
        most = _SLACK + _FACTOR * max(self._expected, different) // (self._largest or _USUAL)
        if hash(link) in self._links or self._pages > most:
            raise SourceProblem(
                f"Microsoft Graph sent {self._pages} pages for {different} objects, and a link to one more: they do not end.",
                code="graph-page-loop",
                remedy="Nothing was lost and nobody was removed; the next run tries again by itself. If it goes on, report "
                "it to Microsoft with the time of the run.",
                transient=True,
            )
        self._links.add(hash(link))
