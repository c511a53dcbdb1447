"""Who did what: the history of the configuration, and the audit trail of everything else."""

from functions.configuration import object_id
from functions.models import AuditQuery, ChainQuestion, PageQuery
from shared.api import Call, Reply, Routes
from shared.configuration.kinds import ConfigKind, config_kinds
from shared.connectors.registry import Registry
from shared.domain.audit import AuditEntry, ChainReport, ConfigurationChange, check_chain
from shared.errors import foreign_cursor
from shared.names import Role
from shared.records.cursors import decode, encode
from shared.wiring import app


def routes(registry: Registry) -> Routes:
    """Histories of each kind of object, and of all; the trail, and whether it is whole."""
    group = Routes(tag="Audit", role=Role.READ)
    for kind in config_kinds(registry).values():
        _add_history(group, kind)

    @group.get(
        "history", "List all changes of the configuration, newest first",
        name="list_history", query=PageQuery, returns=ConfigurationChange, returns_list=True,
    )  # fmt: skip
    def history(call: Call) -> Reply:
        return _history(None, "", call)

    @group.get(
        "audit", "List who did what, by source and day: runs asked for and cancelled, decisions, refusals",
        name="list_audit", query=AuditQuery, returns=AuditEntry, returns_list=True,
    )  # fmt: skip
    def audit(call: Call) -> Reply:
        query: AuditQuery = call.query
        after = decode(query.after) if query.after else None
        entries, last = app().audit.page(query.source, f"{query.since:%Y%m%d}", after=after, limit=query.limit)
        return Reply({"items": entries, "next": encode(*last) if last else None})

    @group.post(
        "audit/check", "Check that the audit trail of a source is whole",
        name="check_audit", body=ChainQuestion, returns=ChainReport,
    )  # fmt: skip
    def check(call: Call) -> Reply:
        """Nothing was changed, left out or put in between: each entry holds the hash of the one before. The heads that the log
        holds (`audit head ...`) show whether the end was cut off.
        """
        asked: ChainQuestion = call.body
        return Reply(check_chain(asked.source, app().audit.chain(asked.source), asked.heads))

    return group


def _add_history(group: Routes, kind: ConfigKind) -> None:
    one = kind.path.replace("-", "_").removesuffix("s")

    @group.get(
        f"{kind.path}/{{id}}/history", f"List the changes of a {kind.noun}'s configuration, newest first",
        name=f"list_{one}_history", query=PageQuery, returns=ConfigurationChange, returns_list=True,
    )  # fmt: skip
    def history(call: Call) -> Reply:
        return _history(kind, object_id(kind.noun, call), call)


def _history(kind: ConfigKind | None, object_id: str, call: Call) -> Reply:
    query: PageQuery = call.query
    if query.after and not query.after.isalnum():
        raise foreign_cursor()
    found, following = app().configuration.history(kind, object_id, after=query.after, limit=query.limit)
    return Reply({"items": found, "next": following})
