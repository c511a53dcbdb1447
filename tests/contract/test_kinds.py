"""Every kind of the product keeps the contract of a kind, and so does a toy kind that is declared here and nowhere else."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from shared.connectors.base import DirectoryList, Job, Kind, Pages, Permission, Proof, Stream
from shared.connectors.entra_id import ENTRA_ID
from shared.connectors.microsoft_365 import MICROSOFT_365
from shared.connectors.record_types import DOMAIN
from shared.domain.base import Model
from shared.domain.configuration import ThresholdDays
from shared.domain.pacing import Pacing
from shared.domain.record_type import LookupRule, RecordType
from shared.mapping.attribute import Attribute, Type, by
from tests.contract.kinds import *  # noqa: F403 - the tests themselves
from tests.contract.kinds import Subject, served


class ToyOptions(Model):
    """Options of a toy connector."""

    collect_domains: bool = True
    """Read the tenant's domains."""
    team_threshold_days: ThresholdDays = 0
    """Leave out teams that were made before these days."""


TEAM = RecordType(
    "team", "teams", "Team", (LookupRule("team", ("DisplayName",)),),
    card=(("DisplayName", "Title"), ("Mail", "Address")),
)  # fmt: skip
TOY = Kind(
    name="toy",
    title="A toy",
    options=ToyOptions,
    jobs=(
        Job(
            "teams",
            "Teams",
            (
                Stream(
                    name="teams",
                    record_type=TEAM,
                    reader=DirectoryList("/groups"),
                    attributes=(
                        Attribute("title", "Title", Type.TEXT, ("displayName",)),
                        Attribute("address", "Address", Type.TEXT, ("mail",)),
                        Attribute("madeAt", "Made", Type.TIME, ("createdDateTime",)),
                        Attribute("kinds", "Kinds", Type.JSON, ("groupTypes",), by("ordered")),
                    ),
                    permissions=(Permission("Group.Read.All", ("Group.ReadWrite.All", "Directory.Read.All")),),
                    address="mail",
                    threshold="team_threshold_days",
                    created="createdDateTime",
                ),
            ),
        ),
        Job(
            "names",
            "Domain names",
            (
                Stream(
                    name="domains",
                    record_type=DOMAIN,
                    reader=Pages("/domains"),
                    attributes=(
                        Attribute("name", "Name", Type.TEXT, ("id",)),
                        Attribute("verified", "Verified", Type.FLAG, ("isVerified",)),
                        Attribute("passwordDays", "Days", Type.NUMBER, ("passwordValidityPeriodInDays",)),
                    ),
                    permissions=(Permission("Domain.Read.All", ("Directory.Read.All",)),),
                    switch="collect_domains",
                    proof=Proof.WHOLE,
                ),
            ),
            pacing=Pacing("toy", 30, 60.0),
        ),
    ),
)

SUBJECTS = [
    Subject(
        ENTRA_ID,
        truth={"users": "users", "devices": "devices"},
        change={"displayName": "Somebody Else"},
        roles=[
            "User.Read.All",
            "Device.Read.All",
            "AuditLog.Read.All",
            "Organization.Read.All",
            "DeviceManagementManagedDevices.Read.All",
        ],
        bad_options={"userThresholdDays": -1, "nothingOfThatName": 1},
        options={"collectManagedDevices": True},
    ),
    Subject(
        MICROSOFT_365,
        truth={
            "users": "users",
            "tenants": "organization",
            "domains": "domains",
            "licences": "subscribedSkus",
            "subscriptions": "directory~subscriptions",
            "assignments": "assignments",
            "activations": "activations",
        },
        change={"displayName": "Somebody Else"},
        roles=[
            "User.Read.All",
            "Organization.Read.All",
            "Domain.Read.All",
            "LicenseAssignment.Read.All",
            "Reports.Read.All",
            "AuditLog.Read.All",
        ],
        options={"collectSignIns": True},
        bad_options={"domains": 5, "collectUsers": "perhaps"},
    ),
    Subject(
        TOY,
        truth={"teams": "groups", "domains": "domains"},
        change={"displayName": "Another Team"},
        roles=["Group.Read.All", "Domain.Read.All"],
        bad_options={"teamThresholdDays": 5001, "collectDomains": "perhaps"},
    ),
]


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return SUBJECTS


@pytest.fixture(params=SUBJECTS, ids=str)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture(scope="module")
def kinds_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from served(SUBJECTS, "tests.contract.test_kinds", "SUBJECTS", tmp_path_factory.mktemp("app"))
