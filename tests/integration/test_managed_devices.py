"""What Intune knows of devices, on the devices' own records: joined by device id, one entry for each, and gone when Intune has none."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from shared.connectors.entra_id import EntraIdOptions
from tests.rig import Rig

GRANTED = ["User.Read.All", "Device.Read.All", "AuditLog.Read.All", "DeviceManagementManagedDevices.Read.All"]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(8, 40)
    made.roles = list(GRANTED)
    yield made
    made.close()


def _configured(rig: Rig) -> str:
    return rig.configure(options={"collectManagedDevices": True})


def _stored(rig: Rig) -> dict[str, dict[str, Any]]:
    return {
        row["RowKey"].split("|")[0]: row
        for row in rig.entities("Records")
        if "|device-managed-devices|" in row["PartitionKey"]
    }


def _number(stored: Any) -> int:
    """Table Storage marks large numbers."""
    return int(getattr(stored, "value", stored))


def _in_intune(rig: Rig) -> dict[str, dict[str, Any]]:
    """By the object id of the device."""
    by_device = {one["deviceId"]: one["id"] for one in rig.objects("devices")}
    entries = rig.graph.acting.managed_rows().values()
    return {by_device[one["azureADDeviceId"]]: one for one in entries if one["azureADDeviceId"] in by_device}


def _value(rig: Rig, object_id: str, name: str) -> Any:
    return rig.app().records.get(rig.registry.record_types["device"], f"a~{object_id}").values[name]


def _missing(rig: Rig, object_id: str) -> str | None:
    return cast("str | None", _value(rig, object_id, "intuneSerialNumber").missing)


def test_each_device_has_what_intune_knows_of_it_and_a_second_run_writes_nothing(rig: Rig) -> None:
    rig.graph.acting.managed_page = 7
    connector = _configured(rig)
    run = rig.run(connector)
    assert (run.state, [one.name for one in run.streams]) == ("succeeded", ["users", "devices", "managed-devices"])
    wanted, stored = _in_intune(rig), _stored(rig)
    assert stored.keys() == wanted.keys()
    assert 10 < len(wanted) < 40
    for object_id, entry in wanted.items():
        row = stored[object_id]
        assert (row["IntuneCompliance"], row["IntuneSerialNumber"]) == (entry["complianceState"], entry["serialNumber"])
        assert (row["IntuneEncrypted"], _number(row["IntuneFreeStorageBytes"])) == (
            entry["isEncrypted"],
            entry["freeStorageSpaceInBytes"],
        )
    assert _value(rig, next(iter(wanted)), "intuneSerialNumber").value.startswith("SN")
    before = rig.snapshot()["Records"]
    assert rig.run(connector, full=True).state == "succeeded"
    assert rig.snapshot()["Records"] == before


def test_of_several_entries_the_one_that_was_in_contact_last_counts_and_strangers_are_passed_over(rig: Rig) -> None:
    connector = _configured(rig)
    (object_id, entry), *_ = _in_intune(rig).items()
    cloud = rig.graph.acting
    cloud.managed_page = 5
    cloud.managed_too = [
        {**entry, "id": "11111111-0000-4000-8000-000000000001", "serialNumber": "OLD", "lastSyncDateTime": "2020-01-01T00:00:00Z"},
        {**entry, "id": "11111111-0000-4000-8000-000000000002", "serialNumber": "NEW", "lastSyncDateTime": "2026-11-19T00:00:00Z"},
        {**entry, "id": "11111111-0000-4000-8000-000000000003", "azureADDeviceId": "99999999-0000-4000-8000-000000000003"},
        {**entry, "id": "11111111-0000-4000-8000-000000000004", "azureADDeviceId": "00000000-0000-0000-0000-000000000000"},
        {**entry, "id": "11111111-0000-4000-8000-000000000005", "azureADDeviceId": None},
        {**entry, "id": "11111111-0000-4000-8000-000000000006", "azureADDeviceId": entry["azureADDeviceId"].upper(),
         "serialNumber": "NEWEST", "lastSyncDateTime": "2026-11-19T08:00:00Z"},
    ]  # fmt: skip
    assert rig.run(connector).state == "succeeded"
    stored = _stored(rig)
    assert stored[object_id]["IntuneSerialNumber"] == "NEWEST"
    for _ in range(2):
        before = rig.snapshot()["Records"]
        assert rig.run(connector, full=True).state == "succeeded"
        assert rig.snapshot()["Records"] == before, "whichever page it is on"
    assert stored.keys() == {one for one in _in_intune(rig) if one in {d["id"] for d in rig.objects("devices")}}


def test_a_device_that_intune_manages_no_more_loses_its_values_and_stays(rig: Rig) -> None:
    connector = _configured(rig)
    rig.run(connector)
    object_id = next(iter(_in_intune(rig)))
    number = rig.directory.index_of("devices", object_id)
    assert number is not None
    rig.directory.change("devices", number, {"isManaged": False})
    rig.clock.move(2 * 86400)
    assert rig.run(connector, full=True).state == "succeeded"
    assert object_id not in _stored(rig)
    assert _value(rig, object_id, "displayName").value
    assert _value(rig, object_id, "intuneSerialNumber").value is None


def test_without_permission_or_licence_devices_are_read_and_the_values_say_why(rig: Rig) -> None:
    connector = _configured(rig)
    rig.roles = GRANTED[:3]
    run = rig.run(connector)
    assert (run.state, [one.code for one in run.problems]) == ("succeeded", ["graph-permission-missing"])
    object_id = next(iter(_in_intune(rig)))
    assert _missing(rig, object_id) == "permission"
    rig.roles = list(GRANTED)
    rig.graph.acting.intune = False
    run = rig.run(connector)
    assert (run.state, [one.code for one in run.problems]) == ("succeeded", ["graph-licence-missing"])
    assert _missing(rig, object_id) == "licence"


def test_it_adds_to_devices_and_is_off_where_nobody_asked(rig: Rig) -> None:
    connector = rig.configure()
    assert [one.name for one in rig.run(connector).streams] == ["users", "devices"]
    with pytest.raises(ValueError, match="collectDevices must be on"):
        EntraIdOptions(collect_managed_devices=True, collect_devices=False)
