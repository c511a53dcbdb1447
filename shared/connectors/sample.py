"""A made-up object of a stream, with a value for every property that a mapping can name: for examples."""

from typing import Any

from shared.connectors.base import Stream
from shared.connectors.catalogue import properties, structure

_ID = "00000000-0000-4000-8000-000000000001"
_PLAIN: dict[str, Any] = {
    "Boolean": True, "DateTimeOffset": "2026-01-31T08:00:00Z", "Int32": 42, "Int64": 42, "Double": 4.2, "Guid": _ID,
}  # fmt: skip
_KNOWN = {
    "id": _ID, "mail": "adele.vance@contoso.example", "userPrincipalName": "adele.vance@contoso.example",
    "displayName": "Adele Vance", "givenName": "Adele", "surname": "Vance", "employeeId": "E000042",
    "mobilePhone": "+31 6 1234 0042", "faxNumber": "+31 20 556 0042", "passwordPolicies": "DisablePasswordExpiration",
    "businessPhones": ["+31 20 555 0042"], "proxyAddresses": ["SMTP:adele.vance@contoso.example"],
}  # fmt: skip
_SIGN_INS = ("lastSignInDateTime", "lastNonInteractiveSignInDateTime", "lastSuccessfulSignInDateTime")


def sample(stream: Stream) -> dict[str, Any]:
    """The object, as a list of Microsoft Graph brings one."""
    made = {name: _KNOWN.get(name) or _value(name, type_) for name, type_ in properties(stream).items()}
    made["id"] = _ID
    for one in stream.attributes:  # directory extensions, which only the tenant knows
        for name in one.properties:
            made.setdefault(name, f"Sample {name.rpartition('_')[2]}")
    if "signInActivity" in made:
        made["signInActivity"] = dict.fromkeys(_SIGN_INS, _PLAIN["DateTimeOffset"])
    return made


def _value(name: str, type_: str, depth: int = 0) -> Any:
    if type_.endswith("[]"):
        return [_value(name, type_.removesuffix("[]"), depth)]
    if type_ == "relation":
        return {"id": _ID} if not name.endswith("s") else [{"id": _ID}]
    members = structure(type_) if depth < 2 else None
    if members:
        return {member: _value(member, inner, depth + 1) for member, inner in members.items()}
    return _PLAIN.get(type_, f"Sample {name}")
