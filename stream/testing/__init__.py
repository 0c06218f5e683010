"""The test kit, shipped: builders, hand-moved clock, in-memory log. No product code imports it."""
