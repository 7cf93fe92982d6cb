"""Where contents are kept."""
