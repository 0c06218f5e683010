# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=False
"""Scan a record once, in C: the compiled half of `stream/otlp/scan.py`.

It answers for the plain record only: protobuf, all spans of one trace, nothing wrong with it.
Whatever else comes (JSON, several traces, invalid ids, broken or outsized messages) is for the
pure-Python twin, which then has the only word on it. So the twins can differ in nothing but what a
plain record is and what it sums up to; `tests/contract/test_scanners.py` holds them to that.

Every function that walks takes where it stands (`at`) and the end of the message that it stands
in, and returns where it stands next, NULL for malformed. No byte at or after that end is read.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport ceil, floor
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from stream.otlp._wire cimport (
    CONTINUES,
    FIXED32,
    FIXED64,
    GROUP_END,
    GROUP_START,
    LENGTH,
    VARINT,
    read_length,
    read_uint32,
    read_varint,
)

from stream.otlp.fragment import Fragment, Scanned
from stream.otlp.value_tests import Is, OneOf, Within
from stream.otlp.wire import (
    CHILDREN_MAX as _CHILDREN_MAX,
    GROUP_DEPTH_MAX as _GROUP_DEPTH_MAX,
    Malformed,
)

cdef enum:
    # Tags: field number << 3 | wire type.
    RESOURCE_SPANS = 1 << 3 | 2
    RESOURCE = 1 << 3 | 2
    RESOURCE_ATTRIBUTE = 1 << 3 | 2
    SCOPE_SPANS = 2 << 3 | 2
    SPAN = 2 << 3 | 2

    TRACE_ID = 1 << 3 | 2
    SPAN_ID = 2 << 3 | 2
    PARENT_SPAN_ID = 4 << 3 | 2
    START = 7 << 3 | 1
    END = 8 << 3 | 1
    ATTRIBUTE = 9 << 3 | 2
    STATUS = 15 << 3 | 2
    STATUS_CODE = 3 << 3

    KEY = 1 << 3 | 2
    VALUE = 2 << 3 | 2
    STRING = 1 << 3 | 2
    BOOL = 2 << 3
    INT = 3 << 3
    DOUBLE = 4 << 3 | 1
    ARRAY = 5 << 3 | 2
    KEY_VALUES = 6 << 3 | 2
    BYTES = 7 << 3 | 2

    TRACE_ID_BYTES = 16
    SPAN_ID_BYTES = 8
    STATUS_ERROR = 2
    GROUP_DEPTH_MAX = 100
    CHILDREN_MAX = 100_000
    # More searches in one record than any sane one asks for: the twin does them without a list.
    QUESTIONS_MAX = 65_536
    # So many of a record's last questions are looked through for the same one.
    QUESTIONS_COMPARED = 16

assert (CHILDREN_MAX, GROUP_DEPTH_MAX) == (_CHILDREN_MAX, _GROUP_DEPTH_MAX), "one limit, two values"

cdef uint8_t[16] ZEROS
memset(ZEROS, 0, 16)


# The wire


cdef inline uint64_t little_endian(const uint8_t *at) noexcept nogil:
    return (
        <uint64_t>at[0] | <uint64_t>at[1] << 8 | <uint64_t>at[2] << 16 | <uint64_t>at[3] << 24
        | <uint64_t>at[4] << 32 | <uint64_t>at[5] << 40 | <uint64_t>at[6] << 48
        | <uint64_t>at[7] << 56
    )


cdef const uint8_t *skip(const uint8_t *at, const uint8_t *end, uint32_t tag) noexcept nogil:
    """Skip the field whose tag ended at `at`."""
    cdef uint32_t wire_type = tag & 7
    cdef uint64_t number
    cdef uint32_t length
    if tag >> 3 == 0:
        return NULL
    if wire_type == LENGTH:
        at = read_length(at, end, &length)
        if at == NULL:
            return NULL
        return at + length
    if wire_type == VARINT:
        return read_varint(at, end, &number)
    if wire_type == FIXED64 and end - at >= 8:
        return at + 8
    if wire_type == FIXED32 and end - at >= 4:
        return at + 4
    if wire_type == GROUP_START:
        return skip_group(at, end, tag >> 3)
    return NULL


cdef const uint8_t *skip_group(
    const uint8_t *at, const uint8_t *end, uint32_t field
) noexcept nogil:
    """Skip to the end of an (obsolete) group. Groups nest: counted here, not on the stack."""
    cdef uint32_t[GROUP_DEPTH_MAX] unclosed
    cdef int depth = 1
    cdef uint32_t tag
    unclosed[0] = field
    while depth > 0:
        at = read_uint32(at, end, &tag)
        if at == NULL:
            return NULL
        if tag & 7 == GROUP_END:
            depth -= 1
            if unclosed[depth] != tag >> 3:
                return NULL
        elif tag & 7 == GROUP_START:
            if depth == GROUP_DEPTH_MAX:
                return NULL
            unclosed[depth] = tag >> 3
            depth += 1
        else:
            at = skip(at, end, tag)  # never a group: skip does not come back here
            if at == NULL:
                return NULL
    return at


cdef inline const uint8_t *next_field(
    const uint8_t *at, const uint8_t *end, uint32_t *tag, uint32_t *length
) noexcept nogil:
    """Return where the content of a length-delimited field begins; any other is skipped.

    `length` is that of the content, 0 for the others: the next field begins after so many bytes.
    """
    if at[0] < CONTINUES:
        tag[0] = at[0]
        at += 1
    else:
        at = read_uint32(at, end, tag)
        if at == NULL:
            return NULL
    if tag[0] & 7 == LENGTH and tag[0] > LENGTH:
        return read_length(at, end, length)
    length[0] = 0
    return skip(at, end, tag[0])


# Attributes


cdef inline int compared(const uint8_t *text, uint32_t length, const Text *other) noexcept nogil:
    if length != other.length:
        return -1 if length < other.length else 1
    return memcmp(text, other.bytes, length) if length else 0


cdef const Key *find_key(const Plan *plan, const uint8_t *name, uint32_t length) noexcept nogil:
    cdef uint32_t low, high, middle
    cdef int order
    if length < CONTINUES:
        low = plan.keys_from[length]
        high = plan.keys_from[length + 1]
    else:
        low = plan.keys_from[CONTINUES]
        high = plan.keys_count
    while low < high:
        middle = low + (high - low) // 2
        order = compared(name, length, &plan.keys[middle].name)
        if order == 0:
            return &plan.keys[middle]
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return NULL


# The value of an attribute. `kind` is its field's tag in `AnyValue`, 0 for none or an opaque one.
ctypedef struct AnyValue:
    uint32_t kind
    uint32_t length
    const uint8_t *text
    uint64_t number  # a boolean, or the bits of an int
    double real


cdef bint read_value(const uint8_t *at, const uint8_t *end, AnyValue *value) noexcept nogil:
    """Read an `AnyValue` into the one before it: both merge. Return whether it is well formed."""
    cdef uint32_t tag, length
    cdef uint64_t bits
    while at < end:
        at = read_uint32(at, end, &tag)
        if at == NULL:
            return False
        if tag == STRING:
            at = read_length(at, end, &length)
            if at == NULL:
                return False
            value.kind = STRING
            value.text = at
            value.length = length
            at += length
        elif tag == BOOL or tag == INT:
            at = read_varint(at, end, &value.number)
            if at == NULL:
                return False
            value.kind = tag
        elif tag == DOUBLE:
            if end - at < 8:
                return False
            bits = little_endian(at)
            memcpy(&value.real, &bits, 8)
            value.kind = DOUBLE
            at += 8
        else:
            at = skip(at, end, tag)
            if at == NULL:
                return False
            if tag == ARRAY or tag == KEY_VALUES or tag == BYTES:
                value.kind = 0
    return True


cdef bint one_of(const Test *test, const AnyValue *value) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = test.values_count
    cdef uint32_t middle
    cdef int order
    if value.kind != STRING:
        return False
    while low < high:
        middle = low + (high - low) // 2
        order = compared(value.text, value.length, &test.values[middle])
        if order == 0:
            return True
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return False


cdef bint within(const Test *test, const AnyValue *value) noexcept nogil:
    cdef int64_t number
    cdef double limit = 9223372036854775808.0  # 2 ** 63
    if value.kind == INT:
        number = <int64_t>value.number
        return (not test.has_low or number >= test.low) and (
            not test.has_high or number <= test.high
        )
    if value.kind != DOUBLE or value.real != value.real:
        return False
    # Exactly: a double beyond every int is compared as what it is, any other by its whole part.
    if value.real >= limit:
        return not test.has_high
    if value.real < -limit:
        return not test.has_low
    return (not test.has_low or <int64_t>floor(value.real) >= test.low) and (
        not test.has_high or <int64_t>ceil(value.real) <= test.high
    )


cdef bint ask(
    Questions *questions, Py_ssize_t number, uint32_t test, const AnyValue *value
) noexcept nogil:
    """Note a search, unless the record asked for it just before. Return whether there was room."""
    cdef Question *asked
    cdef Py_ssize_t at = questions.count
    cdef Py_ssize_t compared_from = max(0, at - QUESTIONS_COMPARED)
    cdef Py_ssize_t room
    while at > compared_from:
        at -= 1
        asked = &questions.asked[at]
        if asked.record != number:
            break
        if asked.test == test and asked.length == value.length and (
            value.length == 0 or memcmp(asked.text, value.text, value.length) == 0
        ):
            return True
    at = questions.count
    if at >= QUESTIONS_MAX and questions.asked[at - QUESTIONS_MAX].record == number:
        return False
    if at == questions.room:
        room = 2 * questions.room if questions.room else 64
        asked = <Question *>realloc(questions.asked, <size_t>room * sizeof(Question))
        if asked == NULL:
            return False
        questions.asked = asked
        questions.room = room
    asked = &questions.asked[at]
    asked.record = number
    asked.test = test
    asked.length = value.length
    asked.text = value.text
    questions.count = at + 1
    return True


cdef bint test_attribute(
    const Plan *plan, const uint8_t *at, const uint8_t *end, uint64_t *bits,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    """Or the masks of the conditions that an attribute of at least 2 bytes meets into `bits`.

    Return whether it is well formed, as far as it was looked at.
    """
    cdef uint32_t tag, length, index
    cdef AnyValue value
    cdef const Key *key
    cdef const Test *test
    cdef bint met
    if at[0] == KEY and at[1] < CONTINUES and at[1] <= end - at - 2:
        key = find_key(plan, at + 2, at[1])
        if key == NULL:
            return True
        at += 2 + at[1]
    else:
        key = find_key(plan, at, 0)  # that of an attribute without one
    memset(&value, 0, sizeof(AnyValue))
    while at < end:
        at = read_uint32(at, end, &tag)
        if at == NULL:
            return False
        if tag == KEY or tag == VALUE:
            at = read_length(at, end, &length)
            if at == NULL:
                return False
            if tag == KEY:
                key = find_key(plan, at, length)
            elif not read_value(at, at + length, &value):
                return False
            at += length
        else:
            at = skip(at, end, tag)
            if at == NULL:
                return False
    if key == NULL or value.kind == 0:
        return True
    for index in range(key.first_test, key.first_test + key.tests_count):
        test = &plan.tests[index]
        if test.asks == ONE_OF:
            met = one_of(test, &value)
        elif test.asks == WITHIN:
            met = within(test, &value)
        elif test.asks == IS:
            met = value.kind == BOOL and (value.number != 0) == test.wanted
        else:
            met = False
            if value.kind == STRING and not ask(questions, number, index, &value):
                return False
        if met:
            bits[test.word] |= test.mask
    return True


# Spans


ctypedef struct SpanFields:
    const uint8_t *trace_id
    const uint8_t *span_id
    const uint8_t *parent_span_id
    uint32_t trace_id_length
    uint32_t span_id_length
    uint32_t parent_span_id_length
    uint32_t status
    uint64_t start_ns
    uint64_t end_ns


cdef bint read_status(const uint8_t *at, const uint8_t *end, uint32_t *code) noexcept nogil:
    """Read a status message into the code before it. Return whether it is well formed."""
    cdef uint32_t tag
    cdef uint64_t number
    while at < end:
        at = read_uint32(at, end, &tag)
        if at == NULL:
            return False
        if tag == STATUS_CODE:
            at = read_varint(at, end, &number)
            code[0] = <uint32_t>(number & UINT32_MAX)
            if code[0] > STATUS_ERROR:
                code[0] = 0
        else:
            at = skip(at, end, tag)
        if at == NULL:
            return False
    return True


cdef bint read_span(
    const Plan *plan, const uint8_t *at, const uint8_t *end, SpanFields *span, uint64_t *bits,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    """Read a span's content. Return whether it is well formed, as far as it was looked at."""
    cdef uint32_t tag, length
    memset(span, 0, sizeof(SpanFields))
    while at < end:
        if at[0] < CONTINUES:
            tag = at[0]
            at += 1
        else:
            at = read_uint32(at, end, &tag)
            if at == NULL:
                return False
        if tag & 7 == LENGTH and tag > LENGTH:
            at = read_length(at, end, &length)
            if at == NULL:
                return False
            if tag == ATTRIBUTE:
                if plan.looks and length > 1 and (plan.starts[at[1]] or at[0] != KEY):
                    if not test_attribute(plan, at, at + length, bits, questions, number):
                        return False
            elif tag == TRACE_ID:
                span.trace_id = at
                span.trace_id_length = length
            elif tag == SPAN_ID:
                span.span_id = at
                span.span_id_length = length
            elif tag == PARENT_SPAN_ID:
                span.parent_span_id = at
                span.parent_span_id_length = length
            elif tag == STATUS:
                if not read_status(at, at + length, &span.status):
                    return False
            at += length
        elif tag == START or tag == END:
            if end - at < 8:
                return False
            if tag == START:
                span.start_ns = little_endian(at)
            else:
                span.end_ns = little_endian(at)
            at += 8
        else:
            at = skip(at, end, tag)
            if at == NULL:
                return False
    return True


