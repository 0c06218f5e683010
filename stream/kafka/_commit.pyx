# cython: language_level=3, boundscheck=True, wraparound=False
"""A record to produce: the compiled half of `commit.py`, which says what each field is.

One is made for every trace that ends. The collector of cycles need not know any of them.
And the loop over those of a transaction: the compiled half of `producing.py`.
"""

cimport cython

cdef tuple FIELDS = ("topic", "partition", "key", "value", "headers")


@cython.no_gc
@cython.freelist(1024)
cdef class Produce:
    """A record to produce."""

    def __init__(self, topic, partition, key, value, headers=None):
        self.topic = topic
        self.partition = partition
        self.key = key
        self.value = value
        self.with_headers = headers

    @property
    def headers(self):
        """The headers; most records have none, and no list."""
        if self.with_headers is None:
            self.with_headers = []
        return self.with_headers

    @headers.setter
    def headers(self, value):
        self.with_headers = value

    @property
    def plain(self):
        """See `PureProduce.plain`."""
        return not self.with_headers

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.kafka.commit import PureProduce

        return PureProduce.__dataclass_fields__

    def __eq__(self, other):
        if not isinstance(other, Produce):
            return NotImplemented
        return all([getattr(self, name) == getattr(other, name) for name in FIELDS])

    def __repr__(self):
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in FIELDS])
        return f"Produce({shown})"


cdef Produce produce_of(topic, partition, key, value):
    """Return a record without headers."""
    cdef Produce record = Produce.__new__(Produce)
    record.topic = topic
    record.partition = partition
    record.key = key
    record.value = value
    return record


def produce_all(produce, list records not None, last, produce_odd):
    """Call `produce` of each record, `produce_odd` of those that want more: see `producing.py`."""
    cdef Produce record
    for record in records:
        if record is last or record.partition is None or record.with_headers:
            produce_odd(record)
            continue
        try:
            produce(record.topic, record.value, record.key, record.partition)
        except BufferError:
            produce_odd(record)
