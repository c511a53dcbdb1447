"""Usage reports of the simulated tenant: CSV with a byte-order mark behind a redirection, with names or with codes in their place."""

import csv
import hashlib
import io
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import Any

from local.cloud.graph.licences import PRODUCTS

_NAMES = {product.sku: product.part.replace("_", " ").title() for product in PRODUCTS}
_SERVICES = ("Exchange", "OneDrive", "SharePoint", "Skype For Business", "Yammer", "Teams")
_APPS = ("Outlook", "Word", "Excel", "PowerPoint", "OneNote", "Teams")
_PLATFORMS = ("Windows", "Mac", "Mobile", "Web")
Row = dict[str, str]


def _day(b: bytes, at: int, refreshed: date) -> str:
    """A day within half a year, or none."""
    return "" if b[at] < 60 else (refreshed - timedelta(days=b[at] - 60)).isoformat()


def _active(b: bytes, refreshed: date) -> Row:
    licensed = {f"Has {name} License": str(b[50 + n % 8] < 200) for n, name in enumerate(_SERVICES)}
    last = {f"{name} Last Activity Date": _day(b, 44 + n, refreshed) for n, name in enumerate(_SERVICES)}
    assigned = {f"{name} License Assign Date": "2024-03-01" for name in _SERVICES}
    return {**licensed, **last, **assigned}


def _apps(b: bytes, refreshed: date) -> Row:
    row = {"Last Activation Date": _day(b, 43, refreshed), "Last Activity Date": _day(b, 44, refreshed)}
    row |= {name: "Yes" if b[45 + n % 6] & 1 << n % 8 else "No" for n, name in enumerate((*_PLATFORMS, *_APPS))}
    pairs = [(app, platform) for app in _APPS for platform in _PLATFORMS]
    return row | {
        f"{app} ({platform})": "Yes" if b[50 + n % 8] & 1 << n % 8 else "No" for n, (app, platform) in enumerate(pairs)
    }


def _counts(*names: str, at: int, more: Callable[[bytes], Row] = lambda _b: {}) -> Callable[[bytes, date], Row]:
    def made(b: bytes, refreshed: date) -> Row:
        return {
            "Last Activity Date": _day(b, at, refreshed),
            **{name: str(b[(at + n) % 60] * 3) for n, name in enumerate(names, 1)},
            **more(b),
        }

    return made


def _activations(b: bytes, refreshed: date) -> list[Row]:
    """Several rows of a person, or none."""
    made = []
    for n, product in enumerate(("Microsoft 365 Apps for enterprise", "Project", "Visio Plan 2")):
        if b[30 + n] < 60 + 120 * (n == 0):
            counts = {
                name: str(b[33 + (n + at) % 20] % 4) for at, name in enumerate(("Windows", "Mac", "Windows 10 Mobile", "iOS", "Android"))
            }  # fmt: skip
            shared = str(b[31 + n] < 20)
            made.append({"Product Type": product, "Last Activated Date": _day(b, 54 - n, refreshed), **counts, "Activated On Shared Computer": shared})  # fmt: skip
    return made


_FILES = (
    "Viewed Or Edited File Count",
    "Synced File Count",
    "Shared Internally File Count",
    "Shared Externally File Count",
)
_MAILS = (
    "Mail For Mac",
    "Outlook For Mac",
    "Outlook For Windows",
    "Outlook For Mobile",
    "Other For Mobile",
    "Outlook For Web",
    "POP3 App",
    "IMAP4 App",
    "SMTP App",
)
MAKERS: dict[str, Callable[[bytes, date], Row | list[Row]]] = {
    "getOffice365ActiveUserDetail": _active,
    "getM365AppUserDetail": _apps,
    "getEmailActivityUserDetail": _counts("Send Count", "Receive Count", "Read Count", "Meeting Created Count", "Meeting Interacted Count", at=10),
    "getEmailAppUsageUserDetail": _counts(at=16, more=lambda b: {name: "Yes" if b[20 + n] < 60 else "" for n, name in enumerate(_MAILS)}),
    "getTeamsUserActivityUserDetail": _counts(
        "Team Chat Message Count", "Private Chat Message Count", "Call Count", "Meeting Count", at=22, more=lambda b: {"Has Other Action": "Yes" if b[3] & 1 else "No"}
    ),
    "getOneDriveActivityUserDetail": _counts(*_FILES, at=28),
    "getSharePointActivityUserDetail": _counts(*_FILES, "Visited Page Count", at=34),
    "getMailboxUsageDetail": _counts(
        "Item Count", "Storage Used (Byte)", "Deleted Item Count", "Prohibit Send/Receive Quota (Byte)", at=40,
        more=lambda b: {"Created Date": "2023-02-01", "Has Archive": str(b[5] < 99)},
    ),
    "getOffice365ActivationsUserDetail": _activations,
}  # fmt: skip
"""Its own columns, by report; a list: several rows of a person."""
DAYS = 2
"""How old reports are."""


class Reports:
    """`conceal`: names are concealed, as is the default of real tenants; `refreshed`: the day of each report, or of all where
    that has none; `spoil`: has the last word on a file.
    """

    def __init__(self, people: Callable[[], Iterable[tuple[bytes, dict[str, Any]]]], today: Callable[[], date]) -> None:
        self._people, self._today = people, today
        self.conceal = False
        self.refreshed: dict[str, date] = {}
        self.spoil: Callable[[str, str], str | bytes] = lambda _name, text: text
        self._links: dict[str, tuple[str, str]] = {}

    def link(self, name: str, period: str) -> str:
        """A pre-authenticated name of the file."""
        key = secrets.token_urlsafe(24)
        self._links[key] = (name, period)
        return key

    def expire(self) -> None:
        self._links.clear()

    def file(self, key: str) -> bytes | None:
        """What is behind a link; None where it is good no more."""
        found = self._links.get(key)
        if found is None:
            return None
        made = self.spoil(found[0], self.text(*found))
        return made if isinstance(made, bytes) else b"\xef\xbb\xbf" + made.encode()

    def text(self, name: str, period: str) -> str:
        out = io.StringIO()
        rows = list(self.rows(name, period))
        writer = csv.DictWriter(
            out, rows[0].keys() if rows else ["Report Refresh Date", "User Principal Name"], lineterminator="\r\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    def rows(self, name: str, period: str) -> Iterator[Row]:
        """One for each person with a licence."""
        refreshed = self.refreshed.get(name) or self.refreshed.get("") or self._today() - timedelta(days=DAYS)
        for b, person in self._people():
            products = [_NAMES[one["skuId"]] for one in person["assignedLicenses"]]
            if not products:
                continue
            who = {
                "Report Refresh Date": refreshed.isoformat(), "User Principal Name": self.shown(person["userPrincipalName"]),
                "Display Name": self.shown(person["displayName"]),
            }  # fmt: skip
            made = MAKERS[name](b, refreshed)
            if isinstance(made, list):
                yield from ({**who, **row} for row in made)
            else:
                yield {
                    **who, "Is Deleted": "False", "Deleted Date": "", **made, "Assigned Products": "+".join(products),
                    **({"Report Period": period[1:]} if period else {}),
                }  # fmt: skip

    def shown(self, name: str) -> str:
        return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest().upper() if self.conceal else name
