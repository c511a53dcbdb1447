"""What a deployment has to be. Each check raises AssertionError; the mutations of tests/infra/test_mutations.py show that each finds
what it is for.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from local.cloud.graph.facts import facts
from shared.api.surfaces import PREFIX
from shared.events import EVENTS
from shared.names import QUEUES, TABLES, Role
from shared.settings import SETTINGS, load
from tests.infra.bicep.eval import evaluate
from tests.infra.bicep.functions import apply

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
OPTIONS = {"environmentName": "test", "location": "westeurope"}
TENANT = "11111111-1111-1111-1111-111111111111"
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
HOST, DATA, VAULT = "storage/host", "storage/data", "vault/vault"
INSIGHTS, IDENTITY = "monitoring/insights", "identity/identity"
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
}
OWN = {
    (HOST, "Storage Blob Data Owner"), (HOST, "Storage Queue Data Contributor"), (HOST, "Storage Table Data Contributor"),
    (DATA, "Storage Table Data Contributor"), (DATA, "Storage Queue Data Contributor"),
    (INSIGHTS, "Monitoring Metrics Publisher"),
}  # fmt: skip
OPERATORS = {(DATA, "Storage Table Data Reader"), (VAULT, "Key Vault Secrets Officer"), ("group", "Monitoring Reader")}
"""Who gets which role where; the vault's own depends on an option."""
NOT_ON_FLEX = {
    "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY", "WEBSITE_RUN_FROM_PACKAGE", "SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTSHARE", "WEBSITE_VNET_ROUTE_ALL", "WEBSITE_TIME_ZONE", "TZ",
    "WEBSITE_LOAD_CERTIFICATES", "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
}  # fmt: skip
OF_THE_PLATFORM = {
    "AzureWebJobsStorage__credential": "managedidentity", "AzureWebJobsStorage__clientId": "<{id}.properties.clientId>",
    "AzureWebJobsStorage__blobServiceUri": "<{app}/host.properties.primaryEndpoints.blob>",
    "AzureWebJobsStorage__queueServiceUri": "<{app}/host.properties.primaryEndpoints.queue>",
    "AzureWebJobsStorage__tableServiceUri": "<{app}/host.properties.primaryEndpoints.table>",
    "RollcallStorage__credential": "managedidentity", "RollcallStorage__clientId": "<{id}.properties.clientId>",
    "AZURE_CLIENT_ID": "<{id}.properties.clientId>",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "<{app}/insights.properties.ConnectionString>",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "ClientId=<{id}.properties.clientId>;Authorization=AAD",
}  # fmt: skip
NEVER_DEPLOYED = {
    "RollcallStorage", "ROLLCALL_CLOUD_ENDPOINTS", "ROLLCALL_DEVELOPMENT_PRINCIPAL", "ROLLCALL_DEVELOPMENT_TOKEN",
}  # fmt: skip


class Deployed:
    """One evaluation of main.bicep. `options`: what was chosen."""

    def __init__(self, folder: Path, parameters: Any) -> None:
        self.folder = folder
        self.all = evaluate(str(folder / "main.bicep"), parameters if isinstance(parameters, dict) else str(parameters))
        self.params = dict(self.all.params)
        self.options = dict(self.params["options"])

    def of(self, kind: str) -> list[Any]:
        return [one for one in self.all if one.type.lower() == kind.lower()]

    def one(self, label: str) -> Any:
        (found,) = [one for one in self.all if one.label == f"main/rollcall/{label}"]
        return found

    def there(self, label: str) -> bool:
        return any(one.label == f"main/rollcall/{label}" for one in self.all)

    def id_of(self, label: str) -> str:
        return str(self.one(label).id)

    @property
    def private(self) -> bool:
        return bool(self.options.get("privateNetwork"))

    @property
    def zones(self) -> bool:
        return bool(self.options.get("zoneRedundant"))


Check = Callable[[Deployed], None]


