"""What is done to a device: in Microsoft Entra ID, and in Intune where it is managed."""

from typing import Any

from shared.actions.catalogue import CLOUD_DEVICE_ADMINISTRATOR, AlreadySo, Cannot, action
from shared.actions.requests import built, graph
from shared.actions.subject import Subject, has, is_, reads, step
from shared.connectors.base import Permission
from shared.domain.plan import Call, Check, Risk, Step

DEVICES = Permission("Device.ReadWrite.All", ("Directory.ReadWrite.All",))
DELETE = Permission("Device.ReadWrite.All")
INTUNE = Permission("DeviceManagementManagedDevices.PrivilegedOperations.All")
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"


async def _switched(on: Subject, *, enabled: bool) -> list[Step]:
    from msgraph.generated.models.device import Device

    if on["accountEnabled"] is enabled:
        raise AlreadySo(f"The device is {'enabled' if enabled else 'disabled'} already.")
    request = built(graph().devices.by_device_id(on.id).to_patch_request_information(Device(account_enabled=enabled)))
    proof = reads(f"/devices/{on.id}?$select=accountEnabled", is_("accountEnabled", enabled))
    return [step(f"{'Enable' if enabled else 'Disable'} the device", request, proof)]


@action(
    "disable-device", "Disable", "device", risk=Risk.DISRUPTIVE, permissions=(DEVICES,), roles=(CLOUD_DEVICE_ADMINISTRATOR,),
    undo=lambda item: Call(action="enable-device", target=item.call.target), reverse="enable-device",
)  # fmt: skip
async def disable_device(on: Subject, _given: Any) -> list[Step]:
    """Nobody gets a token on the device any more."""
    return await _switched(on, enabled=False)


@action(
    "enable-device", "Enable", "device", risk=Risk.LOW, permissions=(DEVICES,), roles=(CLOUD_DEVICE_ADMINISTRATOR,),
    undo=lambda item: Call(action="disable-device", target=item.call.target), reverse="disable-device",
)  # fmt: skip
async def enable_device(on: Subject, _given: Any) -> list[Step]:
    """The device can be used again."""
    return await _switched(on, enabled=True)


@action(
    "delete-device", "Delete", "device", risk=Risk.SEVERE, permissions=(DELETE,),
    note="Recovery keys and the local administrator's password that Entra keeps are lost for good. Disable it first.",
)  # fmt: skip
async def delete_device(on: Subject, _given: Any) -> list[Step]:
    """The device's object is gone for good. Another object of the same name stays."""
    if on["accountEnabled"]:
        raise Cannot("enabled", "The device is enabled.", "Disable it first, and delete it once nobody misses it.")
    request = built(graph().devices.by_device_id(on.id).to_delete_request_information())
    return [step("Delete the device", request, reads(f"/devices/{on.id}?$select=id", Check(how="gone"), seconds=120))]


async def _managed(on: Subject) -> str:
    """The id of the device in Intune. Raises Cannot where it is not managed there, or not by one object alone."""
    device = str(on["deviceId"] or _NO_DEVICE)
    found = []
    if device != _NO_DEVICE:
        path = f"/deviceManagement/managedDevices?$filter=azureADDeviceId eq '{device}'&$select=id,deviceName,azureADDeviceId"
        found = [one for one in await on.look.all(path, INTUNE.name) if one.get("azureADDeviceId") == device]
    if not found:
        raise Cannot(
            "not-managed", "Intune has no device with this device id.", "Enrol the device, or look for it in Intune."
        )
    if len(found) > 1:
        raise Cannot(
            "ambiguous", f"Intune has {len(found)} devices with this device id.", "Choose one of them in Intune."
        )
    managed: str = on.noted("managedDeviceId", found[0]["id"])
    return managed


def _asked(managed: str, name: str) -> Any:
    path = f"/deviceManagement/managedDevices/{managed}?$select=deviceActionResults"
    return reads(path, has("deviceActionResults", actionName=name), seconds=120)


@action(
    "sync-device", "Synchronize with Intune", "device", risk=Risk.LOW, permissions=(INTUNE,), same_again=False, cloud_only=False,
    licence="Microsoft Intune",
)  # fmt: skip
async def sync_device(on: Subject, _given: Any) -> list[Step]:
    """The device asks Intune for its policies the next time that it is on."""
    managed = await _managed(on)
    builder = graph().device_management.managed_devices.by_managed_device_id(managed)
    return [
        step(
            "Synchronize the device",
            built(builder.sync_device.to_post_request_information()),
            _asked(managed, "syncDevice"),
        )
    ]


@action(
    "lock-device", "Lock", "device", risk=Risk.DISRUPTIVE, permissions=(INTUNE,), same_again=False, cloud_only=False,
    licence="Microsoft Intune", note="Phones and tablets; Windows has no such lock.",
)  # fmt: skip
async def lock_device(on: Subject, _given: Any) -> list[Step]:
    """The screen locks the next time that the device is on; whoever has its code unlocks it."""
    managed = await _managed(on)
    builder = graph().device_management.managed_devices.by_managed_device_id(managed)
    return [
        step("Lock the device", built(builder.remote_lock.to_post_request_information()), _asked(managed, "remoteLock"))
    ]


@action(
    "retire-device", "Retire", "device", risk=Risk.SEVERE, permissions=(INTUNE,), same_again=False, cloud_only=False,
    licence="Microsoft Intune", note="The device has to be enrolled again afterwards. Encryption may be suspended by it.",
)  # fmt: skip
async def retire_device(on: Subject, _given: Any) -> list[Step]:
    """Intune takes the organisation's data and settings from the device, and leaves it alone from then on."""
    managed = await _managed(on)
    builder = graph().device_management.managed_devices.by_managed_device_id(managed)
    return [step("Retire the device", built(builder.retire.to_post_request_information()), _asked(managed, "retire"))]
