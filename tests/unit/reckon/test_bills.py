"""Money is exact, a day is judged when it is settled, and the verdict says which way and how much."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue import bills as names
from fleetwatch.reckon import bills
from fleetwatch.reckon.bills import DAY, Comparison, Rules, compare_days, compare_window, nano
from fleetwatch.records.bills import Bill, BillDay, BillRow, MeteredDay, TokenDay

USD = 10**9
TODAY = 20_778
RULES = Rules(lag=36 * 3600.0, tolerance=0.05, least=USD)
BEGAN = (TODAY - 100) * DAY + 7200.0

AMOUNTS = st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=12)


@given(AMOUNTS, st.sampled_from([1, 100]))
def test_an_amount_is_rounded_once_to_half_a_nano_dollar(amount: Decimal, per_usd: int) -> None:
    exact = Fraction(amount) / per_usd * USD
    assert abs(Fraction(nano(str(amount), per_usd)) - exact) <= Fraction(1, 2)
    assert nano(amount, per_usd) == nano(str(amount), per_usd)


@given(st.integers(-(10**20), 10**20))
def test_whole_nano_dollars_stay_what_they_are(amount: int) -> None:
    """Also where a float would have lost digits."""
    assert nano(str(Decimal(amount).scaleb(-9))) == amount
    assert nano(str(Decimal(amount).scaleb(-7)), 100) == amount


@pytest.mark.parametrize("half", ["0.0000000005", "0.0000000015", "0.0000000025", "-0.0000000005"])
def test_halves_go_to_the_even_side(half: str) -> None:
    assert nano(half) % 2 == 0


@pytest.mark.parametrize(
    "amount", [None, True, 1.5, "", "1,5", "$1", "NaN", "Infinity", "1e400", "1e999999999", "0x10", "9" * 61, [], {}]
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="expected an amount of money"):
        nano(amount)


@given(st.text())
def test_no_text_does_anything_else(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(nano(text), int)


# --- days


def day(number: int, usd: float, read_at: float | None = None, **fields: Any) -> BillDay:
    """A day that was read long after its end."""
    at = (number + 10) * DAY if read_at is None else read_at
    return BillDay(number, float(at), (BillRow("p", "l", round(usd * USD)),), **fields)


def metered(usd: float, requests: int = 10, **fields: Any) -> MeteredDay:
    return MeteredDay(requests, {"priced": round(usd * USD)}, **fields)


def bill(*days: BillDay, tokens: dict[int, TokenDay] | None = None) -> Bill:
    return Bill({one.day: one for one in days}, tokens or {})


def one(
    billed: float, ours: MeteredDay | None, rules: Rules = RULES, tokens: dict[int, TokenDay] | None = None
) -> Comparison:
    known = {} if ours is None else {TODAY: ours}
    [found] = compare_days(bill(day(TODAY, billed), tokens=tokens), known, BEGAN, rules)
    return found


@pytest.mark.parametrize(
    ("billed", "ours", "verdict"),
    [
        (100, 100, "ok"),
        (100, 95, "ok"),
        (95, 100, "ok"),
        (100, 94.9, "drift"),
        (94.9, 100, "drift"),
        (1, 0, "ok"),
        (1.01, 0.005, "drift"),
        (0, 1, "ok"),
        (0, 1.01, "unbilled"),
        (-5, 3, "drift"),
    ],
)
def test_the_verdict_is_by_the_larger_side(billed: float, ours: float, verdict: str) -> None:
    assert one(billed, metered(ours)).verdict == verdict


def test_which_way_and_how_much() -> None:
    more = one(125, metered(100))
    assert (more.unmetered, more.drift) == (25 * USD, 0.25)
    less = one(75, metered(100))
    assert (less.unmetered, less.drift) == (-25 * USD, -0.25)
    assert one(75, None).drift is None


def test_a_bill_without_one_call_is_a_provider_that_nobody_metered() -> None:
    assert one(20, None).verdict == "unmetered_provider"
    assert one(20, MeteredDay(3, {"unpriced": 0}, 3)).verdict == "drift", "it was metered, its price is unknown"
    assert one(0.5, None).verdict == "ok", "too little to mind"
    assert one(0, None).verdict == "ok"


def test_a_bill_that_leaves_a_part_out_is_not_blamed_for_it() -> None:
    def left_out(tokens: int) -> dict[int, TokenDay]:
        return {TODAY: TokenDay(TODAY, 0.0, {"input": 900, "output": 100}, uncosted=tokens)}

    assert one(50, metered(100), tokens=left_out(1000)).verdict == "incomplete"
    assert one(50, metered(100), tokens=left_out(50)).verdict == "incomplete", "a twentieth, at ten times the average"
    assert one(50, metered(100), tokens=left_out(49)).verdict == "drift", "so few do not cost half of all"
    assert one(100, metered(50), tokens=left_out(1000)).verdict == "drift", "what is left out is not billed too much"
    assert one(50, metered(100), tokens=left_out(0)).verdict == "drift"
    assert one(50, metered(100)).verdict == "drift"


def test_every_verdict_is_in_the_catalogue() -> None:
    verdicts = {"ok", "drift", "unmetered_provider", "unbilled", "incomplete"}
    assert set(names.VERDICT.one_of) == verdicts
    assert set(names.WINDOW.one_of) == set(bills.WINDOWS)


def test_how_sure_the_metered_side_is_stays_visible() -> None:
    ours = MeteredDay(9, {"priced": 60 * USD, "estimated": 30 * USD, "reported": 10 * USD, "unpriced": 0}, 2)
    found = one(100, ours)
    assert found.by_confidence == ours.by_confidence
    assert (found.metered, found.unpriced_requests, found.verdict) == (100 * USD, 2, "ok")


@pytest.mark.parametrize(
    ("read_after_end", "settled"), [(0, False), (36 * 3600 - 1, False), (36 * 3600, True), (90 * DAY, True)]
)
def test_a_day_is_settled_when_it_was_read_after_the_lag(read_after_end: float, settled: bool) -> None:
    late = day(TODAY, 100, read_at=(TODAY + 1) * DAY + read_after_end)
    [found] = compare_days(bill(late), {}, BEGAN, RULES)
    assert (found.verdict == "not_settled") is not settled
    assert bills.last_settled(bill(late), RULES.lag) == (TODAY if settled else None)


def test_days_before_the_first_whole_metered_day_are_not_judged() -> None:
    days = [day(TODAY - back, 100) for back in range(4)]
    began = (TODAY - 2) * DAY + 1.0
    verdicts = [found.verdict for found in compare_days(bill(*days), {}, began, RULES)]
    assert verdicts == ["unmetered_provider", "unmetered_provider", "before_metering", "before_metering"]
    assert {found.verdict for found in compare_days(bill(*days), {}, None, RULES)} == {"before_metering"}
    window = compare_window(bill(*days), {}, began, RULES, 7)
    assert window is not None
    assert window.days == (TODAY, TODAY - 1)
    assert compare_window(bill(*days), {}, None, RULES, 7) is None
    assert compare_window(bill(*days), {}, (TODAY + 1) * DAY, RULES, 7) is None


def test_a_window_ends_with_the_last_settled_day_and_leaves_out_unknown_days_on_both_sides() -> None:
    known = bill(day(TODAY, 50, read_at=(TODAY + 1) * DAY), *(day(TODAY - back, 10) for back in (1, 2, 4, 7, 8)))
    ours = {TODAY - back: metered(10) for back in range(10)}
    found = compare_window(known, ours, BEGAN, RULES, 7)
    assert found is not None
    assert found.days == (TODAY - 1, TODAY - 2, TODAY - 4, TODAY - 7)
    assert (found.billed, found.metered, found.verdict) == (40 * USD, 40 * USD, "ok")
    short = compare_window(known, ours, BEGAN, RULES, 1)
    assert short is not None
    assert short.days == (TODAY - 1,)


def test_estimates_are_a_part_of_what_is_billed() -> None:
    known = bill(day(TODAY, 30, estimated=True), day(TODAY - 1, 10))
    found = compare_window(known, {}, BEGAN, RULES, 7)
    assert found is not None
    assert (found.billed, found.estimated) == (40 * USD, 30 * USD)


# --- later changes


def test_what_changes_after_a_day_was_settled_is_counted_and_before_it_is_not() -> None:
    soon, late = (TODAY + 1) * DAY, (TODAY + 3) * DAY
    first = bills.taken_in(None, day(TODAY, 10, soon), RULES.lag)
    assert first.first is None
    settled = bills.taken_in(first, day(TODAY, 12, late), RULES.lag)
    assert (settled.first, bills.revised([settled])) == (12 * USD, 0)
    changed = bills.taken_in(settled, day(TODAY, 11.5, late + DAY), RULES.lag)
    assert (changed.first, changed.nano, bills.revised([changed])) == (12 * USD, round(11.5 * USD), USD // 2)
    other = day(TODAY - 1, 7, first=8 * USD)
    assert bills.revised([changed, other]) == USD // 2 + USD


# --- sums

ROWS = st.lists(
    st.builds(BillRow, st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(-(10**18), 10**18)), max_size=12
)


@given(st.lists(ROWS, max_size=4), st.integers(1, 4), st.integers(1, 4))
def test_folding_small_lines_keeps_the_sum_and_the_bounds(rows: list[list[BillRow]], accounts: int, lines: int) -> None:
    days = [BillDay(number, 0.0, tuple(some)) for number, some in enumerate(rows)]
    folded = bills.top_rows(days, accounts, lines)
    assert sum(row.nano for row in folded) == sum(one.nano for one in days)
    assert len({row.account for row in folded}) <= accounts
    assert len({row.line for row in folded}) <= lines
    assert len({(row.account, row.line) for row in folded}) == len(folded)


@given(st.permutations([BillDay(TODAY - back, 1e10, (BillRow("p", "l", back * USD),)) for back in range(9)]))
def test_the_order_of_days_does_not_matter(days: list[BillDay]) -> None:
    ours = {TODAY - back: metered(back) for back in range(9)}
    found = compare_window(bill(*days), ours, BEGAN, RULES, 7)
    assert found is not None
    assert (found.billed, found.metered, found.verdict) == (21 * USD, 21 * USD, "ok")


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), min_size=1, max_size=30))
def test_a_window_is_the_sum_of_its_days(amounts: list[tuple[int, int]]) -> None:
    days = [BillDay(TODAY - back, 1e10, (BillRow("p", "l", billed),)) for back, (billed, _) in enumerate(amounts)]
    ours = {TODAY - back: MeteredDay(1, {"priced": cost}) for back, (_, cost) in enumerate(amounts)}
    whole = compare_window(bill(*days), ours, BEGAN, RULES, 30)
    assert whole is not None
    apart = compare_days(bill(*days), ours, BEGAN, RULES)
    assert whole.billed == sum(found.billed for found in apart)
    assert whole.metered == sum(found.metered for found in apart)
    assert whole.unmetered == sum(found.unmetered for found in apart)
    if all(found.verdict == "ok" and found.unmetered >= 0 for found in apart) and whole.verdict != "ok":
        # Only the sum of differences nobody minds can make a difference somebody does.
        assert whole.unmetered > RULES.least
