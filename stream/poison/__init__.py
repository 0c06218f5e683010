"""Records that kill the scanner: found by a worker that died of one twice, and dead-lettered."""
