"""Spoken English numbers as figures: cardinals, ordinals, decimals, years, dates, times, money, shares, digits.

Single numbers below ten stay words, as they do in print. The rules look at one run of words without a mark between
them and say which of the words a figure stands for, so that its times are those of its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final


def _counted(words: str, start: int, step: int = 1) -> dict[str, int]:
    return {word: start + step * place for place, word in enumerate(words.split())}


_UNITS: Final = _counted("zero one two three four five six seven eight nine", 0)
_TEENS: Final = _counted("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10)
_TENS: Final = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_DECADES: Final = {f"{word[:-1]}ies": value for word, value in _TENS.items()}
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINAL_UNITS: Final = _counted(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth",
    1,
)
_ORDINAL_TENS: Final = {f"{word[:-1]}ieth": value for word, value in _TENS.items()}
_MONTHS: Final = tuple(
    _counted("january february march april may june july august september october november december", 1)
)
_VERBS: Final = ("march", "may")
"""Months that are other words too; a figure behind them is no date."""

_BEFORE_TIMES: Final = frozenset({"at", "until", "till", "by", "from", "around", "before", "after"})
_PARTS_OF_HOUR: Final = {"quarter": 15, "half": 30}
_REPEATS: Final = {"double": 2, "triple": 3}
_CURRENCIES: Final = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
_UNITS_OF_MEASURE: Final = frozenset({"degree", "degrees", "cent", "cents", "o'clock"})

OPENING: Final = frozenset({*_UNITS, *_TEENS, *_TENS, *_ORDINAL_UNITS, *_ORDINAL_TENS, *_MONTHS, *_PARTS_OF_HOUR})
"""Words that a figure can begin with."""

CONTINUING: Final = OPENING | {
    *("hundred", "and", "point", "oh", "percent", "per", "a", "p", "m", "am", "pm", "of", "past", "to"),
    *_SCALES,
    *_DECADES,
    *_REPEATS,
    *_CURRENCIES,
    *_UNITS_OF_MEASURE,
}
"""Words that a figure can go on with; only what cannot go on tells that it is over."""

_GOING_ON: Final = CONTINUING - {"and", "a", "of", "past", "to"}
"""Words behind a time that say that it was none."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The words from `first` to before `last` as a figure."""

    first: int
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A figure's text and the place behind its words."""

    text: str
    last: int


@dataclass(frozen=True, slots=True)
class _Number:
    value: int
    last: int


def find_figures(words: Sequence[str], before: str = "") -> list[Figure]:
    """The figures among lower-case words, from left to right; `before` is the word in front of them."""
    figures, at = [], 0
    while at < len(words):
        found = _at(words, at, words[at - 1] if at else before)
        if found is not None:
            figures.append(Figure(at, found.last, found.text))
        at = at + 1 if found is None else found.last
    return figures


def _at(words: Sequence[str], at: int, before: str) -> _Found | None:
    """The first rule that fits at a place decides."""
    if words[at] not in OPENING:
        return None
    for rule in _RULES:
        found = rule(words, at, before)
        if found is not None:
            return found
    return None


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if at < len(words) else ""


# Numbers.


def _below_hundred(words: Sequence[str], at: int) -> _Number | None:
    word = _word(words, at)
    if word in _TENS:
        unit = _UNITS.get(_word(words, at + 1), 0)
        return _Number(_TENS[word] + unit, at + 2 if unit else at + 1)
    value = _UNITS.get(word, _TEENS.get(word))
    return None if value is None else _Number(value, at + 1)


def _group(words: Sequence[str], at: int) -> _Number | None:
    """A number below a thousand, or hundreds of eleven and more ("nineteen hundred")."""
    number = _below_hundred(words, at)
    if number is None or _word(words, number.last) != "hundred" or not number.value:
        return number
    hundreds = number.value * 100
    rest = _rest(words, number.last + 1)
    return _Number(hundreds + rest.value, rest.last)


def _rest(words: Sequence[str], at: int) -> _Number:
    """What follows a hundred or a thousand, with or without "and"; zero if nothing does."""
    joined = _below_hundred(words, at + 1) if _word(words, at) == "and" else _below_hundred(words, at)
    return _Number(0, at) if joined is None or not joined.value else joined


def _cardinal(words: Sequence[str], at: int) -> _Number | None:
    number = _group(words, at)
    if number is None:
        return None
    total, smallest = 0, 10**15
    while (scale := _SCALES.get(_word(words, number.last), 0)) and scale < smallest and number.value:
        total, smallest = total + number.value * scale, scale
        behind = number.last + 1
        more = _rest(words, behind) if _word(words, behind) == "and" else _group(words, behind)
        number = more if more is not None and more.value else _Number(0, behind)
    return _Number(total + number.value, number.last)


