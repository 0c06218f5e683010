"""OTTL conditions: text to a function of one span's bytes.

Language: contrib, pkg/ottl/LANGUAGE.md; paths: pkg/ottl/contexts; functions: pkg/ottl/ottlfuncs
(v0.158). `parse` makes a tree, `compile` checks it and makes closures of it, which read a `view` of
the span's bytes; `values` and `functions` hold what values mean, and `conditions` are one policy's.
"""
