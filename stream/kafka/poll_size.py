"""How many messages a poll takes: so many that their scan does not take long."""

MESSAGES_MAX = 1_000
MESSAGES_AT_FIRST = 50
LONG_S = 1.0


class PollSize:
    """Grows from few, so that also the first polls of a worker end soon.

    A scan of as many as there are may take minutes where policies ask much of each span: it would
    be ended as one that hangs, and again after each restart.
    """

    def __init__(self) -> None:
        self.messages = MESSAGES_AT_FIRST

    def took(self, messages: int, seconds: float) -> None:
        """Learn how long the scan of so many took."""
        if seconds > LONG_S:
            self.messages = max(1, min(self.messages, messages) // 2)
        elif messages >= self.messages:
            self.messages = min(MESSAGES_MAX, 2 * self.messages)
