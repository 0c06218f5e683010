"""The protocol (DESIGN section 6): partitions, transactions, restore. No client calls."""
