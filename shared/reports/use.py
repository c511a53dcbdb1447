"""Reports of what people use: applications by platform, and where they activated them."""

from collections.abc import Iterator

from shared.connectors.microsoft_365 import ACTIVATIONS, APPS, PEOPLE, PLATFORMS, REPORTS
from shared.reports.base import Asked, Column, Row, report
from shared.reports.copy import PERSON, WHO, Copy, Side, day, owner_of, who

_APP_USE = REPORTS[1]
_NAMES = {
    "outlook": "Outlook",
    "word": "Word",
    "excel": "Excel",
    "powerPoint": "PowerPoint",
    "oneNote": "OneNote",
    "teams": "Teams",
}
_USES = tuple((app, platform, f"Apps{app[:1].upper()}{app[1:]}{platform}") for app in APPS for platform in PLATFORMS)
_COUNTS = (
    ("windows", "On Windows"), ("mac", "On Mac"), ("windows10Mobile", "On Windows 10 Mobile"), ("ios", "On iOS"), ("android", "On Android"),
)  # fmt: skip


@report("app-use", "Who uses which application on which platform", (*WHO, Column("application", "Application"), Column("platform", "Platform"), Column("lastActivityOn", "Last activity in any", "day"), Column("reportedOn", "Usage report of", "day")), (PEOPLE, _APP_USE))  # fmt: skip
def app_use(copy: Copy, asked: Asked) -> Iterator[Row]:
    """A row for each application and platform that somebody used within the period of the usage report. Microsoft dates the last
    use of any of them, and not of each.
    """
    people = Side(copy.rows(PEOPLE, PERSON, asked.after))
    columns = (*(column for _, _, column in _USES), "AppsLastActivityAt", "AppsReportedOn")
    for object_id, row in copy.rows(_APP_USE, columns, asked.after):
        person = people.at(object_id)
        for app, platform, column in _USES if person else ():
            if row.get(column) is True:
                yield {
                    **who(object_id, person), "application": _NAMES[app], "platform": platform,
                    "lastActivityOn": day(row.get("AppsLastActivityAt")), "reportedOn": day(row.get("AppsReportedOn")),
                }  # fmt: skip


@report("app-activations", "Where people activated their applications", (*WHO, Column("product", "Product"), Column("lastActivatedOn", "Last activated", "day"), *(Column(name, title, "number") for name, title in _COUNTS), Column("sharedComputer", "On a shared computer", "flag"), Column("reportedOn", "Report of", "day")), (PEOPLE, ACTIVATIONS))  # fmt: skip
def app_activations(copy: Copy, asked: Asked) -> Iterator[Row]:
    """A row for each product that somebody activated: on how many devices of each kind, and when last."""
    people = Side(copy.rows(PEOPLE, PERSON, asked.after))
    columns = [attribute.column for attribute in ACTIVATIONS.attributes]
    for key, row in copy.rows(ACTIVATIONS, columns, asked.after):
        person = people.at(owner_of(key))
        if person:
            yield {
                **who(owner_of(key), person), "product": row.get("Product"), "lastActivatedOn": day(row.get("LastActivatedAt")),
                **{name: row.get(f"{name[:1].upper()}{name[1:]}") for name, _ in _COUNTS}, "sharedComputer": row.get("SharedComputer"),
                "reportedOn": day(row.get("ReportedOn")),
            }  # fmt: skip
