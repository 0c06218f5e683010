# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=False
"""Merge the fragments of a trace in C: the compiled half of `stream/otlp/merge.py`.

It answers for sane fragments only: decodable to the last byte, every span of them with an id of
eight bytes, none too large for a part. Whatever else comes is for the pure-Python twin, which then
has the only word on it; `tests/contract/test_merges.py` holds both to the same bytes.

The bodies are walked once, to find the spans and what is around them; then the sizes are known, and
every part is written once, into a `bytes` of its size.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT32_MAX, INT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from stream.otlp._decodable cimport (
    Schema,
    is_sound_content,
    next_field,
    schema_of,
)
from stream.otlp._wire cimport LENGTH, framed_bytes, put, put_framing, read_uint32, read_varint

from functools import lru_cache

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.otlp.pack import REPEATED_BYTES_MAX as _REPEATED_BYTES_MAX
from stream.otlp.span_key import KIND_SERVER as _KIND_SERVER, SERVER_BITS as _SERVER_BITS
from stream.otlp.stamp import POLICY_KEY, TRIGGER_KEY, stamp_span
from stream.otlp.tracestate import LIST_MEMBERS_MAX as _LIST_MEMBERS_MAX, UNKNOWN_THRESHOLD, with_threshold
from stream.otlp.wire import CHILDREN_MAX as _CHILDREN_MAX, framed

cdef enum:
    # Tags: field number << 3 | wire type.
    RESOURCE_SPANS = 1 << 3 | 2
    SCOPE_SPANS = 2 << 3 | 2
    SPAN = 2 << 3 | 2
    SPAN_ID = 2 << 3 | 2
    TRACE_STATE = 3 << 3 | 2
    PARENT_SPAN_ID = 4 << 3 | 2
    KIND = 6 << 3
    ATTRIBUTE = 9 << 3 | 2
    KEY = 1 << 3 | 2

    SPAN_ID_BYTES = 8
    KIND_SERVER = 2
    CHILDREN_MAX = 100_000
    REPEATED_BYTES_MAX = 1024 * 1024
    # How deep the messages lie, for what they hold.
    IN_RESOURCE_SPANS = 1
    IN_SCOPE_SPANS = 2
    IN_SPAN = 3
    IN_ATTRIBUTE = 4
    # Of a tracestate: see `tracestate.py`.
    LIST_MEMBERS_MAX = 32
    KEY_BYTES_MAX = 256
    VALUE_BYTES_MAX = 256

assert CHILDREN_MAX == _CHILDREN_MAX, "one limit, two values"
assert LIST_MEMBERS_MAX == _LIST_MEMBERS_MAX, "one limit, two values"
assert REPEATED_BYTES_MAX == _REPEATED_BYTES_MAX, "one limit, two values"
assert KIND_SERVER == _KIND_SERVER, "one kind, two numbers"
assert len(_SERVER_BITS) == SPAN_ID_BYTES
assert (len(POLICY_KEY), len(TRIGGER_KEY)) == (17, 18)

cdef const Schema *TRACES = schema_of(TracesData.DESCRIPTOR)
cdef const Schema *RESOURCE = TRACES.message[RESOURCE_SPANS]
cdef const Schema *SCOPE = RESOURCE.message[SCOPE_SPANS]
cdef const Schema *SPANS = SCOPE.message[SPAN]
cdef const Schema *KEY_VALUE = SPANS.message[ATTRIBUTE]

cdef uint64_t NO_SPAN = 0
cdef uint64_t SERVER_BITS  # in the order that ids have in memory
memcpy(&SERVER_BITS, PyBytes_AS_STRING(_SERVER_BITS), SPAN_ID_BYTES)
cdef const uint8_t *POLICY = <const uint8_t *>PyBytes_AS_STRING(POLICY_KEY)
cdef const uint8_t *TRIGGER = <const uint8_t *>PyBytes_AS_STRING(TRIGGER_KEY)
# Odd, and another one in every process: nobody can choose ids that fall together.
cdef uint64_t SPREAD = hash(b"span ids") & 0xFFFFFFFFFFFFFFFF | 1


# An envelope: a body, a resource or a scope.
ctypedef struct Frame:
    const uint8_t *field     # where it begins, tag and length included
    const uint8_t *start     # of its content
    const uint8_t *end
    Py_ssize_t parent
    Py_ssize_t first         # its children, in the array of the next level
    Py_ssize_t last          # after them
    size_t own_bytes         # all but its children
    size_t children_bytes    # of those that are in the part


ctypedef struct SpanAt:
    const uint8_t *field
    const uint8_t *start
    const uint8_t *end
    const uint8_t *span_id
    Py_ssize_t scope
    # What is written in the place of its trace state; two equal ones: at that place.
    const uint8_t *state_from
    const uint8_t *state_to
    const uint8_t *state
    size_t state_bytes
    size_t stamped_bytes
    bint root
    bint server
    bint has_stamps          # of a sampler before
    bint stamped             # is to have the attributes
    bint left_out


ctypedef struct Work:
    Frame *bodies
    Frame *resources
    Frame *scopes
    SpanAt *spans
    Py_ssize_t bodies_count
    Py_ssize_t resources_count
    Py_ssize_t resources_room
    Py_ssize_t scopes_count
    Py_ssize_t scopes_room
    Py_ssize_t spans_count
    Py_ssize_t spans_room
    const uint8_t *attributes
    size_t attributes_bytes


# Walking


cdef inline void *grown(void *array, Py_ssize_t count, Py_ssize_t *room, size_t size) noexcept nogil:
    """Return the array with room for one more; NULL without memory, and it is as it was."""
    cdef void *larger
    if count < room[0]:
        return array
    larger = realloc(array, <size_t>(2 * room[0] + 16) * size)
    if larger != NULL:
        room[0] = 2 * room[0] + 16
    return larger


cdef bint walk_body(Work *work, const uint8_t *start, const uint8_t *end) noexcept nogil:
    """Note a body and all that is in it. Return whether it is sane."""
    cdef Frame *body = &work.bodies[work.bodies_count]
    cdef const uint8_t *at = start
    cdef const uint8_t *field
    cdef uint32_t tag, length
    body.field = body.start = start
    body.end = end
    body.first = work.resources_count
    body.own_bytes = <size_t>(end - start)
    work.bodies_count += 1
    while at < end:
        field = at
        at = next_field(TRACES, at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == RESOURCE_SPANS:
            if not walk_resource(work, field, at, at + length):
                return False
            body.own_bytes -= <size_t>(at + length - field)
        at += length
    body.last = work.resources_count
    return body.last - body.first <= CHILDREN_MAX


cdef bint walk_resource(
    Work *work, const uint8_t *field, const uint8_t *at, const uint8_t *end
) noexcept nogil:
    cdef void *array = grown(
        work.resources, work.resources_count, &work.resources_room, sizeof(Frame)
    )
    cdef Py_ssize_t number = work.resources_count
    cdef uint32_t tag, length
    cdef Frame *resource
    if array == NULL:
        return False
    work.resources = <Frame *>array
    work.resources_count += 1
    resource = &work.resources[number]
    resource.field = field
    resource.start = at
    resource.end = end
    resource.parent = work.bodies_count - 1
    resource.first = work.scopes_count
    resource.own_bytes = <size_t>(end - at)
    while at < end:
        field = at
        at = next_field(RESOURCE, at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == SCOPE_SPANS:
            if not walk_scope(work, field, at, at + length):
                return False
            resource.own_bytes -= <size_t>(at + length - field)
        elif length and not is_sound_content(RESOURCE, tag, at, at + length, IN_RESOURCE_SPANS):
            return False
        at += length
    resource.last = work.scopes_count
    return resource.last - resource.first <= CHILDREN_MAX


cdef bint walk_scope(
    Work *work, const uint8_t *field, const uint8_t *at, const uint8_t *end
) noexcept nogil:
    cdef void *array = grown(work.scopes, work.scopes_count, &work.scopes_room, sizeof(Frame))
    cdef Py_ssize_t number = work.scopes_count
    cdef uint32_t tag, length
    cdef Frame *scope
    if array == NULL:
        return False
    work.scopes = <Frame *>array
    work.scopes_count += 1
    scope = &work.scopes[number]
    scope.field = field
    scope.start = at
    scope.end = end
    scope.parent = work.resources_count - 1
    scope.first = work.spans_count
    scope.own_bytes = <size_t>(end - at)
    while at < end:
        field = at
        at = next_field(SCOPE, at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == SPAN:
            array = grown(work.spans, work.spans_count, &work.spans_room, sizeof(SpanAt))
            if array == NULL:
                return False
            work.spans = <SpanAt *>array
            if not walk_span(&work.spans[work.spans_count], field, at, at + length):
                return False
            work.spans[work.spans_count].scope = number
            work.spans_count += 1
            scope.own_bytes -= <size_t>(at + length - field)
        elif length and not is_sound_content(SCOPE, tag, at, at + length, IN_SCOPE_SPANS):
            return False
        at += length
    scope.last = work.spans_count
    return scope.last - scope.first <= CHILDREN_MAX


cdef bint walk_span(
    SpanAt *span, const uint8_t *field, const uint8_t *at, const uint8_t *end
) noexcept nogil:
    cdef uint32_t tag, length
    cdef const uint8_t *parent = NULL
    cdef uint32_t parent_bytes = 0
    cdef uint32_t span_id_bytes = 0
    cdef Py_ssize_t attributes = 0
    memset(span, 0, sizeof(SpanAt))
    span.field = field
    span.start = at
    span.end = end
    while at < end:
        field = at
        at = next_field(SPANS, at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == ATTRIBUTE:
            attributes += 1
            if not walk_attribute(span, at, at + length):
                return False
        elif tag == SPAN_ID:
            span.span_id = at
            span_id_bytes = length
        elif tag == PARENT_SPAN_ID:
            parent = at
            parent_bytes = length
        elif tag == KIND:
            span.server = is_server(field, at)
        else:
            if tag == TRACE_STATE:
                if span.state != NULL:
                    return False  # the last one counts, and who sends two
                span.state_from = field
                span.state_to = at + length
                span.state = at
                span.state_bytes = length
            if length and not is_sound_content(SPANS, tag, at, at + length, IN_SPAN):
                return False
        at += length
    span.root = parent_bytes == 0 or (
        parent_bytes == SPAN_ID_BYTES and memcmp(parent, &NO_SPAN, SPAN_ID_BYTES) == 0
    )
    return span_id_bytes == SPAN_ID_BYTES and attributes <= CHILDREN_MAX


cdef inline bint is_server(const uint8_t *field, const uint8_t *end) noexcept nogil:
    """Return whether a well formed field, which tells a kind, tells this one."""
    cdef uint32_t tag
    cdef uint64_t kind
    if end - field == 2:
        return field[1] == KIND_SERVER
    return (
        read_varint(read_uint32(field, end, &tag), end, &kind) != NULL
        and <uint32_t>kind == KIND_SERVER
    )


cdef bint walk_attribute(SpanAt *span, const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Look whether it is a stamp. Return whether it is sane."""
    cdef uint32_t tag, length
    cdef bint has_key = False
    while at < end:
        at = next_field(KEY_VALUE, at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == KEY:
            if has_key:
                return False
            has_key = True
            if (length == 17 and memcmp(at, POLICY, 17) == 0) or (
                length == 18 and memcmp(at, TRIGGER, 18) == 0
            ):
                span.has_stamps = True
        if length and not is_sound_content(KEY_VALUE, tag, at, at + length, IN_ATTRIBUTE):
            return False
        at += length
    return True


# Duplicates


cdef inline uint64_t key_of(const SpanAt *span) noexcept nogil:
    """Return what tells a span from the others of its trace: see `span_key.py`."""
    cdef uint64_t key
    memcpy(&key, span.span_id, SPAN_ID_BYTES)
    return key ^ SERVER_BITS if span.server else key


cdef int take(uint32_t *table, int shift, uint64_t *keys, Py_ssize_t number) noexcept nogil:
    """Take a key, by its number; return 0 if it was taken before. The table is never full."""
    cdef size_t mask = (<size_t>1 << (64 - shift)) - 1
    cdef size_t slot = <size_t>((keys[number] * SPREAD) >> shift)
    while table[slot] != 0:
        if keys[table[slot] - 1] == keys[number]:
            return 0
        slot = (slot + 1) & mask
    table[slot] = <uint32_t>number + 1
    return 1


cdef Py_ssize_t leave_out(Work *work, const uint8_t *seen, Py_ssize_t seen_count) noexcept nogil:
    """Mark the spans that came before; return how many, -1 without memory."""
    cdef Py_ssize_t count = seen_count + work.spans_count
    cdef Py_ssize_t duplicates = 0
    cdef Py_ssize_t number
    cdef int shift = 60
    cdef uint64_t *keys
    cdef uint32_t *table
    if count >= INT32_MAX:
        return -1
    while <Py_ssize_t>1 << (64 - shift) < 2 * count:
        shift -= 1
    keys = <uint64_t *>calloc(<size_t>count + 1, sizeof(uint64_t))
    table = <uint32_t *>calloc(<size_t>1 << (64 - shift), sizeof(uint32_t))
    if keys == NULL or table == NULL:
        duplicates = -1
    else:
        if seen_count:
            memcpy(keys, seen, <size_t>seen_count * SPAN_ID_BYTES)
        for number in range(seen_count):
            take(table, shift, keys, number)
        for number in range(work.spans_count):
            keys[seen_count + number] = key_of(&work.spans[number])
            if not take(table, shift, keys, seen_count + number):
                work.spans[number].left_out = True
                duplicates += 1
    free(keys)
    free(table)
    return duplicates


# Stamps


cdef class _Stamping:
    """What a delivery writes on its spans, and the texts made for it, which live as long as this."""

    cdef object stamp
    cdef bytes attributes
    cdef bytes member  # `ot=th:8`, and as the field of a span that has no trace state
    cdef bytes framed_member
    cdef object threshold
    cdef list held
    # The trace state before, of which the one after was made: a trace's spans all have the same.
    cdef const uint8_t *before
    cdef size_t before_bytes
    cdef bytes after

    def __init__(self, stamp, bytes attributes not None):
        self.stamp = stamp
        self.attributes = attributes
        self.threshold = stamp.threshold
        self.held = []

    cdef int apply(self, Work *work) except -1:
        cdef bint all_of_them = self.stamp.mode == "spans"
        cdef bint none = self.stamp.mode == "none"
        cdef bint raises = not none and self.threshold
        cdef Py_ssize_t number
        cdef SpanAt *span
        for number in range(work.spans_count):
            span = &work.spans[number]
            if span.left_out:
                continue
            span.stamped = not none and (all_of_them or span.root)
            if span.stamped and span.has_stamps:
                self.replace(span)
            elif raises:
                self.raise_state(span)
            else:
                span.state_from = span.state_to = span.end
                span.state_bytes = 0
            span.stamped_bytes = (
                <size_t>(span.end - span.start)
                - <size_t>(span.state_to - span.state_from)
                + span.state_bytes
            )
            if span.stamped:
                span.stamped_bytes += work.attributes_bytes
        return 0

    cdef int replace(self, SpanAt *span) except -1:
        """One that was stamped before: seldom, and for Python."""
        content = PyBytes_FromStringAndSize(<const char *>span.start, span.end - span.start)
        cdef bytes whole = stamp_span(content, self.stamp, self.attributes, root=span.root)
        self.held.append(whole)
        span.state_from = span.start
        span.state_to = span.end
        span.state = <const uint8_t *>PyBytes_AS_STRING(whole)
        span.state_bytes = <size_t>PyBytes_GET_SIZE(whole)
        span.stamped = False  # it has them
        return 0

    cdef int raise_state(self, SpanAt *span) except -1:
        if self.member is None:
            self.member, self.framed_member = _member_of(self.threshold)
        if span.state == NULL:
            # Empty where there is nothing to erase.
            span.state_from = span.state_to = span.end
            span.state = <const uint8_t *>PyBytes_AS_STRING(self.framed_member)
            span.state_bytes = <size_t>PyBytes_GET_SIZE(self.framed_member)
            return 0
        if self.after is None or self.before_bytes != span.state_bytes or (
            memcmp(self.before, span.state, self.before_bytes) != 0
        ):
            self.before = span.state
            self.before_bytes = span.state_bytes
            self.after = self.raised(span)
            self.held.append(self.after)
        if PyBytes_GET_SIZE(self.after) == 0:
            span.state_from = span.state_to = span.end
            span.state_bytes = 0
            return 0
        span.state = <const uint8_t *>PyBytes_AS_STRING(self.after)
        span.state_bytes = <size_t>PyBytes_GET_SIZE(self.after)
        return 0

    cdef bytes raised(self, const SpanAt *span):
        """Return the field of the trace state with the threshold in it; empty: it stays."""
        cdef bytes before = PyBytes_FromStringAndSize(<const char *>span.state, span.state_bytes)
        if has_room_for_ot(span.state, span.state + span.state_bytes):
            if not self.member:
                return b""
            return framed(TRACE_STATE, b"%b,%b" % (self.member, before))
        after = with_threshold(
            before,
            self.threshold,
            independent=self.stamp.independent,
            randomness=self.stamp.randomness,
        )
        return framed(TRACE_STATE, after) if after != before else b""


cdef bint has_room_for_ot(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Return whether an `ot` member has only to be put before it.

    So it is a list as the grammar has it, without blanks or empty members around commas, without an
    `ot` member, and not full.
    """
    cdef const uint8_t *start
    cdef int members = 0
    while True:
        start = at
        while at < end and is_key_byte(at[0], at == start):
            at += 1
        if at == start or at - start > KEY_BYTES_MAX or at == end or at[0] != c"=":
            return False
        if at - start == 2 and start[0] == c"o" and start[1] == c"t":
            return False
        at += 1
        start = at
        while at < end and 0x20 <= at[0] <= 0x7E and at[0] != c"," and at[0] != c"=":
            at += 1
        if at == start or at - start > VALUE_BYTES_MAX or (at - 1)[0] == c" ":
            return False
        members += 1
        if members == LIST_MEMBERS_MAX:
            return False
        if at == end:
            return True
        if at[0] != c",":
            return False
        at += 1


cdef inline bint is_key_byte(uint8_t byte, bint first) noexcept nogil:
    if c"a" <= byte <= c"z" or c"0" <= byte <= c"9":
        return True
    return not first and (
        byte == c"_" or byte == c"-" or byte == c"*" or byte == c"/" or byte == c"@"
    )


@lru_cache(maxsize=256)
def _member_of(threshold):
    """Return what a span without an `ot` member gets, bare and framed: nothing if that is erased."""
    if threshold == UNKNOWN_THRESHOLD:
        return b"", b""
    member = with_threshold(b"", threshold)
    return member, framed(TRACE_STATE, member)


# Parts


cdef inline Frame *scope_of(const Work *work, Py_ssize_t span) noexcept nogil:
    return &work.scopes[work.spans[span].scope]


cdef inline Py_ssize_t next_kept(const Work *work, Py_ssize_t number, Py_ssize_t last) noexcept nogil:
    """Return the number of the first span from this one on that is not left out."""
    while number < last and work.spans[number].left_out:
        number += 1
    return number


cdef size_t measured(Work *work, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Return the size of a part of these spans; note that of each envelope in it."""
    cdef size_t total = 0
    cdef Py_ssize_t number = next_kept(work, first, last)
    cdef Py_ssize_t scope, resource, body
    while number < last:
        body = work.resources[scope_of(work, number).parent].parent
        total += work.bodies[body].own_bytes
        while number < last and work.resources[scope_of(work, number).parent].parent == body:
            resource = scope_of(work, number).parent
            work.resources[resource].children_bytes = 0
            while number < last and scope_of(work, number).parent == resource:
                scope = work.spans[number].scope
                work.scopes[scope].children_bytes = 0
                while number < last and work.spans[number].scope == scope:
                    work.scopes[scope].children_bytes += framed_bytes(
                        work.spans[number].stamped_bytes
                    )
                    number = next_kept(work, number + 1, last)
                work.resources[resource].children_bytes += framed_bytes(
                    size_of(&work.scopes[scope])
                )
            total += framed_bytes(size_of(&work.resources[resource]))
    return total


cdef inline size_t size_of(const Frame *frame) noexcept nogil:
    return frame.own_bytes + frame.children_bytes


cdef uint8_t *put_part(
    const Work *work, Py_ssize_t first, Py_ssize_t last, uint8_t *out, const uint8_t *out_end
) noexcept nogil:
    """Write a part that has been measured."""
    cdef Py_ssize_t number = next_kept(work, first, last)
    cdef Py_ssize_t scope, resource, body
    while number < last:
        body = work.resources[scope_of(work, number).parent].parent
        out = put_head(out, out_end, &work.bodies[body], work.resources[work.bodies[body].first].field)
        while number < last and work.resources[scope_of(work, number).parent].parent == body:
            resource = scope_of(work, number).parent
            out = put_framing(out, out_end, RESOURCE_SPANS, size_of(&work.resources[resource]))
            out = put_head(
                out, out_end, &work.resources[resource],
                work.scopes[work.resources[resource].first].field,
            )
            while number < last and scope_of(work, number).parent == resource:
                scope = work.spans[number].scope
                out = put_framing(out, out_end, SCOPE_SPANS, size_of(&work.scopes[scope]))
                out = put_head(
                    out, out_end, &work.scopes[scope], work.spans[work.scopes[scope].first].field
                )
                while number < last and work.spans[number].scope == scope:
                    out = put_span(work, &work.spans[number], out, out_end)
                    number = next_kept(work, number + 1, last)
                out = put_scope_tail(work, &work.scopes[scope], out, out_end)
            out = put_tail(work.scopes, &work.resources[resource], out, out_end)
        out = put_tail(work.resources, &work.bodies[body], out, out_end)
    return out


cdef inline uint8_t *put_head(
    uint8_t *out, const uint8_t *out_end, const Frame *frame, const uint8_t *first_child
) noexcept nogil:
    return put(out, out_end, frame.start, <size_t>(first_child - frame.start))


cdef uint8_t *put_span(
    const Work *work, const SpanAt *span, uint8_t *out, const uint8_t *out_end
) noexcept nogil:
    out = put_framing(out, out_end, SPAN, span.stamped_bytes)
    out = put(out, out_end, span.start, <size_t>(span.state_from - span.start))
    out = put(out, out_end, span.state, span.state_bytes)
    out = put(out, out_end, span.state_to, <size_t>(span.end - span.state_to))
    if span.stamped:
        out = put(out, out_end, work.attributes, work.attributes_bytes)
    return out


cdef uint8_t *put_tail(
    const Frame *frames, const Frame *parent, uint8_t *out, const uint8_t *out_end
) noexcept nogil:
    """Write what lies between the children of an envelope, and after them."""
    cdef Py_ssize_t number
    for number in range(parent.first, parent.last - 1):
        out = put(
            out, out_end, frames[number].end,
            <size_t>(frames[number + 1].field - frames[number].end),
        )
    return put(
        out, out_end, frames[parent.last - 1].end,
        <size_t>(parent.end - frames[parent.last - 1].end),
    )


cdef uint8_t *put_scope_tail(
    const Work *work, const Frame *scope, uint8_t *out, const uint8_t *out_end
) noexcept nogil:
    cdef Py_ssize_t number
    for number in range(scope.first, scope.last - 1):
        out = put(
            out, out_end, work.spans[number].end,
            <size_t>(work.spans[number + 1].field - work.spans[number].end),
        )
    return put(
        out, out_end, work.spans[scope.last - 1].end,
        <size_t>(scope.end - work.spans[scope.last - 1].end),
    )


cdef bytes part_of(Work *work, Py_ssize_t first, Py_ssize_t last):
    """Return these spans in their envelopes."""
    cdef size_t size = measured(work, first, last)
    cdef bytes part = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(part)
    cdef uint8_t *end = put_part(work, first, last, out, out + size)
    assert end == out + size, "a part has another size than was measured"
    return part


# A part as it grows: see `_Part` in `pack.py`.
ctypedef struct Sizes:
    size_t record
    size_t resource
    size_t scope


cdef Sizes with_span(const Work *work, Py_ssize_t before, Sizes sizes, Py_ssize_t number) noexcept nogil:
    """Return the sizes with this span, `before` being the last one in it, -1 without one."""
    cdef const SpanAt *span = &work.spans[number]
    cdef size_t field_bytes = framed_bytes(span.stamped_bytes)
    cdef const Frame *scope = &work.scopes[span.scope]
    cdef const Frame *resource = &work.resources[scope.parent]
    cdef Py_ssize_t scope_before
    if before < 0:
        sizes.record = work.bodies[resource.parent].own_bytes
        sizes.resource = resource.own_bytes
        sizes.scope = scope.own_bytes + field_bytes
        return sizes
    scope_before = work.spans[before].scope
    if scope_before == span.scope:
        sizes.scope += field_bytes
        return sizes
    sizes.resource += framed_bytes(sizes.scope)
    sizes.scope = scope.own_bytes + field_bytes
    if work.scopes[scope_before].parent == scope.parent:
        return sizes
    sizes.record += framed_bytes(sizes.resource)
    if work.resources[work.scopes[scope_before].parent].parent != resource.parent:
        sizes.record += work.bodies[resource.parent].own_bytes
    sizes.resource = resource.own_bytes
    return sizes


cdef inline size_t closed(Sizes sizes) noexcept nogil:
    return sizes.record + framed_bytes(sizes.resource + framed_bytes(sizes.scope))


cdef size_t repeated_bytes(const Work *work, Py_ssize_t before, Py_ssize_t number) noexcept nogil:
    """Return the size of the envelopes that two spans share."""
    cdef Py_ssize_t scope_before = work.spans[before].scope
    cdef Py_ssize_t scope = work.spans[number].scope
    cdef Py_ssize_t resource_before = work.scopes[scope_before].parent
    cdef Py_ssize_t resource = work.scopes[scope].parent
    cdef size_t shared = 0
    if scope == scope_before:
        shared += work.scopes[scope].own_bytes
    if resource == resource_before:
        shared += work.resources[resource].own_bytes
    if work.resources[resource].parent == work.resources[resource_before].parent:
        shared += work.bodies[work.resources[resource].parent].own_bytes
    return shared


cdef list parts_of(Work *work, object limit):
    """Return the parts; None if a span fits in none."""
    cdef size_t bytes_max = max(0, min(limit, INT64_MAX))
    cdef size_t whole = measured(work, 0, work.spans_count)
    cdef size_t repeatable = REPEATED_BYTES_MAX + whole
    cdef size_t repeated
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t before = -1
    cdef Py_ssize_t kept_before = -1
    cdef Py_ssize_t number
    cdef Sizes sizes, grown_sizes
    cdef list parts = []
    if next_kept(work, 0, work.spans_count) == work.spans_count:
        return parts
    if whole <= bytes_max:
        parts.append(part_of(work, 0, work.spans_count))
        return parts
    memset(&sizes, 0, sizeof(Sizes))
    for number in range(work.spans_count):
        if work.spans[number].left_out:
            continue
        grown_sizes = with_span(work, before, sizes, number)
        if closed(grown_sizes) > bytes_max:
            grown_sizes = with_span(work, -1, sizes, number)
            repeated = repeated_bytes(work, before, number) if before >= 0 else 0
            if closed(grown_sizes) > bytes_max or repeated > repeatable:
                return None
            repeatable -= repeated
            parts.append(part_of(work, first, number))
            first = number
        sizes = grown_sizes
        before = number
    parts.append(part_of(work, first, work.spans_count))
    return parts


cdef bytes keys_of(const Work *work, Py_ssize_t count):
    cdef bytes keys = PyBytes_FromStringAndSize(NULL, count * SPAN_ID_BYTES)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(keys)
    cdef uint64_t key
    cdef Py_ssize_t number
    for number in range(work.spans_count):
        if not work.spans[number].left_out:
            key = key_of(&work.spans[number])
            memcpy(out, &key, SPAN_ID_BYTES)
            out += SPAN_ID_BYTES
    return keys


def merge(bodies, stamp, bytes attributes not None, limit, bytes seen not None):
    """Return (parts, spans, duplicates, span keys) of a merge; None if it is none for this core.

    `attributes` is `stamp.attributes()`. As in the twin, without anything bad.
    """
    cdef Work work
    memset(&work, 0, sizeof(Work))
    try:
        return merged(&work, list(bodies), stamp, attributes, limit, seen)
    finally:
        free(work.bodies)
        free(work.resources)
        free(work.scopes)
        free(work.spans)


cdef merged(Work *work, list bodies, stamp, bytes attributes, limit, bytes seen):
    cdef Py_ssize_t duplicates
    cdef const uint8_t *start
    cdef bytes body
    if PyBytes_GET_SIZE(seen) % SPAN_ID_BYTES:
        return None
    work.bodies = <Frame *>calloc(<size_t>len(bodies) + 1, sizeof(Frame))
    if work.bodies == NULL:
        raise MemoryError
    work.attributes = <const uint8_t *>PyBytes_AS_STRING(attributes)
    work.attributes_bytes = <size_t>PyBytes_GET_SIZE(attributes)
    for body in bodies:
        if body is None or PyBytes_GET_SIZE(body) > INT32_MAX:
            return None
        start = <const uint8_t *>PyBytes_AS_STRING(body)
        if not walk_body(work, start, start + PyBytes_GET_SIZE(body)):
            return None
    duplicates = leave_out(
        work, <const uint8_t *>PyBytes_AS_STRING(seen), PyBytes_GET_SIZE(seen) // SPAN_ID_BYTES
    )
    if duplicates < 0:
        return None
    # It holds the texts that the spans point to.
    stamping = _Stamping(stamp, attributes)
    (<_Stamping>stamping).apply(work)
    parts = parts_of(work, limit)
    if parts is None:
        return None
    spans = work.spans_count - duplicates
    return parts, spans, duplicates, keys_of(work, spans)