def _ordinal(words: Sequence[str], at: int) -> _Number | None:
    word = _word(words, at)
    if word in _ORDINAL_UNITS or word in _ORDINAL_TENS:
        return _Number(_ORDINAL_UNITS.get(word, _ORDINAL_TENS.get(word, 0)), at + 1)
    number = _cardinal(words, at)
    if number is None or not number.value:
        return None
    ends = number.last + (_word(words, number.last) == "and" and number.value % 100 == 0)
    last = _word(words, ends)
    if number.value % 100 == 0 and (value := _ORDINAL_UNITS.get(last, _ORDINAL_TENS.get(last, 0))):
        return _Number(number.value + value, ends + 1)
    if number.value % 10 == 0 and number.value % 100 >= 20 and 0 < (unit := _ORDINAL_UNITS.get(last, 0)) < 10:
        return _Number(number.value + unit, number.last + 1)
    return None


def _year_value(words: Sequence[str], at: int) -> _Number | None:
    """A year in two halves ("nineteen oh five", "twenty twenty six")."""
    century = _TEENS.get(_word(words, at), _TENS.get(_word(words, at), 0))
    if not 17 <= century <= 20:
        return None
    if _word(words, at + 1) == "oh":
        unit = _UNITS.get(_word(words, at + 2), 0)
        return _Number(century * 100 + unit, at + 3) if unit else None
    half = _below_hundred(words, at + 1)
    return _Number(century * 100 + half.value, half.last) if half is not None and half.value >= 10 else None


def _any_year(words: Sequence[str], at: int) -> _Number | None:
    year = _year_value(words, at)
    if year is not None:
        return year
    number = _cardinal(words, at)
    return number if number is not None and 1000 <= number.value < 3000 else None


def _amount(words: Sequence[str], at: int) -> _Found | None:
    """A cardinal or decimal, with its scale as a word from a million on."""
    number = _cardinal(words, at)
    if number is None:
        return None
    digits = _digits(words, number.last + 1) if _word(words, number.last) == "point" else ("", 0)
    if digits[0]:
        text, last = f"{number.value}.{digits[0]}", digits[1]
        scale = _word(words, last)
        return _Found(f"{text} {scale}", last + 1) if scale in _SCALES else _Found(text, last)
    scale = words[number.last - 1]
    if number.value >= 10**6 and scale in _SCALES and number.value // _SCALES[scale] < 1000:
        return _Found(f"{number.value // _SCALES[scale]} {scale}", number.last)
    return _Found(_grouped(number.value), number.last)


def _grouped(value: int) -> str:
    return str(value) if value < 10_000 else f"{value:,}"


def _digits(words: Sequence[str], at: int) -> tuple[str, int]:
    """Digits that are said one by one, and the place behind them."""
    found = ""
    while True:
        times = _REPEATS.get(_word(words, at), 1) if found else 1
        digit = _digit(_word(words, at + (times > 1)))
        if digit is None:
            return found, at
        found += digit * times
        at += 1 + (times > 1)


def _digit(word: str) -> str | None:
    return "0" if word == "oh" else str(_UNITS[word]) if word in _UNITS else None


# Rules: from words at a place to a figure.


def _date(words: Sequence[str], at: int, before: str) -> _Found | None:
    month = words[at]
    if month not in _MONTHS:
        return None
    year = _any_year(words, at + 1)
    if year is not None:
        return _Found(f"{month.capitalize()} {year.value}", year.last)
    day = _ordinal(words, at + 1) or (None if month in _VERBS else _below_hundred(words, at + 1))
    if day is None or not 1 <= day.value <= 31:
        return None
    year = _any_year(words, day.last)
    if year is None:
        return _Found(f"{month.capitalize()} {day.value}", day.last)
    return _Found(f"{month.capitalize()} {day.value}, {year.value}", year.last)


def _day_of_month(words: Sequence[str], at: int, before: str) -> _Found | None:
    day = _ordinal(words, at)
    if day is None or _word(words, day.last) != "of" or _word(words, day.last + 1) not in _MONTHS:
        return None
    text, last = f"{_with_suffix(day.value)} of {words[day.last + 1].capitalize()}", day.last + 2
    year = _any_year(words, last)
    return _Found(text, last) if year is None else _Found(f"{text} {year.value}", year.last)


def _time(words: Sequence[str], at: int, before: str) -> _Found | None:
    hour = _UNITS.get(words[at], _TEENS.get(words[at], 0))
    if not 1 <= hour <= 12:
        return None
    half, last = _half_of_day(words, at + 1)
    if half:
        return _Found(f"{hour} {half}", last)
    minutes = _minutes(words, at + 1)
    if minutes is None:
        return None
    half, last = _half_of_day(words, minutes.last)
    if half:
        return _Found(f"{hour}:{minutes.value:02} {half}", last)
    goes_on = _word(words, minutes.last) in _GOING_ON
    return _Found(f"{hour}:{minutes.value:02}", minutes.last) if before in _BEFORE_TIMES and not goes_on else None


