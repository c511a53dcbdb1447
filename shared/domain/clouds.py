"""Microsoft's national clouds: where Graph and sign-in live, and what a token must be for."""

from dataclasses import dataclass
from enum import StrEnum


class CloudName(StrEnum):
    GLOBAL = "global"
    US_GOVERNMENT = "us-government"
    US_GOVERNMENT_DOD = "us-government-dod"
    CHINA = "china"


@dataclass(frozen=True)
class Cloud:
    """`graph` and `authority` are where requests go; `resource` is what a token is asked for."""

    graph: str
    authority: str
    resource: str


# https://learn.microsoft.com/graph/deployments ; the German cloud closed in October 2021.
CLOUDS: dict[CloudName, Cloud] = {
    CloudName.GLOBAL: Cloud(
        "https://graph.microsoft.com", "https://login.microsoftonline.com", "https://graph.microsoft.com"
    ),
    CloudName.US_GOVERNMENT: Cloud(
        "https://graph.microsoft.us", "https://login.microsoftonline.us", "https://graph.microsoft.us"
    ),
    CloudName.US_GOVERNMENT_DOD: Cloud(
        "https://dod-graph.microsoft.us", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"
    ),
    CloudName.CHINA: Cloud(
        "https://microsoftgraph.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "https://microsoftgraph.chinacloudapi.cn",
    ),
}
