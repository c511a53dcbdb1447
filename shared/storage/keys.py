"""Partition and row keys of every table: the one place that spells them."""

import hashlib
from datetime import UTC, datetime

from shared.clock import counted_down
from shared.domain.folding import NAMES, unique_form
from shared.domain.folding import VERSION as FOLDING

CONFIG_PARTITION = "config"
NAMES_ROW = "names"
"""Says in which form all names are reserved."""
EPOCH_ROW = "epoch"
"""Counts changes of references."""
VAULT_ROWS = "v|"
HISTORY = "h|"
HISTORY_BY_TIME = f"{HISTORY}t|"
SCHEDULE_PARTITION = "schedule"
_SHARDS = {f"{number:02x}": f"{number >> 2:02x}" for number in range(256)}
_END = "~"  # sorts after every character that our keys use
LOOKUP_HEX_LIMIT = 120


def config_row(kind: str, object_id: str) -> str:
    return f"{kind}|{object_id}"


MAPPINGS_PARTITION = "mappings"


def mapping_version(mapping: str, version: str) -> str:
    """What a version of a mapping says."""
    return f"{mapping}|{version}"


def mapping_revision(mapping: str, revision: int, version: str) -> str:
    """Who made which version of it, newest first."""
    return f"{mapping}|r|{9_999_999_999 - revision:010d}|{version}"


def config_name(kind: str, scope: str, name: str) -> str:
    """Reservation of a name, in the form in which it is unique, and that form's version."""
    return f"n{NAMES}|{kind}|{scope}|{hashlib.sha256(unique_form(name).encode()).hexdigest()[:40]}"


def config_use(target: str, user: str) -> str:
    """`target` is used by `user`; both `{kind}.{id}`."""
    return f"u|{target}|{user}"


def reservation(name_key: str, owner: str) -> dict[str, str]:
    """The row that keeps a name for an object."""
    return {"PartitionKey": CONFIG_PARTITION, "RowKey": name_key, "Owner": owner}


def intention(secret: str) -> str:
    """That a secret of this name will be written."""
    return f"{VAULT_ROWS}i|{secret}"


def retirement(secret: str) -> str:
    """That nobody uses a secret of this name any more."""
    return f"{VAULT_ROWS}r|{secret}"


def history_of(ref: str) -> str:
    """What the history of one object (`kind.id`) begins with."""
    return f"{HISTORY}o|{ref}|"


REFUSALS = "refusals"
"""The partition that counts refused requests by hour."""


def audit_day(source: str, day: str) -> str:
    """One day of a source's audit trail."""
    return f"{source}|{day}"


def prefix_range(prefix: str) -> tuple[str, str]:
    """Row keys that begin with the prefix: from (inclusive), to (exclusive)."""
    return prefix, prefix + _END


def shard(object_id: str) -> str:
    """One of 64 parts in id order, 00 to 3f. Enough for an account's 20,000 entities a second at 2,000 a partition; with
    more parts a first sync sends half-empty batches.
    """
    return _SHARDS.get(object_id[:2]) or _SHARDS[_first_digits(object_id)]


def _first_digits(object_id: str) -> str:
    """Two hex digits: the first of a GUID, otherwise of the id's hash."""
    low = object_id.lower()
    return low[:2] if low[:2] in _SHARDS else hashlib.sha256(low.encode()).hexdigest()[:2]


def record_partition(source: str, kind: str, object_id: str) -> str:
    return f"{source}|{kind}|{shard(object_id)}"


def record_row(object_id: str, connector: str, stream: str) -> str:
    return f"{object_id}|{connector}|{stream}"


def record_partitions(source: str, kind: str) -> tuple[str, str]:
    """The partition range of one source's records of one type: from (inclusive), to (exclusive)."""
    return f"{source}|{kind}|", f"{source}|{kind}|{_END}"


def change_row(object_id: str, moment: datetime, run_key: str, tail: str) -> str:
    """An object's journal: newest first."""
    return f"{object_id}|{counted_down(moment)}|{run_key}|{tail}"


