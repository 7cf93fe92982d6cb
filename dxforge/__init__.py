"""Own your dependencies' source, and still get updates."""
