"""The panels: what ``%dx status`` and ``%dx review`` show where the page can show widgets."""
