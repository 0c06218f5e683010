"""Which values librdkafka does not take, asked of itself without making a client."""

import re
from typing import Final

from confluent_kafka import KafkaException, Producer

_IMPOSSIBLE: Final = ("test.mock.num.brokers", "message.max.bytes")
"""Whole numbers. A text there keeps the client from being made, whatever came before it."""

_NOT_ASKED: Final = frozenset({"plugin.library.paths"})
"""It would load the library."""

_NUMBER_AND_UNIT: Final = re.compile(r"[0-9]+ *[A-Za-z]+")


def refused_value(name: str, value: str | float) -> str:
    """Return what is wrong with a property's value, empty where librdkafka takes it.

    Also refused is a number with a unit, of which librdkafka would read the number alone.
    """
    if name in _NOT_ASKED:
        return ""
    said = _said(name, value)
    if not said and isinstance(value, str) and _NUMBER_AND_UNIT.fullmatch(value):
        # Of a text that is none of its words librdkafka repeats the text, of no number only that.
        said = _said(name, "none") if '"none"' not in _said(name, "none") else ""
    return said


def _said(name: str, value: str | float) -> str:
    stopper = next(other for other in _IMPOSSIBLE if other != name)
    try:
        Producer({name: value, stopper: "impossible"})
    except KafkaException as refused:
        words = str(refused.args[0].str()).strip()
    except (TypeError, ValueError) as refused:
        return str(refused)
    else:
        raise AssertionError("librdkafka took a text for a number")
    return "" if f'"{stopper}"' in words else words
