"""Graph's answers, spoilt at random: in bytes and in structure, over every reader of a tenant that stays as it is.

Whatever comes, nobody is taken for a leaver, no row holds a value that the tenant does not have, every run ends, and a clean
read afterwards makes everything right. A run that failed counts its answers as no pass.
"""

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from local.cloud.graph.replies import GraphReply, GraphRequest
from shared.domain.run import Run
from tests import expected
from tests.rig import Rig

PEOPLE, DEVICES = 36, 6
ODD_DATES = [
    "0000-00-00T00:00:00Z",
    "2024-02-30T00:00:00Z",
    "yesterday",
    "9999-99-99",
    "",
    "2024-13-01T25:61:61Z",
    "-1",
]
ODD = [7, -1, 0, 1e300, 1e-300, 2**63, 2**200, True, [], {}, [None], {"a": None}, [[[]]], [{}], {"id": 5}]
_TEXTS = (
    "displayName",
    "city",
    "department",
    "jobTitle",
    "givenName",
    "surname",
    "operatingSystem",
    "model",
    "companyName",
)
_LINKS = ("@odata.nextLink", "@odata.deltaLink", "@odata.context", "value", "responses")
_FOUND = ("id", "@removed", "error", "status")  # what these say is Graph's word: a lie in them is no odd answer


