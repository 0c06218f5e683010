"""What a worker holds of its partitions: stores of spans and of decisions, and their tables."""
