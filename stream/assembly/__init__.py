"""Trace assembly for reading: spans in, a tree out, and the tree as lines and as JSON. No I/O."""