def storage_is_locked(d: Deployed) -> None:
    accounts = d.of("Microsoft.Storage/storageAccounts")
    assert len(accounts) == 2
    for account in accounts:
        assert account.body["properties"] == {
            "allowBlobPublicAccess": False, "allowCrossTenantReplication": False, "allowSharedKeyAccess": False,
            "defaultToOAuthAuthentication": True, "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": True,
            "publicNetworkAccess": "Disabled" if d.private else "Enabled",
            "networkAcls": {"bypass": "None", "defaultAction": "Deny" if d.private else "Allow"},
        }  # fmt: skip
        assert account.body["kind"] == "StorageV2"
        assert account.body["sku"]["name"] == ("Standard_ZRS" if d.zones else "Standard_LRS")
    (packages,) = d.of("Microsoft.Storage/storageAccounts/blobServices/containers")
    assert packages.get("properties.publicAccess") == "None" and packages.parent == "main/rollcall/storage/host::blobs"
    where = d.one("app/site").get("properties.functionAppConfig.deployment.storage.value")
    assert where == f"<main/rollcall/app/host.properties.primaryEndpoints.blob>{packages.name.rpartition('/')[2]}"


def queues_and_tables_are_the_codes(d: Deployed) -> None:
    for kind, names in (("queueServices/queues", QUEUES), ("tableServices/tables", TABLES)):
        found = d.of(f"Microsoft.Storage/storageAccounts/{kind}")
        assert sorted(one.name.rpartition("/")[2] for one in found) == sorted(names)
        account = d.one(DATA).name
        assert all(one.name.startswith(f"{account}/default/") for one in found)


def the_vault_keeps_what_is_deleted(d: Deployed) -> None:
    (vault,) = d.of("Microsoft.KeyVault/vaults")
    assert vault.body["properties"] == {
        "tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True, "enableSoftDelete": True,
        "softDeleteRetentionInDays": 90, "enablePurgeProtection": True,
        "publicNetworkAccess": "Disabled" if d.private else "Enabled",
        "networkAcls": {"bypass": "None", "defaultAction": "Deny" if d.private else "Allow"},
    }  # fmt: skip


def roles_are_those_of_the_table(d: Deployed) -> None:
    writes = d.options.get("apiWritesSecrets", True)
    vault = (VAULT, "Key Vault Secrets Officer" if writes else "Key Vault Secrets User")
    who, kind = d.options.get("operatorPrincipalId"), d.options.get("operatorPrincipalType", "Group")
    own = f"<main/rollcall/{IDENTITY}.properties.principalId>"
    wanted = {(own, "ServicePrincipal", *one) for one in OWN | {vault}}
    wanted |= {(who, kind, *one) for one in OPERATORS} if who else set()
    places = {d.id_of(label): label for label in (HOST, DATA, VAULT, INSIGHTS)}
    found = set()
    for one in d.of("Microsoft.Authorization/roleAssignments"):
        properties = one.body["properties"]
        scope, (place, _, role) = str(one.scope), str(properties["roleDefinitionId"]).rpartition("/")
        assert place.endswith("/providers/Microsoft.Authorization/roleDefinitions")
        found.add((properties["principalId"], properties["principalType"], places.get(scope, "group"), ROLES[role]))
        if scope not in places:
            assert scope.endswith(f"/resourceGroups/{d.all[0].name}")
        name = str(one.name)  # a guid of what Azure never changes in an assignment
        if not name.startswith("<guid("):
            assert name == apply("guid", [scope, properties["principalId"], role])
        else:
            assert scope in name and role in name and properties["principalId"].strip("<>") in name
    assert found == wanted
    assert len(d.of("Microsoft.Authorization/roleAssignments")) == len(wanted)


def settings_are_what_the_code_reads(d: Deployed) -> None:
    values = d.one("app/site::appSettings").body["properties"]
    assert values.keys() == (SETTINGS.keys() - NEVER_DEPLOYED) | OF_THE_PLATFORM.keys() | {
        "WEBSITE_AUTH_AAD_ALLOWED_TENANTS"
    }
    assert not values.keys() & NOT_ON_FLEX
    for name, wanted in OF_THE_PLATFORM.items():
        assert values[name] == wanted.format(id=f"main/rollcall/{IDENTITY}", app="main/rollcall/app"), name
    for service in ("queue", "table"):
        assert (
            values[f"RollcallStorage__{service}ServiceUri"]
            == f"<main/rollcall/app/data.properties.primaryEndpoints.{service}>"
        )
    assert values["ROLLCALL_VAULT_URI"] == f"<main/rollcall/{VAULT}.properties.vaultUri>"
    tenants = ",".join([TENANT, *d.options.get("moreTenants", [])])
    assert values["ROLLCALL_TENANTS"] == values["WEBSITE_AUTH_AAD_ALLOWED_TENANTS"] == tenants
    given = d.options.get("settings", {})
    plain = {
        name: value for name, value in values.items() if name in SETTINGS and name not in given and "<" not in value
    }
    here, default = load({**plain, "ROLLCALL_TENANTS": ""}), load({})
    assert (here.keep_days, here.slice_seconds, here.request_seconds) == (
        default.keep_days,
        default.slice_seconds,
        default.request_seconds,
    )
    assert "ROLLCALL_TICK" in given or values["ROLLCALL_TICK"] == "0 */5 * * * *"
    assert all(values[name] == value for name, value in given.items())


