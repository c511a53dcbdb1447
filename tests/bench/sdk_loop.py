"""The loop that one would write with the two SDKs: PageIterator over users, submit_transaction by partition. Records only."""

import argparse
import asyncio
import json
import time
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableServiceClient
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph.generated.models.user import User
from msgraph.generated.users.users_request_builder import UsersRequestBuilder
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core.tasks.page_iterator import PageIterator

from shared.connectors.entra_id import USERS
from shared.mapping.compiled import selected
from tests.bench.run_once import StaticToken, connection

BATCH = 100


def entity(user: User) -> dict[str, Any]:
    object_id = user.id or ""
    manager = user.manager.id if user.manager else None
    values = {
        "DisplayName": user.display_name, "GivenName": user.given_name, "Surname": user.surname, "SignInName": user.user_principal_name,
        "Mail": user.mail, "MailNickname": user.mail_nickname, "OtherMails": json.dumps(user.other_mails),
        "ProxyAddresses": json.dumps(user.proxy_addresses), "WorkPhone": next(iter(user.business_phones or ()), None),
        "MobilePhone": user.mobile_phone, "FaxNumber": user.fax_number, "CreatedAt": user.created_date_time,
        "StreetAddress": user.street_address, "City": user.city, "State": user.state, "PostalCode": user.postal_code,
        "Country": user.country, "UsageLocation": user.usage_location, "JobTitle": user.job_title, "Department": user.department,
        "CompanyName": user.company_name, "ManagerId": manager, "EmployeeType": user.employee_type, "EmployeeId": user.employee_id,
        "EmployeeHiredAt": user.employee_hire_date, "OfficeLocation": user.office_location,
        "DistinguishedName": user.on_premises_distinguished_name, "PasswordPolicies": user.password_policies,
        "PasswordChangedAt": user.last_password_change_date_time, "Enabled": user.account_enabled, "UserType": user.user_type,
        "InvitationState": user.external_user_state, "CreationType": user.creation_type, "PreferredLanguage": user.preferred_language,
        "SessionsValidFrom": user.sign_in_sessions_valid_from_date_time, "OnPremisesSynced": user.on_premises_sync_enabled,
        "OnPremisesSyncedAt": user.on_premises_last_sync_date_time, "OnPremisesSamAccountName": user.on_premises_sam_account_name,
        "OnPremisesDomainName": user.on_premises_domain_name, "OnPremisesSecurityId": user.on_premises_security_identifier,
        "OnPremisesImmutableId": user.on_premises_immutable_id, "OnPremisesSignInName": user.on_premises_user_principal_name,
    }  # fmt: skip
    kept = {name: value for name, value in values.items() if value is not None}
    return {"PartitionKey": f"sdk|person|{object_id[:2]}", "RowKey": f"{object_id}|csdk|users", **kept}


async def run(options: argparse.Namespace) -> dict[str, Any]:
    provider = AzureIdentityAuthenticationProvider(
        StaticToken("x"), scopes=["bench/.default"], allowed_hosts=["127.0.0.1"]
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{options.graph}/v1.0"
    client = GraphServiceClient(request_adapter=adapter)
    storage = connection(options.tables)
    key = AzureNamedKeyCredential(storage.account, storage.account_key or "")
    query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
        select=["id", *(name for name in selected(USERS.attributes) if name != "manager")], expand=["manager($select=id)"], top=999
    )  # fmt: skip
    settings = UsersRequestBuilder.UsersRequestBuilderGetRequestConfiguration(query_parameters=query)
    count = 0
    partitions: dict[str, list[Any]] = {}
    with TableServiceClient(storage.table_endpoint, credential=key) as service:
        table = service.create_table_if_not_exists("Records")

        def take(user: User) -> bool:
            nonlocal count
            row = entity(user)
            rows = partitions.setdefault(row["PartitionKey"], [])
            rows.append(("upsert", row, {"mode": "replace"}))
            count += 1
            if len(rows) == BATCH:
                table.submit_transaction(partitions.pop(row["PartitionKey"]))
            return True

        await client.users.get(request_configuration=settings)  # what a worker that ran before has imported
        began, cpu = time.monotonic(), time.process_time()
        first = await client.users.get(request_configuration=settings)
        await PageIterator(first, adapter).iterate(take)
        for rows in partitions.values():
            table.submit_transaction(rows)
    return {
        "users": count, "wallSeconds": round(time.monotonic() - began, 3), "cpuSeconds": round(time.process_time() - cpu, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--graph", required=True)
    parser.add_argument("--tables", required=True)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
