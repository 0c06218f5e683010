class Due:
    due_ms: int
