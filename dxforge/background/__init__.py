"""Work that nobody waits for: snapshots, sync, prefetching, analysis."""
