"""What the compiled receive takes of the compiled scan: one record in, one summary out, no Python."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef enum Found:
    ASIDE = 0    # bad, several traces, too many of something: for the pure-Python twin
    TRACE = 1    # all spans are of one trace
    NOTHING = 2  # legal, and without a span


# As `Fragment`, but for the bits: `Plan.words` words of them, the lowest first, are the caller's.
ctypedef struct Summary:
    const uint8_t *trace_id  # 16 bytes, in the record; set for TRACE
    uint32_t spans
    uint32_t errors
    uint64_t start_ns
    uint64_t end_ns
    uint64_t *bits
    bint root


# A search that Python has to do: does this text meet this test? It lies in the record.
ctypedef struct Question:
    Py_ssize_t record  # the caller's number of it
    uint32_t test
    uint32_t length
    const uint8_t *text


ctypedef struct Questions:
    Question *asked
    Py_ssize_t count
    Py_ssize_t room


ctypedef struct Text:
    const uint8_t *bytes
    uint32_t length


cdef enum Asks:
    ONE_OF
    WITHIN
    IS
    SEARCH


ctypedef struct Test:
    Asks asks
    bint has_low
    bint has_high
    bint wanted
    int64_t low
    int64_t high
    Text *values  # sorted, by length first
    uint32_t values_count
    uint32_t word
    uint64_t mask


ctypedef struct Key:
    Text name
    uint32_t first_test
    uint32_t tests_count


# A `ScanPlan` in C.
ctypedef struct Plan:
    bint looks                 # whether there are tests of attributes
    uint8_t starts[256]        # bytes with which the length of a wanted key may begin
    uint32_t keys_from[129]    # of each length below 128, the first key; of 128, all longer ones
    Key *keys                  # sorted, by length first
    uint32_t keys_count
    Test *tests                # key by key
    uint32_t tests_count
    Py_ssize_t words
    uint64_t *status_bits      # of three codes, `words` words each


cdef Found scan_record(
    const Plan *plan, const uint8_t *record, size_t size, Summary *summary,
    Questions *questions, Py_ssize_t number,
) noexcept nogil


cdef class Scanner:
    cdef Plan plan
    cdef tuple _searches
    cdef list _held
    cdef object _conditions
    cdef bint has_conditions

    cdef int answer(self, const Question *question, uint64_t *bits) except -1
    cdef object conditions(self, bytes record)
    cdef object _scanned(self, bytes value, Summary *summary, Questions *questions)
    cdef _build(self, tuple status_bits, tuple tests)
    cdef _build_keys(self, dict by_key)
    cdef _set_text(self, Text *text, bytes value)
    cdef _set_test(self, Test *to, mask, test)


cdef object bits_of(const uint64_t *words, Py_ssize_t count)