cdef inline bint is_id(const uint8_t *id, uint32_t length, uint32_t wanted) noexcept nogil:
    return length == wanted and memcmp(id, ZEROS, wanted) != 0


cdef bint add_span(const Plan *plan, const SpanFields *span, Summary *summary) noexcept nogil:
    """Add a span to the summary; return whether it is of the same trace, its ids valid."""
    cdef Py_ssize_t word
    if not is_id(span.span_id, span.span_id_length, SPAN_ID_BYTES):
        return False
    if summary.spans == 0:
        if not is_id(span.trace_id, span.trace_id_length, TRACE_ID_BYTES):
            return False
        summary.trace_id = span.trace_id
    elif span.trace_id_length != TRACE_ID_BYTES or (
        memcmp(span.trace_id, summary.trace_id, TRACE_ID_BYTES) != 0
    ):
        return False
    if summary.spans == CHILDREN_MAX:
        return False
    summary.spans += 1
    for word in range(plan.words):
        summary.bits[word] |= plan.status_bits[span.status * plan.words + word]
    if span.status == STATUS_ERROR:
        summary.errors += 1
    if span.parent_span_id_length == 0 or (
        span.parent_span_id_length == SPAN_ID_BYTES
        and memcmp(span.parent_span_id, ZEROS, SPAN_ID_BYTES) == 0
    ):
        summary.root = True
    if span.start_ns and (span.start_ns < summary.start_ns or not summary.start_ns):
        summary.start_ns = span.start_ns
    if span.end_ns > summary.end_ns:
        summary.end_ns = span.end_ns
    return True


