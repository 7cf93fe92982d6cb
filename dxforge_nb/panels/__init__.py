"""The panels: what ``%dx status`` and ``%dx review`` show where a page can show widgets.

Nothing of widgets is imported before the first panel is shown.
"""
