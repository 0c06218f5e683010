"""Chance that falls the same on every machine and with every Python: the corpus is made by it."""

from collections.abc import Sequence
from typing import Final, TypeVar

Face = TypeVar("Face")

_MASK: Final = 2**64 - 1


class Dice:
    """SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def number(self) -> int:
        """Return 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, count: int) -> int:
        """Return a number from 0 below `count`."""
        return self.number() % count

    def octets(self, count: int) -> bytes:
        """Return so many bytes, the first of which is not 0."""
        words = b"".join(self.number().to_bytes(8, "big") for _ in range(-(-count // 8)))
        return bytes([words[0] | 1]) + words[1:count]

    def percent(self, share: int) -> bool:
        """Return True in so many of a hundred cases."""
        return self.below(100) < share

    def one_of(self, faces: Sequence[Face]) -> Face:
        """Return one of these."""
        return faces[self.below(len(faces))]

    def shuffled(self, faces: Sequence[Face]) -> list[Face]:
        """Return these in another order."""
        left = list(faces)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]