# Envelopes


cdef bint scan_scope(
    const Plan *plan, const uint8_t *at, const uint8_t *end, Summary *summary,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    cdef uint32_t tag, length
    cdef SpanFields span
    while at < end:
        at = next_field(at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == SPAN:
            if not read_span(plan, at, at + length, &span, summary.bits, questions, number):
                return False
            if not add_span(plan, &span, summary):
                return False
        at += length
    return True


cdef bint test_resource(
    const Plan *plan, const uint8_t *at, const uint8_t *end, uint64_t *bits,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    """Test the attributes of one `Resource`."""
    cdef uint32_t tag, length
    cdef uint32_t attributes = 0
    while at < end:
        at = next_field(at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == RESOURCE_ATTRIBUTE:
            attributes += 1
            if attributes > CHILDREN_MAX:
                return False
            if length > 1 and not test_attribute(plan, at, at + length, bits, questions, number):
                return False
        at += length
    return True


cdef bint test_resources(
    const Plan *plan, const uint8_t *at, const uint8_t *end, uint64_t *bits,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    """Test the resource of one `ResourceSpans`, the fields of which are known to be well formed."""
    cdef uint32_t tag, length
    cdef uint32_t resources = 0
    while at < end:
        at = next_field(at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == RESOURCE:
            resources += 1
            if resources > CHILDREN_MAX:
                return False
            if not test_resource(plan, at, at + length, bits, questions, number):
                return False
        at += length
    return True


cdef bint scan_resource(
    const Plan *plan, const uint8_t *start, const uint8_t *end, Summary *summary,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    cdef const uint8_t *at = start
    cdef uint32_t tag, length
    cdef uint32_t scopes = 0
    cdef uint32_t spans_before = summary.spans
    while at < end:
        at = next_field(at, end, &tag, &length)
        if at == NULL:
            return False
        if tag == SCOPE_SPANS:
            scopes += 1
            if scopes > CHILDREN_MAX:
                return False
            if not scan_scope(plan, at, at + length, summary, questions, number):
                return False
        at += length
    if plan.looks and summary.spans > spans_before:
        # A resource without a span belongs to no trace.
        return test_resources(plan, start, end, summary.bits, questions, number)
    return True


cdef Found scan_record(
    const Plan *plan, const uint8_t *record, size_t size, Summary *summary,
    Questions *questions, Py_ssize_t number,
) noexcept nogil:
    """Sum up a record. What it asked of searches is in `questions` under `number`, if it is TRACE.

    `summary.bits` is the caller's; all else of the summary is set here.
    """
    cdef const uint8_t *at = record
    cdef const uint8_t *end = record + size
    cdef uint32_t tag, length
    cdef uint32_t resources = 0
    cdef Py_ssize_t asked_before = questions.count
    cdef bint plain = size > 0 and record[0] != c"{"
    summary.trace_id = NULL
    summary.spans = summary.errors = 0
    summary.start_ns = summary.end_ns = 0
    summary.root = False
    memset(summary.bits, 0, <size_t>plan.words * sizeof(uint64_t))
    while plain and at < end:
        at = next_field(at, end, &tag, &length)
        if at == NULL:
            plain = False
            break
        if tag == RESOURCE_SPANS:
            resources += 1
            plain = resources <= CHILDREN_MAX and scan_resource(
                plan, at, at + length, summary, questions, number
            )
        at += length
    if not plain or summary.spans == 0:
        questions.count = asked_before
        return NOTHING if plain else ASIDE
    return TRACE


# Plans


cdef class Scanner:
    """A scan plan in C."""

    def __cinit__(self, *_):
        memset(&self.plan, 0, sizeof(Plan))

    def __init__(self, plan):
        assert self.plan.status_bits == NULL, "made once"
        self._held = []
        self._conditions = plan.conditions
        self.has_conditions = plan.conditions is not None
        self.plan.looks = plan.attributes is not None
        self._build(plan.status_bits, plan.attributes.tests if self.plan.looks else ())

    def __dealloc__(self):
        cdef uint32_t index
        for index in range(self.plan.tests_count):
            free(self.plan.tests[index].values)
        free(self.plan.tests)
        free(self.plan.keys)
        free(self.plan.status_bits)

    cdef _build(self, tuple status_bits, tuple tests):
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t at, word
        masks = [*status_bits, *[mask for _, mask, _ in tests]]
        plan.words = max(1, (max(masks).bit_length() + 63) // 64)
        plan.status_bits = <uint64_t *>calloc(3 * plan.words, sizeof(uint64_t))
        if plan.status_bits == NULL:
            raise MemoryError
        for at in range(3):
            for word in range(plan.words):
                plan.status_bits[at * plan.words + word] = _word(status_bits[at], word)
        by_key = {}
        for key, mask, test in tests:
            by_key.setdefault(key.encode(), []).append((mask, test))
        self._build_keys(by_key)

    cdef _build_keys(self, dict by_key):
        cdef Plan *plan = &self.plan
        cdef uint32_t test_at = 0
        cdef Key *key
        cdef Py_ssize_t at
        searches = []
        names = sorted(by_key, key=_by_length)
        plan.keys = <Key *>calloc(max(1, len(names)), sizeof(Key))
        plan.tests = <Test *>calloc(max(1, sum(map(len, by_key.values()))), sizeof(Test))
        if plan.keys == NULL or plan.tests == NULL:
            raise MemoryError
        for name in names:
            key = &plan.keys[plan.keys_count]
            plan.keys_count += 1
            self._set_text(&key.name, name)
            plan.starts[min(len(name), CONTINUES)] = 1
            key.first_test = test_at
            for mask, test in by_key[name]:
                plan.tests_count += 1
                self._set_test(&plan.tests[test_at], mask, test)
                searches.append(None if isinstance(test, OneOf | Within | Is) else test)
                test_at += 1
            key.tests_count = test_at - key.first_test
        # A length of several bytes may be a short one in a long form: such a key is read.
        for at in range(CONTINUES, 256):
            plan.starts[at] = 1
        for at in range(CONTINUES + 1):
            plan.keys_from[at] = sum(len(name) < at for name in names)
        self._searches = tuple(searches)

    cdef _set_text(self, Text *text, bytes value):
        self._held.append(value)
        text.bytes = <const uint8_t *>PyBytes_AS_STRING(value)
        text.length = <uint32_t>PyBytes_GET_SIZE(value)

    cdef _set_test(self, Test *to, mask, test):
        assert mask.bit_count() == 1, mask
        to.word = <uint32_t>((mask.bit_length() - 1) // 64)
        to.mask = _word(mask, to.word)
        if isinstance(test, OneOf):
            to.asks = ONE_OF
            to.values = <Text *>calloc(max(1, len(test.values)), sizeof(Text))
            if to.values == NULL:
                raise MemoryError
            for value in sorted(test.values, key=_by_length):
                self._set_text(&to.values[to.values_count], value)
                to.values_count += 1
        elif isinstance(test, Within):
            to.asks = WITHIN
            to.has_low, to.has_high = test.low is not None, test.high is not None
            to.low, to.high = test.low or 0, test.high or 0
        elif isinstance(test, Is):
            to.asks = IS
            to.wanted = test.wanted
        else:
            to.asks = SEARCH

    cdef int answer(self, const Question *question, uint64_t *bits) except -1:
        """Do a search; or its mask into the bits if it finds something. The record is there yet."""
        cdef const Test *test = &self.plan.tests[question.test]
        text = PyBytes_FromStringAndSize(<const char *>question.text, question.length)
        if self._searches[question.test](text):
            bits[test.word] |= test.mask
        return 0

    cdef object conditions(self, bytes record):
        """Return the bits of the conditions that look into whole spans; None is for the twin."""
        if self._conditions is None:
            return 0
        try:
            return self._conditions(record)
        except Malformed:
            return None

    def scan(self, bytes value not None):
        """Return the record scanned, None if it is none for this core."""
        cdef Questions questions
        cdef Summary summary
        memset(&questions, 0, sizeof(Questions))
        summary.bits = <uint64_t *>calloc(self.plan.words, sizeof(uint64_t))
        if summary.bits == NULL:
            raise MemoryError
        try:
            return self._scanned(value, &summary, &questions)
        finally:
            free(summary.bits)
            free(questions.asked)

    cdef object _scanned(self, bytes value, Summary *summary, Questions *questions):
        cdef Py_ssize_t at
        cdef Found found = scan_record(
            &self.plan, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value),
            summary, questions, 0,
        )
        if found == ASIDE:
            return None
        if found == NOTHING:
            return Scanned([], [])
        for at in range(questions.count):
            self.answer(&questions.asked[at], summary.bits)
        more = self.conditions(value)
        if more is None:
            return None
        trace_id = PyBytes_FromStringAndSize(<const char *>summary.trace_id, TRACE_ID_BYTES)
        bits = bits_of(summary.bits, self.plan.words) | more
        fragment = Fragment(
            trace_id, summary.spans, summary.errors, summary.start_ns, summary.end_ns,
            summary.root, bits, value,
        )
        return Scanned([fragment], [])


cdef object bits_of(const uint64_t *words, Py_ssize_t count):
    """Return the bits as Python has them: one number."""
    cdef Py_ssize_t at
    bits = words[0]
    for at in range(1, count):
        bits |= <object>words[at] << (64 * at)
    return bits


cdef uint64_t _word(mask, word):
    return mask >> (64 * word) & 0xFFFFFFFFFFFFFFFF


def _by_length(text):
    return len(text), text
