"""The only module that speaks to Key Vault. Secrets go in and are used; nothing here returns one to the API."""

import contextlib
from collections.abc import Iterator
from datetime import datetime

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

from shared.errors import SourceProblem, Unavailable
from shared.redact import known_secret


@contextlib.contextmanager
def _vault_errors() -> Iterator[None]:
    try:
        yield
    except ClientAuthenticationError as error:
        raise Unavailable(
            "Key Vault refused the function app's identity.",
            code="vault-denied",
            remedy="Give the function app's identity the role Key Vault Secrets Officer on the vault.",
        ) from error
    except HttpResponseError as error:
        if error.status_code == 403:
            raise Unavailable(
                "Key Vault refused the request.",
                code="vault-denied",
                remedy="Give the function app's identity the role Key Vault Secrets Officer on the vault, and check "
                "the vault's network rules.",
            ) from error
        if error.status_code == 429:
            raise Unavailable("Key Vault is throttling.", code="vault-busy") from error
        raise Unavailable(f"Key Vault answered {error.status_code}.", code="vault-error") from error
    except AzureError as error:
        raise Unavailable(
            "Key Vault can't be reached.",
            code="vault-unreachable",
            remedy="Check ROLLCALL_VAULT_URI and the vault's network rules, then try again.",
        ) from error


class Vault:
    """Secrets by name. Each name holds one value for good: versions of a name can't be removed one by one."""

    def __init__(self, client: SecretClient) -> None:
        self._client = client

    def put(self, name: str, value: str, *, content_type: str, expires_on: datetime | None = None) -> None:
        """Writes a secret whose name was never used."""
        with _vault_errors():
            self._client.set_secret(name, value, content_type=content_type, expires_on=expires_on)

    def get(self, name: str) -> str:
        """The secret's value. Raises SourceProblem, also where it is gone or disabled."""
        try:
            with _vault_errors():
                try:
                    value = self._client.get_secret(name).value
                except ResourceNotFoundError:
                    value = None
                except HttpResponseError as error:
                    if error.status_code == 403 and "disabled" in str(error).lower():
                        raise _gone("is disabled") from error
                    raise
        except Unavailable as error:
            passes = error.code != "vault-denied"
            raise SourceProblem(error.detail, code=error.code, remedy=error.remedy, transient=passes) from error
        if value is None:
            raise _gone("is not there")
        known_secret(value)
        return value

    def retire(self, name: str) -> None:
        """Soft-deletes the secret, which nothing uses any more; no error when it is gone already."""
        with _vault_errors(), contextlib.suppress(ResourceNotFoundError):
            self._client.begin_delete_secret(name)

    def probe(self) -> None:
        """Raises Unavailable where the vault doesn't answer, or lets us read no secrets."""
        with _vault_errors(), contextlib.suppress(ResourceNotFoundError):
            self._client.get_secret("rollcall-probe", retry_total=0)


def _gone(what: str) -> SourceProblem:
    return SourceProblem(
        f"The credential's secret in Key Vault {what}.",
        code="secret-missing",
        remedy="Enter the secret again on the credential (PATCH /api/v1/credentials/{id}).",
    )
