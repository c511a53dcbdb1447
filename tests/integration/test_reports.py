"""Every report against what follows from the simulated tenant itself."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from local.cloud.graph import licences as tenant
from local.cloud.graph.licences import PRODUCTS
from shared.mapping.transforms.products import names
from shared.reports import REPORTS, Asked
from tests.rig import Rig

TENANT = (240, 0, 120)
DAY = date(2026, 11, 18)
PRICES = {tenant.E3: Decimal("36.50"), tenant.E5: Decimal("38.00"), tenant.BUSINESS: Decimal("12.50")}
ROLES = [
    "User.Read.All", "Reports.Read.All", "Organization.Read.All", "Domain.Read.All", "LicenseAssignment.Read.All", "AuditLog.Read.All",
]  # fmt: skip
_NAME = {one.sku: names().get(one.sku, one.part) for one in PRODUCTS}
_PLANS = {one.sku: dict(one.plans) for one in PRODUCTS}


def collected(people: int = 0) -> Rig:
    rig = Rig(people or TENANT[0], page_cap=999)
    rig.roles = list(ROLES)
    rig.directory.reports.refreshed = {"": DAY}
    prices = [{"skuId": sku.upper(), "monthly": float(price)} for sku, price in PRICES.items()]
    connector = rig.configure(kind="microsoft-365", options={"prices": prices})
    for job in (None, "licences", "usage"):
        assert rig.run(connector, job=job).state == "succeeded"
    return rig


@pytest.fixture(scope="module")
def whole() -> Any:
    made = collected()
    yield made
    made.close()


def read(rig: Rig, name: str, **asked: Any) -> list[dict[str, Any]]:
    return list(REPORTS[name].make(rig.app().copy_of("a"), Asked(**asked)))


class Truth:
    """What the tenant knows of everybody who holds something."""

    def __init__(self, rig: Rig) -> None:
        ids = {one["userPrincipalName"]: one["id"] for one in rig.objects()}
        told = {
            ids[row["User Principal Name"]]: row
            for row in rig.directory.reports.rows("getOffice365ActiveUserDetail", "D30")
        }
        self.people = {one["id"]: one for one in rig.objects() if one["licenseAssignmentStates"]}
        self.last = {
            key: max((v for k, v in row.items() if k.endswith("Last Activity Date") and v), default=None) for key, row in told.items()
        }  # fmt: skip

    def held(self, person: dict[str, Any]) -> list[str]:
        return sorted({one["skuId"] for one in person["licenseAssignmentStates"] if one["state"] == "Active"})

    def seats(self, wanted: Callable[[dict[str, Any]], bool]) -> set[tuple[str, str]]:
        return {(key, sku) for key, person in self.people.items() if wanted(person) for sku in self.held(person)}

    def silent_seats(self, days: int) -> set[tuple[str, str]]:
        return self.seats(lambda one: one["accountEnabled"] and self.silent(one["id"], days))

    def inactive_seats(self, *, named: bool) -> set[tuple[str, str]]:
        """Of people without any activity, whom the report names or does not."""
        return self.seats(lambda one: self.last.get(one["id"]) is None and (one["id"] in self.last) is named)

    def silent(self, key: str, days: int) -> bool:
        last = self.last.get(key)
        return last is not None and last <= (DAY - timedelta(days=days)).isoformat()


def pairs(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    found = [(row["personId"], row["skuId"]) for row in rows]
    assert len(set(found)) == len(found), "no seat twice"
    return set(found)


def differences(rig: Rig) -> list[str]:
    """Reports that say something else than the tenant."""
    truth, wrong = Truth(rig), []

    def same(name: str, have: Any, want: Any) -> None:
        if have != want or not want:
            wrong.append(f"{name}: {len(have)} and {len(want)}")

    disabled = truth.seats(lambda one: not one["accountEnabled"])
    same("disabled", pairs(read(rig, "disabled-but-licensed")), disabled)
    for days in (30, 90):
        same(f"silent {days}", pairs(read(rig, "licensed-but-silent", days=days)), truth.silent_seats(days))
    for verdict in ("never", "unknown"):
        have = pairs([row for row in read(rig, "never-active") if row["verdict"] == verdict])
        want = truth.inactive_seats(named=verdict == "never")
        if have != want:
            wrong.append(f"{verdict}: {len(have)} and {len(want)}")
    want_ways = {
        (key, sku)
        for key, person in truth.people.items()
        for sku, count in Counter(
            o["skuId"] for o in person["licenseAssignmentStates"] if o["state"] == "Active"
        ).items()
        if count > 1
    }
    same("ways", pairs(read(rig, "direct-and-inherited")), want_ways)
    want_errors = {
        (key, one["skuId"])
        for key, p in truth.people.items()
        for one in p["licenseAssignmentStates"]
        if one["state"] == "Error"
    }
    same("errors", pairs(read(rig, "assignments-in-error")), want_errors)
    by_name = {one["userPrincipalName"]: one["id"] for one in rig.objects()}
    apps = list(rig.directory.reports.rows("getM365AppUserDetail", "D30"))
    uses = {
        (by_name[row["User Principal Name"]], column) for row in apps for column, value in row.items() if "(" in column and value == "Yes"
    }  # fmt: skip
    told = read(rig, "app-use")
    same("app-use", {(row["personId"], f"{row['application']} ({row['platform']})") for row in told}, uses)
    if len(told) != len(uses):
        wrong.append("app-use: some twice")
    activated = {
        (by_name[row["User Principal Name"]], row["Product Type"], row["Last Activated Date"] or None, int(row["iOS"]))
        for row in rig.directory.reports.rows("getOffice365ActivationsUserDetail", "")
    }
    told = read(rig, "app-activations")
    same(
        "activations",
        {(row["personId"], row["product"], row["lastActivatedOn"], row["ios"]) for row in told},
        activated,
    )
    same(
        "overlaps",
        {
            (r["personId"], frozenset((r["product"], r["otherProduct"])), r["plans"])
            for r in read(rig, "overlapping-plans")
        },
        _overlaps(truth),
    )
    same(
        "everything",
        len(read(rig, "licences-of-people")) * "x",
        sum(len(p["licenseAssignmentStates"]) for p in truth.people.values()) * "x",
    )
    for group in ("department", "country", "company", "product"):
        have_cost = {
            row["group"]: {k: v for k, v in row.items() if k != "group"} for row in read(rig, "cost", group_by=group)
        }
        same(f"cost by {group}", have_cost, _cost(truth, group))
    return wrong


def _overlaps(truth: Truth) -> set[Any]:
    found = set()
    for key, person in truth.people.items():
        on = {
            one["skuId"]: {k: v for k, v in _PLANS[one["skuId"]].items() if k not in one["disabledPlans"]}
            for one in person["assignedLicenses"]  # Microsoft's own sum of the ways
        }
        for a, b in combinations(sorted(on), 2):
            if both := sorted(on[a][plan] for plan in on[a].keys() & on[b].keys()):
                found.add((key, frozenset((_NAME[a], _NAME[b])), ", ".join(both)))
    return found


def _cost(truth: Truth, group: str) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    names_of = {"department": "department", "country": "country", "company": "companyName"}
    for key, person in truth.people.items():
        for sku in truth.held(person):
            name = _NAME[sku] if group == "product" else person[names_of[group]]
            empty = dict.fromkeys(("seats", "disabledSeats", "silentSeats", "seatsWithoutPrice"), 0)
            entry = found.setdefault(
                name, empty | dict.fromkeys(("monthlyCost", "monthlyCostDisabled", "monthlyCostSilent"), Decimal(0))
            )
            price, off = PRICES.get(sku), not person["accountEnabled"]
            silent = not off and truth.silent(key, 30)
            entry["seats"] += 1
            entry["disabledSeats"] += off
            entry["silentSeats"] += silent
            entry["seatsWithoutPrice"] += price is None
            entry["monthlyCost"] += price or 0
            entry["monthlyCostDisabled"] += (price or 0) if off else 0
            entry["monthlyCostSilent"] += (price or 0) if silent else 0
    return found


def test_every_report_says_what_follows_from_the_tenant(whole: Rig) -> None:
    assert differences(whole) == []


@pytest.mark.prove
def test_every_report_says_it_of_5000_people_too(say: Callable[[str], None]) -> None:
    rig = collected(5000)
    try:
        assert differences(rig) == []
        say("10 reports of 5000 people, no difference")
    finally:
        rig.close()


def test_products_are_counted_with_trials_apart(whole: Rig) -> None:
    rows = {row["skuId"]: row for row in read(whole, "licences")}
    for one in whole.directory.skus():
        row, units = rows[one["skuId"]], one["prepaidUnits"]
        subscriptions = [s for s in whole.directory.subscriptions() if s["skuId"] == one["skuId"]]
        paid = sum(s["totalLicenses"] for s in subscriptions if not s["isTrial"])
        assert (row["paidSeats"], row["trialSeats"]) == (
            paid,
            sum(s["totalLicenses"] for s in subscriptions if s["isTrial"]),
        )
        assert row["difference"] == units["enabled"] + units["warning"] + units["suspended"] - paid
        assert (row["consumed"], row["holdersInCopy"], row["notInCopy"]) == (
            one["consumedUnits"],
            one["consumedUnits"],
            0,
        )
        price = PRICES.get(one["skuId"])
        assert row["monthlyCostUsed"] == (None if price is None else price * one["consumedUnits"])
    assert rows[tenant.E5]["note"] and rows[tenant.BUSINESS]["available"] < 0
    assert {row["skuId"] for row in read(whole, "unassigned")} == {
        key for key, row in rows.items() if row["available"] > 0
    }


def test_a_row_names_the_day_and_the_service_that_it_rests_on(whole: Rig) -> None:
    ids = {one["userPrincipalName"]: one["id"] for one in whole.objects()}
    told = {
        ids[r["User Principal Name"]]: r for r in whole.directory.reports.rows("getOffice365ActiveUserDetail", "D30")
    }
    rows = read(whole, "licensed-but-silent")
    for row in rows:
        dates = {
            k.removesuffix(" Last Activity Date"): v
            for k, v in told[row["personId"]].items()
            if "Last Activity" in k and v
        }
        last = max(dates.values())
        assert (row["lastActivityOn"], row["reportedOn"]) == (last, f"{DAY}")
        services = {name.replace(" ", "") for name, on in dates.items() if on == last}
        assert set(row["lastActivityIn"].split(", ")) == services
    assert rows


def test_subscriptions_that_end_soon_come_in_the_order_of_their_ends(whole: Rig) -> None:
    limit = f"{whole.clock.now() + timedelta(days=21):%Y-%m-%d}"
    wanted = [s for s in whole.directory.subscriptions() if s["nextLifecycleDateTime"][:10] <= limit]
    rows = read(whole, "expiring-subscriptions", days=21)
    assert len(rows) == len(wanted) > 0 and [row["endsOn"] for row in rows] == sorted(row["endsOn"] for row in rows)
    assert read(whole, "expiring-subscriptions", days=1) == []


def test_whom_domains_leave_out_is_in_totals_and_not_in_waste(rig: Rig) -> None:
    rig.roles = list(ROLES)
    rig.directory.reports.refreshed = {"": DAY}
    connector = rig.configure(kind="microsoft-365", options={"domains": ["fabrikam.example"]})
    for job in (None, "licences", "usage"):
        rig.run(connector, job=job)
    inside = {one["id"] for one in rig.objects() if (one["mail"] or "").endswith("@fabrikam.example")}
    rows = {row["skuId"]: row for row in read(rig, "licences")}
    for one in rig.directory.skus():
        row = rows[one["skuId"]]
        assert row["consumed"] == one["consumedUnits"] == row["holdersInCopy"] + row["notInCopy"]
    assert sum(row["notInCopy"] for row in rows.values()) > 0
    copy = rig.app().copy_of("a")
    found = list(REPORTS["licences-of-people"].make(copy, Asked()))
    assert {row["personId"] for row in found} <= inside and copy.not_in_copy == len(
        {one["personId"] for one in rig.directory.assignments()} - inside
    )


def test_concealed_names_make_nobody_silent(rig: Rig) -> None:
    rig.roles = list(ROLES)
    rig.directory.reports.conceal = True
    connector = rig.configure(kind="microsoft-365", options={})
    for job in (None, "licences", "usage"):
        rig.run(connector, job=job)
    assert read(rig, "licensed-but-silent") == [] and {row["verdict"] for row in read(rig, "never-active")} == {
        "unknown"
    }


def test_an_old_usage_report_makes_nobody_silent(rig: Rig) -> None:
    rig.roles = list(ROLES)
    rig.directory.reports.refreshed = {"": DAY - timedelta(days=20)}
    connector = rig.configure(kind="microsoft-365", options={})
    for job in (None, "licences", "usage"):
        rig.run(connector, job=job)
    assert read(rig, "licensed-but-silent") == []


def test_a_page_goes_on_behind_a_person(whole: Rig) -> None:
    every = read(whole, "licences-of-people")
    start = every[len(every) // 2]["personId"]
    rest = read(whole, "licences-of-people", after=start)
    at = max(number for number, row in enumerate(every) if row["personId"] == start)
    assert rest == every[at + 1 :] and rest


def test_passwords_expire_by_the_rule_of_person_and_domain(whole: Rig) -> None:
    rows = {row["personId"]: row for row in read(whole, "password-expiry")}
    people = {one["id"]: one for one in whole.objects()}
    assert rows.keys() == people.keys()
    for key, person in people.items():
        row, policies = rows[key], person["passwordPolicies"] or ""
        domain = person["userPrincipalName"].rpartition("@")[2]
        if "DisablePasswordExpiration" in policies:
            assert row["answer"] == "never"
        elif person["onPremisesSyncEnabled"]:
            assert row["answer"] == "not-applicable"
        elif domain == "fabrikam.example":
            assert row["answer"] == "never"
        elif person["lastPasswordChangeDateTime"]:
            expires = date.fromisoformat(person["lastPasswordChangeDateTime"][:10]) + timedelta(days=90)
            assert (row["answer"], row["expiresOn"]) == ("expires", expires.isoformat())
        else:
            assert (row["answer"], row["expiresOn"]) == ("unknown", None)


def test_a_persons_licences_are_parts_of_the_person(whole: Rig) -> None:
    app = whole.app()
    types = app.registry.record_types
    person = max(whole.objects(), key=lambda one: len(one["licenseAssignmentStates"]))
    found = app.records.parts(types["licence-assignment"], types["person"], f"a~{person['id']}")
    assert len(found) == len(person["licenseAssignmentStates"]) > 1
    assert {one.values["skuId"].value for one in found} == {one["skuId"] for one in person["licenseAssignmentStates"]}
