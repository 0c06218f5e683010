"""A record to produce, in C."""


cdef class Produce:
    cdef public object topic
    cdef public object partition
    cdef public object key
    cdef public object value
    cdef object with_headers


cdef Produce produce_of(topic, partition, key, value)
