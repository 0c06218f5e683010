"""The end of the demo, told so that a newcomer understands where every span went and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from stream.assembly.drawing import render_trace
from stream.demo.words import amount, noun

INDENT = "  "


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What one policy kept under one trigger; late spans that followed are among the spans."""

    policy: str
    trigger: str
    traces: int
    spans: int
    why: str


@dataclass(frozen=True, slots=True)
class Example:
    """A kept trace: its id, 16 bytes, the policy that kept it, its output as OTLP bytes."""

    trace_id: bytes
    policy: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The numbers of a run. What was sent: `traces` to `malformed`; what became of it: the rest.

    The spans `sampled`, `not_sampled`, late, `duplicates` and `dead_lettered` add up to `spans`
    where nothing is missing. `resent_dropped` are resent spans of dropped traces: nobody looks for
    duplicates there, so they are among `not_sampled`. `dead_letters` are records by reason;
    `delivered_twice` are spans that the output holds again.
    """

    traces: int
    spans: int
    records: int
    partitions: int
    late_spans: int
    resent_spans: int
    malformed: int
    rows: tuple[PolicyRow, ...]
    kept_traces: int
    whole_traces: int
    dropped_traces: int
    sampled: int
    not_sampled: int
    late_sampled: int
    late_not_sampled: int
    duplicates: int
    resent_dropped: int
    dead_lettered: int
    dead_letters: Mapping[str, int]
    delivered_twice: int
    example: Example | None
    end: str

    @property
    def unaccounted(self) -> int:
        """Spans sent that no decision covers; below 0: covered more than once."""
        late = self.late_sampled + self.late_not_sampled
        accounted = self.sampled + self.not_sampled + late + self.duplicates + self.dead_lettered
        return self.spans - accounted

    @property
    def faults(self) -> list[str]:
        """What is not as it should be, in words; empty after a good run."""
        faults = []
        if self.unaccounted > 0:
            faults.append(f"{self.unaccounted:,} spans unaccounted for")
        elif self.unaccounted < 0:
            faults.append(f"{-self.unaccounted:,} spans accounted for twice")
        if self.whole_traces < self.kept_traces:
            faults.append(f"{self.kept_traces - self.whole_traces:,} kept traces not whole")
        resent = self.duplicates + self.resent_dropped
        if resent != self.resent_spans:
            faults.append(f"{self.resent_spans:,} spans resent, {resent:,} of them found")
        # A record can become several dead letters, one for each fault of its spans.
        if sum(self.dead_letters.values()) < self.malformed:
            faults.append(
                f"{self.malformed - sum(self.dead_letters.values())} malformed records not found"
            )
        return faults


def render_story(story: Story) -> Text:
    """Return the story, a line for each of its parts; print it with `soft_wrap=True`."""
    lines = [_sent(story), _kept(story), *_table(story), _late(story)]
    if story.resent_spans:
        lines.append(_resent(story))
    lines += [_dropped(story), _check(story)]
    if story.example is not None:
        title = Text(story.example.trace_id.hex()).append(f"  kept by {story.example.policy}")
        lines += render_trace(story.example.value, title)
    lines.append(Text(story.end, style="dim"))
    return Text("\n").join(Text(INDENT).append_text(line) for line in lines)


def _line(name: str, text: str, style: str = "") -> Text:
    return Text().append(name.ljust(9), style="bold").append(text, style=style)


def _amount(traces: int, spans: int) -> str:
    return f"{traces:>5,} {noun(traces, 'trace'):<6}  {spans:>7,} {noun(spans, 'span'):<5}"


def _sent(story: Story) -> Text:
    return _line(
        "in",
        f"{_amount(story.traces, story.spans)}   {amount(story.records, 'record')}   "
        f"{amount(story.partitions, 'partition')}   {amount(story.late_spans, 'late span')}   "
        f"{story.resent_spans:,} resent",
    )


def _kept(story: Story) -> Text:
    spans = story.sampled + story.late_sampled
    percent = 100 * spans / story.spans if story.spans else 0.0
    return _line(
        "kept",
        f"{_amount(story.kept_traces, spans)}   ({percent:.1f} % of spans), "
        f"{story.whole_traces:,} of {story.kept_traces:,} whole",
        "green",
    )


def _table(story: Story) -> list[Text]:
    names = max([8, *(len(row.policy) for row in story.rows)])
    lines = [
        Text(f"  {'policy':<{names}} {'trigger':<15} {'traces':>7} {'spans':>6}        why", "dim")
    ]
    for row in story.rows:
        amounts = f"{row.traces:>7,} {row.spans:>6,}"
        lines.append(
            Text(f"  {row.policy:<{names}} {row.trigger:<15} {amounts}        {row.why}".rstrip())
        )
    return lines


def _late(story: Story) -> Text:
    late = story.late_sampled + story.late_not_sampled
    return _line(
        "late",
        f"{late:>5,} {noun(late, 'span')}: {story.late_sampled:,} followed a kept trace out, "
        f"{story.late_not_sampled:,} followed a drop",
    )


def _resent(story: Story) -> Text:
    resent = story.resent_spans
    return _line(
        "resent",
        f"{resent:>5,} {noun(resent, 'span')}: {story.duplicates:,} removed from a kept trace, "
        f"{story.resent_dropped:,} fell with a drop",
    )


def _dropped(story: Story) -> Text:
    records = sum(story.dead_letters.values())
    counts = sorted(story.dead_letters.items())
    if len(counts) > 1:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
    else:
        reasons = "".join(reason for reason, _ in counts)
    tail = f" ({reasons})" if reasons else ""
    return _line(
        "dropped",
        f"{_amount(story.dropped_traces, story.not_sampled)}      "
        f"dead letters {amount(records, 'record')}{tail}",
    )


def _check(story: Story) -> Text:
    late = story.late_sampled + story.late_not_sampled
    terms = [
        f"{story.sampled:,} sampled",
        f"{story.not_sampled:,} not sampled",
        f"{late:,} late",
        f"{story.duplicates:,} duplicate",
    ]
    if story.dead_lettered:
        terms.append(f"{story.dead_lettered:,} dead-lettered")
    line = _line(
        "check", f"{story.spans:,} {'≠' if story.unaccounted else '='} {' + '.join(terms)}   "
    )
    if story.faults:
        line.append("; ".join(story.faults), style="bold red")
    else:
        line.append("nothing unaccounted for", style="bold green")
    if story.delivered_twice:
        line.append(f"; {story.delivered_twice:,} delivered twice, as at_least_once allows")
    return line
