"""The demo's parts: the shop's traces, the load generator, and the story told at the end."""