def _time_by_hour(words: Sequence[str], at: int, before: str) -> _Found | None:
    """A time before or behind a full hour ("twenty past three", "at quarter to ten").

    "ten to four" is a range or odds as well: it is a time behind "at" and its like, and before the half of the day.
    """
    part = _PARTS_OF_HOUR.get(words[at])
    minutes = _below_hundred(words, at) if part is None else _Number(part, at + 1)
    if minutes is None or not 1 <= minutes.value <= 30 or (part is not None and before == "a"):
        return None
    to, named = _word(words, minutes.last), _word(words, minutes.last + 1)
    hour = _UNITS.get(named, _TEENS.get(named, 0))
    if to not in ("past", "to") or not 1 <= hour <= 12:
        return None
    half, last = _half_of_day(words, minutes.last + 2)
    if not half and (_word(words, last) in _GOING_ON or (to == "to" and before not in _BEFORE_TIMES - {"from"})):
        return None
    text = f"{hour}:{minutes.value:02}" if to == "past" else f"{hour - 1 or 12}:{60 - minutes.value}"
    return _Found(f"{text} {half}".rstrip(), last)


def _minutes(words: Sequence[str], at: int) -> _Number | None:
    if _word(words, at) == "oh":
        unit = _UNITS.get(_word(words, at + 1), 0)
        return _Number(unit, at + 2) if unit else None
    minutes = _below_hundred(words, at)
    return minutes if minutes is not None and 10 <= minutes.value < 60 else None


def _half_of_day(words: Sequence[str], at: int) -> tuple[str, int]:
    """AM or PM and the place behind it; "" if neither is said."""
    word = _word(words, at)
    if word in ("am", "pm"):
        return word.upper(), at + 1
    if word in ("a", "p") and _word(words, at + 1) == "m":
        return f"{word.upper()}M", at + 2
    return "", at


def _money(words: Sequence[str], at: int, before: str) -> _Found | None:
    amount = _amount(words, at)
    sign = _CURRENCIES.get(_word(words, amount.last)) if amount else None
    if amount is None or sign is None:
        return None
    last = amount.last + 1
    cents = _below_hundred(words, last + (_word(words, last) == "and"))
    if cents is None or _word(words, cents.last) not in ("cent", "cents") or not amount.text.isdigit():
        return _Found(f"{sign}{amount.text}", last)
    return _Found(f"{sign}{amount.text}.{cents.value:02}", cents.last + 1)


def _share(words: Sequence[str], at: int, before: str) -> _Found | None:
    amount = _amount(words, at)
    if amount is None:
        return None
    if _word(words, amount.last) == "percent":
        return _Found(f"{amount.text}%", amount.last + 1)
    two = (_word(words, amount.last), _word(words, amount.last + 1)) == ("per", "cent")
    return _Found(f"{amount.text}%", amount.last + 2) if two else None


def _spelled_digits(words: Sequence[str], at: int, before: str) -> _Found | None:
    """Three digits and more; seven, ten and eleven as telephone numbers."""
    digits, last = _digits(words, at)
    # The last digit may begin a number of its own: "one two three hundred".
    if len(digits) < 3 or _word(words, last) in _SCALES or _word(words, last) == "hundred":
        return None
    groups = {7: (3,), 10: (3, 6), 11: (1, 4, 7)}.get(len(digits), ())
    cuts = (0, *groups, len(digits))
    return _Found("-".join(digits[a:b] for a, b in pairwise(cuts)), last)


def _ordinal_figure(words: Sequence[str], at: int, before: str) -> _Found | None:
    number = _ordinal(words, at)
    return None if number is None or number.value < 10 else _Found(_with_suffix(number.value), number.last)


def _with_suffix(value: int) -> str:
    suffix = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{_grouped(value)}{suffix}"


def _year(words: Sequence[str], at: int, before: str) -> _Found | None:
    century = _TEENS.get(words[at], _TENS.get(words[at], 0))
    decade = _DECADES.get(_word(words, at + 1))
    if 17 <= century <= 20 and decade is not None:
        return _Found(f"{century}{decade}s", at + 2)
    year = _year_value(words, at)
    return None if year is None else _Found(str(year.value), year.last)


def _plain(words: Sequence[str], at: int, before: str) -> _Found | None:
    amount = _amount(words, at)
    if amount is None:
        return None
    small = amount.text.isdigit() and int(amount.text) < 10
    return None if small and _word(words, amount.last) not in _UNITS_OF_MEASURE else amount


_RULES: Final[tuple[Callable[[Sequence[str], int, str], _Found | None], ...]] = (
    _date,
    _day_of_month,
    _spelled_digits,
    _money,
    _share,
    _time_by_hour,
    _time,
    _year,
    _ordinal_figure,
    _plain,
)
