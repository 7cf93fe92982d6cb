"""The build: a graph of steps, an action cache, and the reason for everything that runs."""