def the_site_is_guarded(d: Deployed) -> None:
    site, app, own = d.one("app/site"), "main/rollcall/app", d.id_of(IDENTITY)
    properties = site.body["properties"]
    assert site.body["kind"] == "functionapp,linux"
    assert site.body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {own: {}}}
    assert properties["httpsOnly"] is True and properties["publicNetworkAccess"] == "Enabled"
    assert properties["keyVaultReferenceIdentity"] == own and properties["serverFarmId"] == d.id_of("app/plan")
    assert properties["siteConfig"] == {
        "minTlsVersion": "1.2", "scmMinTlsVersion": "1.2", "ftpsState": "Disabled", "http20Enabled": True,
    }  # fmt: skip
    assert properties["functionAppConfig"] == {
        "deployment": {"storage": {
            "type": "blobContainer", "value": f"<{app}/host.properties.primaryEndpoints.blob>packages",
            "authentication": {"type": "UserAssignedIdentity", "userAssignedIdentityResourceId": own},
        }},
        "runtime": {"name": "python", "version": d.options.get("pythonVersion", "3.13")},
        "scaleAndConcurrency": {
            "instanceMemoryMB": d.options.get("instanceMemoryMB", 2048),
            "maximumInstanceCount": d.options.get("maximumInstanceCount", 40),
            "alwaysReady": [{"name": "http", "instanceCount": n}] if (n := d.options.get("alwaysReadyHttp", 0)) else [],
            "triggers": {"http": {"perInstanceConcurrency": 16}},
        },
    }  # fmt: skip
    subnet = properties["virtualNetworkSubnetId"]
    assert subnet == (d.id_of("network/network") + "/subnets/app" if d.private else None)
    assert "main/rollcall/access" in " ".join(
        d_on for module in d.all.modules if module.label == app for d_on in module.depends_on
    )
    for name in ("ftp", "scm"):
        policy = d.one(f"app/site::{name}")
        assert policy.name.endswith(f"/{name}") and policy.body["properties"] == {"allow": False}
    plan = d.one("app/plan").body
    assert (plan["kind"], plan["sku"]) == ("functionapp", {"name": "FC1", "tier": "FlexConsumption"})
    assert plan["properties"] == {"reserved": True, "zoneRedundant": d.zones}


def who_calls_is_asked_by_app_service(d: Deployed) -> None:
    auth = d.one("app/site::auth")
    client = d.params.get("authClientId") or "<main/entra/registration.appId>"
    mine = str(d.all.outputs["ROLLCALL_AUDIENCE"])
    audiences = [mine, client] if d.params.get("authClientId") else [mine]
    assert auth.name.endswith("/authsettingsV2") and auth.body["properties"] == {
        "platform": {"enabled": True, "runtimeVersion": "~1"},
        "globalValidation": {
            "requireAuthentication": True, "unauthenticatedClientAction": "Return401", "excludedPaths": [f"/{PREFIX}/health"],
        },
        "httpSettings": {"requireHttps": True},
        "identityProviders": {"azureActiveDirectory": {
            "enabled": True,
            "registration": {"clientId": client, "openIdIssuer": f"https://login.microsoftonline.com/{TENANT}/v2.0"},
            "validation": {"allowedAudiences": audiences},
        }},
        "login": {"tokenStore": {"enabled": False}},
    }  # fmt: skip
    assert auth.depends_on.count("main/rollcall/app/site::appSettings") == 1