def change_hour(source: str, moment: datetime, object_id: str) -> str:
    """The journal by time: an hour of a source in sixteen parts, so that a mass change has room."""
    return f"{source}|{moment.astimezone(UTC):%Y%m%d%H}|{_first_digits(object_id)[0]}"


def change_moment(moment: datetime, object_id: str, run_key: str, tail: str) -> str:
    return f"{moment.astimezone(UTC):%M%S%f}"[:7] + f"|{object_id}|{run_key}|{tail}"


def change_hours(source: str, since: datetime) -> tuple[str, str]:
    """The partition range of one source from an hour on, within a month's table."""
    return f"{source}|{since.astimezone(UTC):%Y%m%d%H}|", f"{source}|{_END}"


def tombstone_day(source: str, moment: datetime) -> str:
    return f"{source}|{moment.astimezone(UTC):%Y%m%d}"


def tombstone_days(source: str, first: str, last: str) -> tuple[str, str]:
    """The partition range of a source's days (YYYYMMDD), the last one included."""
    return f"{source}|{first}", f"{source}|{last}{_END}"


def holds(connector: str, stream: str) -> str:
    return f"{connector}|{stream}"


def source_range(source: str) -> tuple[str, str]:
    """Everything of one source in a table whose partitions begin with it."""
    return f"{source}|", f"{source}|{_END}"


def lookup_end(source: str, object_id: str, connector: str) -> str:
    """The end of every look-up key of one record. The mark ! sorts before every digit, so that Jan comes before Janssen.
    Each connector has its own rows: what one leaves out of its scope another may hold.
    """
    return f"!{source}!{object_id}!{connector}"


def lookup_keys(attribute: str, folded: str, end: str) -> tuple[str, str]:
    """Partition and row key of a look-up row, as hex: any script gives a valid key. The partition is by the folding's version
    and the first two folded characters. `end`: what lookup_end() gave.
    """
    digits, first = folded.encode().hex(), folded[:2]
    begin = digits[:4] if first.isascii() else first.encode().hex()
    return f"{attribute}.{FOLDING}|{begin}", f"{digits[:LOOKUP_HEX_LIMIT]}{end}"


def lookup_partition(attribute: str, folded: str) -> str:
    """Where the rows of all values lie that begin like this one."""
    return lookup_keys(attribute, folded, "")[0]


def lookup_partitions(attribute: str, folded: str = "") -> tuple[str, str]:
    """The partition range of all values that begin with a text: from (inclusive), to (exclusive)."""
    begin = f"{attribute}.{FOLDING}|{folded.encode().hex()}"
    return begin, begin + _END


def lookup_words(attribute: str) -> str:
    """Under which attribute the words of a value are looked up that do not stand at its beginning."""
    return f"{attribute}-word"


def lookup_range(folded_prefix: str) -> tuple[str, str]:
    """Row keys of values that begin with the prefix (or with its first 60 bytes: compare the card too)."""
    digits = folded_prefix.encode().hex()[:LOOKUP_HEX_LIMIT]
    return digits, digits + _END


# The table Plans: a partition for each source

SOURCES_WITH_PLANS = "sources"
"""The partition that names the sources which have plans to look after."""


def plan(key: str) -> str:
    return f"p|{key}"


def plan_item(key: str, number: int) -> str:
    return f"i|{key}|{number:05d}"


def plan_of_target(target: str, key: str, number: int) -> str:
    """Finds the plans of an object, newest first."""
    return f"t|{target}|{key}|{number:05d}"


def target_lock(target: str) -> str:
    """Says which plan is acting on an object."""
    return f"l|{target}"


def acted_on(at: datetime) -> str:
    """Counts the targets of a day, by hour."""
    return f"c|{at.astimezone(UTC):%Y%m%d}"


def open_plan(key: str) -> str:
    """A plan that workers have to look at."""
    return f"w|{key}"


def to_be_told(event: str) -> str:
    """Something that the audit trail does not say yet."""
    return f"o|{event}"


def plan_moment(row_key: str) -> str:
    """When the plan was made that a row is about, counted down; empty: the row is about none."""
    kind, *rest = row_key.split("|")
    place = {"p": 0, "i": 0, "w": 0, "t": 1}.get(kind)
    return rest[place][:13] if place is not None and len(rest) > place else ""
