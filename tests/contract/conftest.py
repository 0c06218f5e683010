"""Which suites there are: those of the compiled core only where it runs."""

from stream import compiled

collect_ignore = (
    []
    if compiled.RUNS
    else [
        f"test_{of}.py"
        for of in (
            *("decision_encoders", "judges", "merges", "receivers"),
            *("renderers", "samplers", "scanners"),
        )
    ]
)