def the_registration_is_of_one_tenant_and_has_the_roles(d: Deployed) -> None:
    found = d.of("Microsoft.Graph/applications")
    if d.params.get("authClientId"):
        assert found == [] and d.of("Microsoft.Graph/servicePrincipals") == []
        return
    (registration,), (principal,) = found, d.of("Microsoft.Graph/servicePrincipals")
    assert registration.body["signInAudience"] == "AzureADMyOrg"
    api = registration.body["api"]
    (scope,) = api.pop("oauth2PermissionScopes")
    assert api == {
        "requestedAccessTokenVersion": 2,
        "preAuthorizedApplications": [{"appId": AZURE_CLI, "delegatedPermissionIds": [scope["id"]]}],
    }
    api["oauth2PermissionScopes"] = [scope]
    assert scope["id"] == apply("guid", [registration.name, "user_impersonation"])
    assert {key: value for key, value in scope.items() if not key.startswith("adminConsent")} == {
        "id": scope["id"], "value": "user_impersonation", "type": "Admin", "isEnabled": True,
    }  # fmt: skip
    assert scope["adminConsentDisplayName"] and scope["adminConsentDescription"]
    assert registration.body["identifierUris"] == [d.all.outputs["ROLLCALL_AUDIENCE"]]
    roles = registration.body["appRoles"]
    assert [role["value"] for role in roles] == [role.value for role in Role]
    assert len({role["id"] for role in roles}) == len(roles)
    for role in roles:
        assert role["isEnabled"] is True and role["allowedMemberTypes"] == ["User", "Application"]

        assert role["id"] == apply("guid", [registration.name, role["value"]])
    assert principal.body["appRoleAssignmentRequired"] is True
    assert principal.body["tags"] == ["WindowsAzureActiveDirectoryIntegratedApp"]


def logs_need_a_role_and_end(d: Deployed) -> None:
    workspace, insights = d.one("monitoring/workspace").body["properties"], d.one(INSIGHTS).body
    assert workspace == {
        "sku": {"name": "PerGB2018"}, "retentionInDays": d.options.get("logRetentionDays", 30),
        "workspaceCapping": {"dailyQuotaGb": d.options.get("logDailyQuotaGb", 1)}, "features": {"disableLocalAuth": True},
    }  # fmt: skip
    assert insights["kind"] == "web" and insights["properties"] == {
        "Application_Type": "web", "WorkspaceResourceId": d.id_of("monitoring/workspace"), "DisableLocalAuth": True,
    }  # fmt: skip
    vault = d.one("monitoring/vaultLog")
    assert vault.scope == d.id_of(VAULT) and vault.body["properties"] == {
        "workspaceId": d.id_of("monitoring/workspace"), "logs": [{"category": "AuditEvent", "enabled": True}],
    }  # fmt: skip
    assert d.there("monitoring/dataLog") == bool(d.options.get("diagnosticsOnStorage"))
    if d.there("monitoring/dataLog"):
        data = d.one("monitoring/dataLog")
        assert data.scope == f"{d.id_of(DATA)}/tableServices/default"
        assert data.body["properties"] == {
            "workspaceId": d.id_of("monitoring/workspace"),
            "logs": [{"category": f"Storage{what}", "enabled": True} for what in ("Read", "Write", "Delete")],
        }  # fmt: skip
    told = d.one("monitoring/operators").body
    assert told["location"] == "global" and told["properties"]["enabled"] is True
    assert len(told["properties"]["groupShortName"]) <= 12
    assert [one["emailAddress"] for one in told["properties"]["emailReceivers"]] == d.options.get("alertEmails", [])
    assert all(one["useCommonAlertSchema"] is True for one in told["properties"]["emailReceivers"])
    names = [one["name"] for one in told["properties"]["emailReceivers"]]
    assert len(set(names)) == len(names)


ALERTS = {
    "run-failed": (2, "PT15M", "PT15M", {"run.failed"}), "no-success": (2, "PT1H", "P1D", {"connector.active", "run.succeeded", "timer.ticked"}),
    "credential-expiring": (2, "P1D", "P1D", {"credential.expiring"}), "poison-message": (2, "PT15M", "PT15M", {"queue.poison"}),
    "removals-held": (3, "PT1H", "PT1H", {"run.held"}), "graph-throttled": (3, "PT1H", "PT1H", {"graph.throttled"}),
}  # fmt: skip
CONDITIONS = {
    "run-failed": ["not(tobool(e.transient))", "code = tostring(e.code)"],
    "no-success": ["join kind=leftanti", "beats >= 20", "on connector", "where beats == 0", 'extend name = "the timer is silent")'],
    "credential-expiring": ["toint(e.daysLeft) <= 30", "daysLeft = toint(e.daysLeft)"],
    "poison-message": ["outcome = tostring(e.outcome)"], "removals-held": ["toint(e.held) > 0", "held = toint(e.held)"],
    "graph-throttled": ["sum(todouble(e.seconds))", "where seconds > 600"],
}  # fmt: skip
"""What each query has to hold; the last is how it ends."""
FEW = {"run-failed", "no-success", "credential-expiring"}


