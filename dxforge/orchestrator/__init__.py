"""The life of the project's tools: start, health, restart, stop; dependencies first."""