def _list(body: dict[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    return found if isinstance(found, list) else []


class Spoiler:
    """Spoils answers, and keeps count of those that it spoilt by what was done to them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made: Counter[str] = Counter()
        self.share, self.answers = 0.6, 0
        self._spoilt: set[tuple[int, str]] = set()

    def __call__(self, asked: GraphRequest, reply: GraphReply) -> GraphReply:
        if reply.status != 200 or self._random.random() > self.share:
            return reply
        self.answers += 1
        self._spoilt.clear()
        body = orjson.loads(orjson.dumps(reply.body)) if isinstance(reply.body, dict) else reply.body
        if not isinstance(body, dict):
            return self._count(reply)
        for _ in range(self._random.choice([1, 1, 2, 5])):
            how = self._random.choice(self._NO_LIES if "group" in asked.path else self._STRUCTURE)
            how(self, body)
            self.made[how.__name__.strip("_")] += 1
        text = json.dumps(body).encode() if self._random.random() < 0.8 else orjson.dumps(reply.body)
        if self._random.random() < 0.25:
            how_bytes = self._random.choice(self._BYTES)
            text = how_bytes(self, text)
            self.made[how_bytes.__name__.strip("_")] += 1
        return replace(reply, body=text)

    def _count(self, reply: GraphReply) -> GraphReply:
        self.made["count"] += 1
        text = str(reply.body)
        return replace(
            reply,
            body=self._random.choice(["\ufeff" + text, f" {text}\n", "null", "[]", "-5", "1e99", "true", '"x"', "{}"]),
        )

    # Bytes

    def _mark(self, text: bytes) -> bytes:
        return b"\xef\xbb\xbf" + text

    def _cut(self, text: bytes) -> bytes:
        return text[: self._random.randrange(len(text))]

    def _twice(self, text: bytes) -> bytes:
        return text + text

    def _no_utf8(self, text: bytes) -> bytes:
        at = text.find(b'"displayName": "')
        return text if at < 0 else text[: at + 16] + b"\xff\xc3" + text[at + 16 :]

    def _blanks(self, text: bytes) -> bytes:
        return b"\r\n  " + text.replace(b'", "', b'",\n\t"') + b"\n\n"

    def _nothing(self, _text: bytes) -> bytes:
        return b""

    # Structure

    def _objects(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        found = [item for item in _list(body, "value") if isinstance(item, dict)]
        parts = [part for part in _list(body, "responses") if isinstance(part, dict)]
        found += [part["body"] for part in parts if isinstance(part.get("body"), dict) and part["body"].get("id")]
        return found

    def _property(self, body: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
        objects = self._objects(body)
        if not objects:
            return None
        item = self._random.choice(objects)
        names = [
            name for name in item if name not in _FOUND and "@" not in name and (id(item), name) not in self._spoilt
        ]
        if not names:
            return None
        name = self._random.choice(names)
        self._spoilt.add((id(item), name))  # once: a null that becomes a text again would be a value like any other
        return item, name

    def _other_kind(self, body: dict[str, Any]) -> None:
        if found := self._property(body):
            item, name = found
            odd = [value for value in ODD if not isinstance(value, type(item[name])) or isinstance(value, (list, dict))]
            item[name] = self._random.choice(odd)

    def _null(self, body: dict[str, Any]) -> None:
        found = self._property(body)
        if found and found[1] != "mail":  # who has no mail leaves the scope by Graph's own word
            found[0][found[1]] = None

    def _drop_property(self, body: dict[str, Any]) -> None:
        if found := self._property(body):
            del found[0][found[1]]

    def _odd_date(self, body: dict[str, Any]) -> None:
        for item in self._objects(body)[:3]:
            for name in list(item):
                if name.endswith("DateTime"):
                    item[name] = self._random.choice(ODD_DATES)

    def _half_character(self, body: dict[str, Any]) -> None:
        for item in self._objects(body)[:2]:
            name = self._random.choice(_TEXTS)
            if isinstance(item.get(name), str):
                item[name] += "\udc00"

    def _null_in_list(self, body: dict[str, Any]) -> None:
        for item in self._objects(body):
            for value in item.values():
                if isinstance(value, list):
                    value.append(None)

    def _extra(self, body: dict[str, Any]) -> None:
        for item in [body, *self._objects(body)]:
            item[f"new{self._random.randrange(99)}"] = self._random.choice([None, 1, "x", [], {"deep": [{"er": None}]}])

    def _reorder(self, body: dict[str, Any]) -> None:
        for item in [body, *self._objects(body)]:
            pairs = list(item.items())
            self._random.shuffle(pairs)
            item.clear()
            item.update(pairs)
        self._random.shuffle(_list(body, "value"))

    def _double(self, body: dict[str, Any]) -> None:
        items = _list(body, "value")
        if items:
            items.insert(self._random.randrange(len(items)), copy.deepcopy(self._random.choice(items)))

    def _lose(self, body: dict[str, Any]) -> None:
        """An object that a list does not bring, or a part that a batch lacks."""
        items = _list(body, "value") or _list(body, "responses")
        if items:
            items.pop(self._random.randrange(len(items)))

    def _no_object(self, body: dict[str, Any]) -> None:
        items = _list(body, "value") or _list(body, "responses")
        if items:
            items.insert(0, self._random.choice([None, 5, "x", [], {}]))

    def _bad_id(self, body: dict[str, Any]) -> None:
        if objects := self._objects(body):
            self._random.choice(objects)["id"] = self._random.choice([None, "", 5, "a/b", [], "x|y"])

    def _no_link(self, body: dict[str, Any]) -> None:
        body[self._random.choice(_LINKS[:3])] = self._random.choice([None, "", 5, {}])

    def _no_list(self, body: dict[str, Any]) -> None:
        if self._random.random() < 0.1:
            body[self._random.choice(_LINKS[3:])] = self._random.choice([None, {}, "x", 5])

    def _bad_status(self, body: dict[str, Any]) -> None:
        for part in _list(body, "responses"):
            if isinstance(part, dict) and self._random.random() < 0.3:
                part["status"] = self._random.choice([None, "200", 200.5, [], -1, 999])

    _STRUCTURE = (
        _other_kind, _other_kind, _other_kind, _null, _drop_property, _odd_date, _half_character, _null_in_list, _extra, _reorder,
        _double, _lose, _no_object, _bad_id, _no_link, _no_list, _bad_status,
    )  # fmt: skip
    _NO_LIES = (_extra, _reorder, _double, _no_object, _no_list)
    """For members of groups: nothing proves that all came, so who is left out of them is left in."""
    _BYTES = (_mark, _cut, _twice, _no_utf8, _blanks, _nothing)


class Fuzz:
    """One tenant, runs over spoilt answers, and a look at everything after some of them."""

    def __init__(self, seed: int) -> None:
        self.rig = Rig(PEOPLE, DEVICES, page_cap=5)
        self.random, self.spoiler = random.Random(seed), Spoiler(seed)
        self.outcomes: Counter[str] = Counter()
        self.passed = 0
        self.domains = ["*"] if seed % 2 else ["contoso.example", "fabrikam.example"]
        self.connector = self.rig.configure(source={"excludedGroups": ["Service accounts"], "domains": self.domains})
        self._clean()
        self.there = self._ids()

    def _ids(self) -> set[str]:
        return {
            row["PartitionKey"] + row["RowKey"]
            for row in self.rig.entities("Records")
            if "sign-ins" not in row["PartitionKey"]
        }

    def _clean(self) -> None:
        self.rig.web.rewrite = lambda _asked, reply: reply
        for job in ("directory", "sign-ins"):
            run = self.rig.run(self.connector, job=job, full=True)
            assert run.state == "succeeded", (run.state, run.problems)
        rows = self.rig.entities("Records")
        excluded = {self.rig.directory.maker.object_id("user", i) for i in self.rig.directory.members(0, nested=True)}
        people = [person for person in self.rig.objects() if person["id"] not in excluded and self._inside(person)]
        assert expected.differences("person", people, [r for r in rows if "|person|" in r["PartitionKey"]]) == []
        devices = [row for row in rows if "|device|" in row["PartitionKey"]]
        assert expected.differences("device", list(self.rig.objects("devices")), devices) == []

    def _inside(self, person: dict[str, Any]) -> bool:
        return self.domains == ["*"] or (person["mail"] or "").rpartition("@")[2] in self.domains

    def one(self) -> None:
        """A run over spoilt answers."""
        rig, before = self.rig, self.spoiler.answers
        for index in self.random.sample(range(PEOPLE), 4):
            rig.directory.change("users", index, {"officeLocation": f"R{self.random.randrange(9)}"})
        rig.clock.move(self.random.choice([600, 7200]))
        rig.web.rewrite = self.spoiler
        asked = rig.web.requests
        job = self.random.choice(["directory", "directory", "directory", "sign-ins"])
        run = rig.run(self.connector, job=job, full=self.random.random() < 0.6)
        assert rig.web.requests - asked < 1500, "a loop"
        self._judge(run)
        self.outcomes[run.state.value] += 1
        if run.state in ("succeeded", "incomplete", "held"):
            self.passed += self.spoiler.answers - before

    def _judge(self, run: Run) -> None:
        codes = {problem.code for problem in run.problems}
        assert not codes & {"internal-error", "storage-refused"}, (codes, self.rig.told[-3:])
        assert run.slice < 5
        assert self.rig.entities("Tombstones") == [], run
        assert self.there <= self._ids(), "a false leaver"
        self._check_values()

    def _check_values(self) -> None:
        """Every value is the tenant's, or none; half characters are replaced."""
        objects = {item["id"]: item for item in [*self.rig.objects(), *self.rig.objects("devices")]}
        for row in self.rig.entities("Records"):
            item = objects.get(row["RowKey"].partition("|")[0])
            assert item is not None, f"a row of nobody: {row['RowKey']}"
            if "sign-ins" in row["PartitionKey"]:
                continue
            columns = expected.PEOPLE if "|person|" in row["PartitionKey"] else expected.DEVICES
            for name in (
                "DisplayName",
                "City",
                "Department",
                "JobTitle",
                "Enabled",
                "EmployeeId",
                "SignInName",
                "DeviceId",
            ):
                if name in row and name in columns:
                    truth = columns[name](item)
                    found = row[name]
                    assert found == truth or str(found).replace("\ufffd", "") == truth, (name, found, truth)

    def close(self) -> None:
        self.rig.close()


def _fuzz(seed: int, answers: int, clean_every: int) -> str:
    fuzz = Fuzz(seed)
    runs = 0
    try:
        while fuzz.passed < answers:
            fuzz.one()
            runs += 1
            if runs % clean_every == 0:
                fuzz._clean()
        fuzz._clean()
    finally:
        fuzz.close()
    kinds = ", ".join(f"{name} {count}" for name, count in fuzz.spoiler.made.most_common())
    return f"{fuzz.passed} spoilt answers in {runs} runs that ended {dict(fuzz.outcomes)}: {kinds}"


@pytest.mark.quick
def test_spoilt_answers_spoil_nothing(say: Callable[[str], None]) -> None:
    say(f"fuzz: {_fuzz(1, 300, 10)}")


@pytest.mark.prove
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_many_spoilt_answers_spoil_nothing(seed: int, say: Callable[[str], None]) -> None:
    say(f"fuzz: {_fuzz(seed, 5100, 25)}")