def alerts_ask_for_what_the_code_says(d: Deployed) -> None:
    found = {
        one.name.removeprefix("alert-").rpartition("-")[0]: one
        for one in d.of("Microsoft.Insights/scheduledQueryRules")
    }
    all_of = d.options.get("alerts", "all") == "all"
    assert found.keys() == (ALERTS.keys() if all_of else FEW)
    group = d.id_of("monitoring/operators")
    for name, one in found.items():
        severity, every, window, events = ALERTS[name]
        properties = one.body["properties"]
        assert (one.body["kind"], properties["severity"], properties["evaluationFrequency"], properties["windowSize"]) == (
            "LogAlert", severity, every, window,
        )  # fmt: skip
        assert (
            properties["enabled"] is True
            and properties["skipQueryValidation"] is True
            and properties["autoMitigate"] is False
        )
        assert properties["scopes"] == [d.id_of("monitoring/workspace")] and properties["actions"] == {
            "actionGroups": [group]
        }
        (criterion,) = properties["criteria"]["allOf"]
        query = criterion.pop("query")
        assert criterion == {
            "timeAggregation": "Count", "operator": "GreaterThan", "threshold": 0,
            "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
        }  # fmt: skip
        criterion["query"] = query
        _query(query, events, CONDITIONS[name])
    metrics = {
        one.name.removeprefix("alert-").rpartition("-")[0]: one for one in d.of("Microsoft.Insights/metricAlerts")
    }
    assert metrics.keys() == ({"http5xx", "vault"} if all_of else set())
    for name, one in metrics.items():
        site = name == "http5xx"
        properties = one.body["properties"]
        (rule,) = properties["criteria"]["allOf"]
        assert properties["scopes"] == [d.id_of("app/site" if site else VAULT)]
        assert properties["criteria"]["odata.type"] == "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"
        assert (rule["metricName"], rule["timeAggregation"], rule["operator"], rule["threshold"], rule["criterionType"]) == (
            ("Http5xx", "Total", "GreaterThan", 10, "StaticThresholdCriterion") if site
            else ("Availability", "Average", "LessThan", 90, "StaticThresholdCriterion")
        )  # fmt: skip
        assert (properties["severity"], properties["evaluationFrequency"], properties["windowSize"]) == (
            (2, "PT5M", "PT15M") if site else (1, "PT1M", "PT5M")
        )
        assert properties["enabled"] is True and properties["actions"] == [{"actionGroupId": group}]
        assert one.body["location"] == "global"


def _query(query: str, events: set[str], conditions: list[str]) -> None:
    """Reads events as the app writes them, and their fields as they have them."""
    assert query.startswith(
        "AppTraces | where Message startswith '{\"event\":' | extend e = parse_json(Message) | extend event = "
    )
    assert (
        query.count("tostring(e.event)")
        == query.count("parse_json(Message)")
        == query.count("startswith '{\"event\":'")
    )
    assert set(re.findall(r'event == "([^"]+)"', query)) == events <= EVENTS.keys()
    known = {"event", *(field for event in events for field in EVENTS[event])}
    assert set(re.findall(r"\be\.(\w+)", query)) <= known
    for event in events:
        assert not EVENTS[event] or any(re.search(rf"\be\.{field}\b", query) for field in EVENTS[event])
    assert all(condition in query for condition in conditions) and query.endswith(conditions[-1])
    assert query.count("extend event = tostring(e.event) | ") == query.count("tostring(e.event)")
    for name, field in re.findall(r"(\w+) = to\w+\(e\.(\w+)\)", query):
        assert name == field


def what_can_not_be_made_again_is_locked(d: Deployed) -> None:
    locks = d.of("Microsoft.Authorization/locks")
    wanted = {d.id_of(DATA), d.id_of(VAULT)} if d.options.get("protectData", True) else set()
    assert {one.scope for one in locks} == wanted
    assert all(one.get("properties.level") == "CanNotDelete" for one in locks)


