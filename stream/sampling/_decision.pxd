"""Decision records in C."""

from stream.sampling._delivery cimport Decision


cdef class Context:
    cdef bytes fields


cdef bytes packed(Decision decision, Context context)


cdef bytes kept_deltas(offsets)
