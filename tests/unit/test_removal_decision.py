"""The decision about removals: what goes, what waits, and what a settled doubt may not do."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.removal import Candidate, Cause, Held, judge, lately, limit_of, noted

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def _held(object_id: str, cause: Cause = Cause.GONE, decision: str = "") -> Held:
    return Held(object_id, cause, NOW, "run", decision, "", "", {})


def _candidates(*causes: Cause) -> dict[str, Candidate]:
    return {str(number): Candidate(cause) for number, cause in enumerate(causes)}


def test_up_to_the_limit_all_go_and_above_it_all_wait() -> None:
    three = _candidates(Cause.GONE, Cause.DELETED, Cause.DOMAIN)
    good = judge(three, three, {}, set(), lately=0, limit=3)
    assert (good.may, sorted(good.going), good.held) == (True, ["0", "1", "2"], [])
    many = judge(three, three, {}, set(), lately=1, limit=3)
    assert (many.may, many.going, sorted(many.held)) == (False, [], ["0", "1", "2"])


def test_without_a_clear_answer_one_waits_whatever_the_limit() -> None:
    some = _candidates(Cause.GONE, Cause.NOT_CONFIRMED, Cause.NOT_ASKED)
    verdict = judge(some, some, {}, set(), lately=0, limit=500)
    assert (verdict.may, verdict.going, verdict.held) == (True, ["0"], ["1", "2"])


def test_what_has_no_record_neither_counts_nor_waits() -> None:
    some = _candidates(Cause.GONE, Cause.GONE)
    verdict = judge(some, {"0"}, {}, set(), lately=0, limit=1)
    assert (verdict.may, verdict.going, verdict.held) == (True, ["0"], [])


def test_who_waits_already_goes_on_waiting_and_is_not_counted_again() -> None:
    some = _candidates(Cause.GONE)
    verdict = judge(some, some, {"0": _held("0")}, set(), lately=0, limit=500)
    assert (verdict.fresh, verdict.waiting, verdict.going) == ({}, {"0"}, [])


def test_a_settled_doubt_goes_by_itself_where_all_that_waits_might_have() -> None:
    some = _candidates(Cause.GONE)
    held = {"0": _held("0", Cause.NOT_CONFIRMED), "7": _held("7")}
    verdict = judge(some, some, held, set(), lately=0, limit=2)
    assert (verdict.going, verdict.waiting, verdict.renamed) == (["0"], {"7"}, set())


def test_a_settled_doubt_does_not_carry_out_part_of_what_a_person_was_told_about() -> None:
    some = _candidates(Cause.GONE)
    held = {"0": _held("0", Cause.NOT_CONFIRMED), "7": _held("7"), "8": _held("8")}
    verdict = judge(some, some, held, set(), lately=0, limit=2)
    assert (verdict.going, verdict.renamed, verdict.waiting) == ([], {"0"}, {"0", "7", "8"})


def test_a_doubt_that_a_person_decided_about_is_no_doubt() -> None:
    some = _candidates(Cause.GONE)
    held = {"0": _held("0", Cause.NOT_CONFIRMED, "rejected")}
    verdict = judge(some, some, held, set(), lately=0, limit=500)
    assert (verdict.going, verdict.waiting) == ([], {"0"})


def test_who_was_released_waits_no_more() -> None:
    assert judge({}, set(), {"0": _held("0")}, {"0"}, lately=0, limit=10).waiting == set()


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(list(Cause)), max_size=8),
    st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.sampled_from(list(Cause)), st.sampled_from(["", "confirmed", "rejected"])), max_size=8),
    st.sets(st.sampled_from("abcdefgh")),
    st.integers(0, 6),
    st.integers(0, 6),
)  # fmt: skip
def test_whatever_is_decided_no_more_go_than_may_and_nobody_is_lost(
    causes: dict[str, Cause], waits: dict[str, tuple[Cause, str]], stored: set[str], recent: int, limit: int
) -> None:
    candidates = {key: Candidate(cause) for key, cause in causes.items()}
    held = {key: _held(key, cause, decision) for key, (cause, decision) in waits.items()}
    verdict = judge(candidates, stored, held, set(), lately=recent, limit=limit)
    assert not verdict.going or recent + len(verdict.going) <= limit
    assert not any(candidates[key].cause.unproved for key in verdict.going)
    assert not set(verdict.going) & set(verdict.held) and not set(verdict.going) & verdict.waiting
    for key in candidates.keys() & stored:
        assert key in verdict.going or key in verdict.held or key in verdict.waiting
    assert {key for key in held if held[key].decision} <= verdict.waiting


def test_the_limit_is_the_lower_of_two_but_at_least_ten_unless_the_owner_wants_none() -> None:
    assert [limit_of(100_000, 500, 20), limit_of(1000, 500, 20), limit_of(20, 500, 20)] == [500, 200, 10]
    assert [limit_of(1000, 0, 20), limit_of(1000, 500, 0)] == [0, 0]


def test_removals_count_for_a_day_and_a_clock_set_back_forgets_none() -> None:
    made = noted([], NOW, 3)
    assert sum(count for _, count in lately(made, NOW + timedelta(hours=23))) == 3
    assert lately(made, NOW + timedelta(hours=25)) == []
    assert sum(count for _, count in lately(made, NOW - timedelta(days=2))) == 3
    assert noted(made, NOW, 0) == made
