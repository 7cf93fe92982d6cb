"""Files that change: which are meant, what changed, and when re-running has become a loop."""
