"""The traffic light: plan, merge, apply, review."""