def the_budget_is_the_owners(d: Deployed) -> None:
    budgets = d.of("Microsoft.Consumption/budgets")
    amount = d.options.get("monthlyBudget", 0)
    assert len(budgets) == (1 if amount else 0)
    for one in budgets:
        properties = one.body["properties"]
        assert (properties["category"], properties["amount"], properties["timeGrain"]) == ("Cost", amount, "Monthly")
        assert properties["timePeriod"] == {"startDate": d.options.get("budgetStart") or "2026-01-01"}
        mails = d.options.get("alertEmails", [])
        contacts: dict[str, Any] = (
            {"contactEmails": mails} if mails else {"contactRoles": ["Owner"], "contactEmails": []}
        )
        common = {"enabled": True, "operator": "GreaterThan"}
        assert properties["notifications"] == {
            "eighty": {**common, "threshold": 80, "thresholdType": "Actual", **contacts},
            "forecast": {**common, "threshold": 100, "thresholdType": "Forecasted", **contacts},
        }


def the_private_network_reaches_what_settings_point_at(d: Deployed) -> None:
    endpoints = d.of("Microsoft.Network/privateEndpoints")
    if not d.private:
        assert [one for one in d.all if one.type.startswith("Microsoft.Network/")] == []
        return
    wanted = {(HOST, "blob"), (HOST, "queue"), (HOST, "table"), (DATA, "queue"), (DATA, "table"), (VAULT, "vault")}
    places = {d.id_of(label): label for label in (HOST, DATA, VAULT)}
    network = d.one("network/network")
    zones = {one.id: one.name for one in d.of("Microsoft.Network/privateDnsZones")}
    dns = {
        "vault": "privatelink.vaultcore.azure.net",
        **{s: f"privatelink.{s}.core.windows.net" for s in ("blob", "queue", "table")},
    }
    groups = {one.parent: one for one in d.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")}
    found = set()
    for one in endpoints:
        assert one.get("properties.subnet.id") == f"{network.id}/subnets/endpoints"
        (connection,) = one.body["properties"]["privateLinkServiceConnections"]
        (service,) = connection["properties"]["groupIds"]
        assert connection["name"]
        found.add((places[connection["properties"]["privateLinkServiceId"]], service))
        (config,) = groups[one.label].body["properties"]["privateDnsZoneConfigs"]
        assert zones[config["properties"]["privateDnsZoneId"]] == dns[service]
        assert groups[one.label].name.endswith("/default")
    assert found == wanted and len(endpoints) == len(wanted)
    links = d.of("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert {one.name.split("/")[0] for one in links} == set(zones.values()) == set(dns.values())
    for link in links:
        assert link.body["properties"] == {"registrationEnabled": False, "virtualNetwork": {"id": network.id}}
    assert all(one.body["location"] == "global" for one in [*links, *d.of("Microsoft.Network/privateDnsZones")])
    space = d.options.get("addressPrefix", "10.60.0.0/24")
    first, second = network.body["properties"]["subnets"]
    assert network.body["properties"]["addressSpace"] == {"addressPrefixes": [space]}
    assert (first["name"], second["name"]) == ("app", "endpoints")
    halves = list(ipaddress.ip_network(space).subnets(new_prefix=26))
    assert [one["properties"]["addressPrefix"] for one in (first, second)] == [str(halves[0]), str(halves[1])]
    (delegation,) = first["properties"]["delegations"]
    assert delegation["properties"] == {"serviceName": "Microsoft.App/environments"}
    assert (
        second["properties"]["privateEndpointNetworkPolicies"] == "Disabled"
        and "delegations" not in second["properties"]
    )


def names_are_valid_unique_and_tagged(d: Deployed) -> None:
    (group,) = d.of("Microsoft.Resources/resourceGroups")
    token = group.name.rpartition("-")[2]
    assert re.fullmatch(r"[a-z0-9]{13}", token)
    rules = {
        "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}", "Microsoft.KeyVault/vaults": r"[a-z][a-z0-9-]{1,22}[a-z0-9]",
        "Microsoft.Web/sites": r"[a-z][a-z0-9-]{1,58}[a-z0-9]", "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,60}",
        "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9_-]{3,128}",
    }  # fmt: skip
    for kind, rule in rules.items():
        for one in d.of(kind):
            assert re.fullmatch(rule, one.name) and token in one.name, one.name
    tags = {"azd-env-name": d.params["environmentName"], "application": "rollcall"}
    for one in d.all:
        if "tags" in one.body and not one.type.startswith("Microsoft.Graph"):
            assert one.body["tags"] == (
                tags | {"azd-service-name": "api"} if one.type == "Microsoft.Web/sites" else tags
            )
    for one in d.all:
        plain = one.type.count("/") == 1 or one.type.endswith("virtualNetworkLinks")
        if plain and not one.type.startswith(("Microsoft.Authorization", "Microsoft.Graph", "Microsoft.Consumption")):
            assert one.type == "Microsoft.Insights/diagnosticSettings" or {"tags", "location"} <= one.body.keys(), (
                one.label
            )
    assert all(one.body.get("location") in (None, "global", d.params["location"]) for one in d.all)


def nothing_secret_goes_in_or_out(d: Deployed) -> None:
    for file in sorted(d.folder.rglob("*.bicep*")):
        text = re.sub(r"//.*|@description\(.*\)", "", file.read_text())
        assert not re.search(
            r"(?i)listKeys|listSecrets|@secure|clientSecret|connectionString\s*:(?!.*insights)|AccountKey|sharedKey:",
            text,
        ), file
        assert not re.search(r"core\.windows\.net|vault\.azure\.net|login\.microsoftonline|database\.windows", text), (
            file
        )
        for name in re.findall(r"(?m)^\s*(?:param|output) (\w+)", text):
            assert not re.search(r"(?i)password|secret$|key$|token$", name) or name == "token", name
    secrets = re.compile(r"(?i)sig=|AccountKey=|-----BEGIN|eyJ")
    assert not any(secrets.search(str(value)) for value in d.all.outputs.values())
    assert set(d.all.outputs) == {
        "AZURE_FUNCTION_NAME", "AZURE_RESOURCE_GROUP", "ROLLCALL_API_URL", "ROLLCALL_AUDIENCE", "ROLLCALL_VAULT_URI",
        "ROLLCALL_IDENTITY_CLIENT_ID", "ROLLCALL_IDENTITY_PRINCIPAL_ID",
    }  # fmt: skip
    outputs = d.all.outputs
    assert outputs["AZURE_FUNCTION_NAME"] == d.one("app/site").name and outputs["AZURE_RESOURCE_GROUP"] == d.all[0].name
    assert outputs["ROLLCALL_API_URL"] == f"https://<main/rollcall/app/site.properties.defaultHostName>/{PREFIX}"
    assert outputs["ROLLCALL_VAULT_URI"] == f"<main/rollcall/{VAULT}.properties.vaultUri>"
    for what in ("clientId", "principalId"):
        name = f"ROLLCALL_IDENTITY_{'CLIENT' if what == 'clientId' else 'PRINCIPAL'}_ID"
        assert outputs[name] == f"<main/rollcall/{IDENTITY}.properties.{what}>"


def every_option_reaches_its_module(d: Deployed) -> None:
    text = (d.folder / "modules" / "options.bicep").read_text()
    first = text[text.index("type rollcallOptions") : text.index("type rollcallSettings")]
    options = set(re.findall(r"(?m)^  (\w+): ", first))
    used = set(re.findall(r"options\.\?(\w+)", (d.folder / "modules" / "rollcall.bicep").read_text()))
    assert options == used and len(options) >= 20
    settings = set(re.findall(r"(?m)^  (ROLLCALL_\w+): ", text[text.index("type rollcallSettings") :]))
    assert settings == {
        name for name in SETTINGS if re.match(r"ROLLCALL_(KEEP|TICK|SLICE|REQUEST)", name)
    }  # fmt: skip


def a_connectors_identity_is_federated_and_granted_what_it_needs(d: Deployed) -> None:
    found = evaluate(
        str(d.folder / "modules" / "connector-identity.bicep"),
        {"uniqueName": "reader", "identityPrincipalId": "Own-Id"},
    )
    by_type: dict[str, list[Any]] = {}
    for one in found:
        by_type.setdefault(one.type, []).append(one)
    (registration,), (federation,) = (
        by_type["Microsoft.Graph/applications"],
        by_type["Microsoft.Graph/applications/federatedIdentityCredentials"],
    )
    assert registration.body["signInAudience"] == "AzureADMyOrg" and registration.name == "reader"
    assert federation.name == "reader/rollcall" and federation.body == {
        "name": "reader/rollcall",
        "audiences": ["api://AzureADTokenExchange"], "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0", "subject": "Own-Id",
    }  # fmt: skip
    assert federation.depends_on == ["connector-identity/registration"]
    grants = by_type["Microsoft.Graph/appRoleAssignedTo"]
    assert len(grants) == 4
    for one in grants:
        assert (
            one.body["principalId"] == "<connector-identity/principal.id>"
            and one.body["resourceId"] == "<connector-identity/graph.id>"
        )
        assert str(one.body["appRoleId"]).endswith("[0].id>")
    text = (d.folder / "modules" / "connector-identity.bicep").read_text()
    named = re.findall(r"'(\w+(?:\.\w+)+\.All)'", text)
    assert set(named) == {"User.Read.All", "Device.Read.All", "AuditLog.Read.All", "Organization.Read.All"}
    assert set(named) <= facts().permissions
    assert "'00000003-0000-0000-c000-000000000000'" in text and "role.value == permission" in text


CHECKS: tuple[Check, ...] = (
    storage_is_locked, queues_and_tables_are_the_codes, the_vault_keeps_what_is_deleted, roles_are_those_of_the_table,
    settings_are_what_the_code_reads, the_site_is_guarded, who_calls_is_asked_by_app_service,
    the_registration_is_of_one_tenant_and_has_the_roles, logs_need_a_role_and_end, alerts_ask_for_what_the_code_says,
    what_can_not_be_made_again_is_locked, the_budget_is_the_owners, the_private_network_reaches_what_settings_point_at,
    names_are_valid_unique_and_tagged, nothing_secret_goes_in_or_out, every_option_reaches_its_module,
    a_connectors_identity_is_federated_and_granted_what_it_needs,
)  # fmt: skip

EVERYTHING: dict[str, Any] = {
    "pythonVersion": "3.14", "instanceMemoryMB": 4096, "maximumInstanceCount": 100, "alwaysReadyHttp": 2, "zoneRedundant": True,
    "privateNetwork": True, "addressPrefix": "10.9.0.0/23", "logRetentionDays": 90, "logDailyQuotaGb": 3, "diagnosticsOnStorage": True,
    "alertEmails": ["a@contoso.example", "b@contoso.example"], "alerts": "few", "monthlyBudget": 50, "budgetStart": "2026-08-01",
    "protectData": False, "operatorPrincipalId": "22222222-2222-2222-2222-222222222222", "operatorPrincipalType": "User",
    "apiWritesSecrets": False, "moreTenants": ["33333333-3333-3333-3333-333333333333"],
    "settings": {"ROLLCALL_TICK": "0 * * * * *", "ROLLCALL_KEEP_RUNS_DAYS": "30"},
}  # fmt: skip
PROFILES: dict[str, dict[str, Any]] = {
    "small": {"instanceMemoryMB": 512, "maximumInstanceCount": 5, "alerts": "few"},
    "standard": {"logRetentionDays": 90, "monthlyBudget": 100},
    "private": {
        "zoneRedundant": True, "privateNetwork": True, "alwaysReadyHttp": 1, "logRetentionDays": 365, "logDailyQuotaGb": 5,
        "diagnosticsOnStorage": True, "monthlyBudget": 500,
    },
}  # fmt: skip
SAID = {
    "ROLLCALL_ALERT_EMAIL": ("alertEmails", ["a@contoso.example"]), "ROLLCALL_OPERATOR_ID": ("operatorPrincipalId", TENANT),
    "ROLLCALL_BUDGET_START": ("budgetStart", "2026-11-01"),
}  # fmt: skip
"""What docs/deploy.md says of each profile, and what an owner says beside it: variable, option, value."""


def profiles_are_those_of_the_docs(folder: Path) -> None:
    """Each alone, and with each thing that an owner may say."""
    for name, options in PROFILES.items():
        for variables in (set[str](), *({one} for one in SAID)):
            with mock.patch.dict(os.environ):
                for variable, (_option, value) in SAID.items():
                    os.environ[variable] = (
                        str(value[0] if isinstance(value, list) else value) if variable in variables else ""
                    )
                deployed = Deployed(folder, folder / f"{name}.bicepparam")
            assert deployed.options == options | dict(SAID[variable] for variable in variables)


SETS: dict[str, Any] = {
    "nothing": OPTIONS, "everything": {**OPTIONS, "options": EVERYTHING, "authClientId": "44444444-4444-4444-4444-444444444444"},
    "budget": {**OPTIONS, "options": {"monthlyBudget": 5, "privateNetwork": True, "alertEmails": ["a@contoso.example"]}},
    "owners": {**OPTIONS, "options": {"monthlyBudget": 5, "alwaysReadyHttp": 1}},
}  # fmt: skip
"""Parameter sets beside the files: defaults, everything chosen, and what neither shows."""
