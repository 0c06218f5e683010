"""The compiled core and its pure-Python twin are compared with each other: both have to be here."""

from stream import compiled


def test_the_compiled_core_is_here_unless_it_was_declined() -> None:
    assert compiled.RUNS or compiled.FORCED_PURE, (
        f"{compiled.core()}. Nothing compares the two cores here: install a C compiler and "
        "Python's headers, then `make clean install`; or decline the compiled one: "
        f"{compiled.PURE_VARIABLE}=1, make PURE=1"
    )
