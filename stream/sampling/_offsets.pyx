# cython: language_level=3, boundscheck=True, wraparound=False
"""The offsets of a trace's records: to everybody but the compiled core a list of them."""

from collections.abc import Sequence

cimport cython
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


@cython.freelist(1024)
cdef class Offsets:
    """Offsets, 8 bytes each."""

    def __cinit__(self, offsets=()):
        self.at = self.few
        self.room = OFFSETS_AT_FIRST
        self.count = 0
        for offset in offsets:
            self.add(offset)

    def __dealloc__(self):
        if self.at != self.few:
            free(self.at)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return list(self)[index]
        place = index + self.count if index < 0 else index
        if not 0 <= place < self.count:
            raise IndexError(index)
        return self.at[<Py_ssize_t>place]

    def __iter__(self):
        cdef Py_ssize_t place
        for place in range(self.count):
            yield self.at[place]

    def __eq__(self, other):
        if not isinstance(other, (Offsets, list)):
            return NotImplemented
        return list(self) == list(other)

    def __repr__(self):
        return repr(list(self))

    def index(self, *args):
        return list(self).index(*args)

    def append(self, int64_t offset):
        """Add an offset at the end."""
        self.add(offset)

    cdef int add(self, int64_t offset) except -1:
        cdef Py_ssize_t room
        cdef int64_t *at
        if self.count == self.room:
            room = 2 * self.room
            at = <int64_t *>realloc(
                NULL if self.at == self.few else self.at, <size_t>room * sizeof(int64_t)
            )
            if at == NULL:
                raise MemoryError
            if self.at == self.few:
                memcpy(at, self.few, sizeof(self.few))
            self.at = at
            self.room = room
        self.at[self.count] = offset
        self.count += 1
        return 0


cdef Offsets offsets_of(offsets):
    """Return offsets as these, themselves if they are."""
    return <Offsets>offsets if isinstance(offsets, Offsets) else Offsets(offsets)


Sequence.register(Offsets)
