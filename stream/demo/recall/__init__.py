"""Recall: how many of the traces that matter are still there when somebody looks for them."""
