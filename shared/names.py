"""Names that a deployment must know: queues, tables and app roles. Infrastructure is checked against them."""

from enum import StrEnum

RUN_QUEUE = "rollcall-cloud"
"""Carries runs to the function app's workers."""
POISON_QUEUE = f"{RUN_QUEUE}-poison"
"""Gets messages that failed five times."""
ACTION_QUEUE = "rollcall-actions"
"""Carries plans of people actions: they do not wait behind a synchronization."""
ACTION_POISON_QUEUE = f"{ACTION_QUEUE}-poison"
QUEUES = (RUN_QUEUE, POISON_QUEUE, ACTION_QUEUE, ACTION_POISON_QUEUE)
CONFIG, SCHEDULE, STATE = "Config", "Schedule", "State"
RECORDS, LOOKUP, OUT_OF_SCOPE = "Records", "Lookup", "OutOfScope"
CHANGES, TOMBSTONES, HOLDS, AUDIT, MAPPINGS, PLANS = "Changes", "Tombstones", "Holds", "Audit", "Mappings", "Plans"
TABLES = (CONFIG, SCHEDULE, STATE, RECORDS, LOOKUP, OUT_OF_SCOPE, CHANGES, TOMBSTONES, HOLDS, AUDIT, MAPPINGS, PLANS)
"""Tables by name. The journal has one more for each month: ChangesYYYYMM."""


class Role(StrEnum):
    """App roles of the enterprise application. None of them includes another."""

    READ = "Rollcall.Read"
    OPERATE = "Rollcall.Operate"
    CONFIGURE = "Rollcall.Configure"
    ACT = "Rollcall.Act"
