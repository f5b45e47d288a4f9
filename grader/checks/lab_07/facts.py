"""Draws the handbook's facts: amounts, times, codes and names that are other ones in every run."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Iterable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PLACE_STARTS = _words("Ard Brin Cast Dun Elm Fal Gars Hal Ing Kest Lind Mar Nor Os Pen Quin Ros Sel Tarn Vel Wick Yar")
_PLACE_ENDS = _words("by combe den fell ford gate ham holm ley mere mouth ness port stead thorpe wick")
_FIRST_NAMES = _words("Ada Bram Carla Dirk Esra Femke Goran Hedda Ivo Jana Kofi Lena Milo Nadia Olu Petra Rui Uma")
_LAST_NAMES = _words("Aaltonen Bauer Costa Dahl Eriksen Fabre Groot Hansen Ilic Jansen Lund Moreau Nowak Ruiz")

# How often a value that was used before is drawn anew. Small ranges run out: their facts are in no gold sentence.
_ATTEMPTS = 60


class Facts:
    """One document's worth of facts at a time; a value is not used twice for the same fact while the range lasts."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._used: dict[str, set[str]] = {}
        self._families: dict[str, list[str]] = {}

    def draw(self, key: str, recipe: str, index: int) -> str:
        """The value of one fact.

        Args:
            key: whose uniqueness counts, such as "northline/claims/hidden".
            recipe: a kind and its arguments, such as "eur 18 96".
            index: which copy or repetition of the text this is, from 0.
        """
        kind, _, arguments = recipe.partition(" ")
        if kind == "each":
            return arguments.split()[index]
        if kind == "family":
            return self._family(key, arguments)[index]
        used = self._used.setdefault(key, set())
        value = self._value(kind, arguments)
        for _ in range(_ATTEMPTS):
            if value not in used or kind == "pick":
                break
            value = self._value(kind, arguments)
        used.add(value)
        return value

    def _value(self, kind: str, arguments: str) -> str:  # noqa: PLR0911  a table of kinds, one line each
        rng = self._rng
        match kind:
            case "int":
                low, high = _bounds(arguments)
                return str(rng.randint(low, high))
            case "eur" | "cent":
                low, high = _bounds(arguments)
                return f"{rng.randint(low * 100 + 1, high * 100 - 1) / 100:.2f}"
            case "clock":
                low, high = _bounds(arguments)
                return f"{rng.randint(low, high):02}:{rng.randint(1, 59):02}"
            case "place":
                return rng.choice(_PLACE_STARTS) + rng.choice(_PLACE_ENDS)
            case "person":
                return f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}"
            case "phone":
                return f"0{rng.randint(20, 89)} {rng.randint(200, 999)} {rng.randint(1000, 9999)}"
            case "code":
                return fill(arguments, rng)
            case "pick" | "unique":
                return rng.choice(arguments.split("|"))
        raise ValueError(f"unknown kind of fact: {kind!r}")

    def _family(self, key: str, arguments: str) -> list[str]:
        """Near-identical identifiers in random order, such as MFX-4471-A and MFX-4714-A: the same digits, rearranged.

        A vector of the words in a text knows which digits there are and not in which order they stand: such siblings
        are one to dense search, and quite different to a lexical one.
        """
        if key not in self._families:
            pattern, _, endings = arguments.partition("* ")
            digits = self._rng.sample("123456789", pattern.count("#"))
            stems = [_with_digits(pattern, order) for order in itertools.permutations(digits)]
            self._families[key] = [stem + ending for stem in stems for ending in endings.split()]
            self._rng.shuffle(self._families[key])
        return self._families[key]


def _with_digits(pattern: str, digits: Iterable[str]) -> str:
    left = iter(digits)
    return "".join(next(left) if character == "#" else character for character in pattern)


def fill(pattern: str, rng: random.Random) -> str:
    """The pattern with `#` as a digit and `@` as a capital letter."""
    return "".join(_filled(pattern, rng))


def _filled(pattern: str, rng: random.Random) -> Iterable[str]:
    for character in pattern:
        if character == "#":
            yield rng.choice("123456789")
        elif character == "@":
            yield rng.choice(string.ascii_uppercase)
        else:
            yield character


def _bounds(arguments: str) -> tuple[int, int]:
    low, high = arguments.split()
    return int(low), int(high)
