"""What the tiny packages promise."""

from toolshed.intervals import Interval, total_length
from toolshed.nesting import depth, flattened
from toolshed.numerals import is_roman
from toolshed.waiting import delays, should_retry


def test_intervals_that_share_numbers_overlap() -> None:
    assert Interval(1, 5).overlaps(Interval(4, 9))
    assert not Interval(1, 3).overlaps(Interval(5, 9))


def test_what_lies_in_two_intervals_counts_once() -> None:
    assert total_length([Interval(0, 5), Interval(3, 8), Interval(10, 11)]) == 9


def test_a_flat_list_stays_as_it_is() -> None:
    assert flattened([1, 2, 3]) == [1, 2, 3]


def test_depth_counts_lists() -> None:
    assert depth([1, [2, [3]]]) == 3


def test_signs_are_recognised() -> None:
    assert is_roman("XIV")
    assert not is_roman("XIY")


def test_each_wait_is_twice_the_one_before() -> None:
    assert delays(5) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_no_wait_is_longer_than_the_longest() -> None:
    assert delays(4, first=50.0) == [50.0, 60.0, 60.0, 60.0]


def test_a_missing_page_is_not_asked_for_again() -> None:
    assert not should_retry(404)
