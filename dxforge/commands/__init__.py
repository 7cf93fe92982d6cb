"""One grammar for ``dxforge ...``, ``python -m dxforge ...`` and ``%dx ...``: parse -> call -> result.

grammar (click: what may be typed) -> actions (what it does) -> results (what is shown), and two faces: cli for
terminals and pipes, ``dxforge_nb`` for notebooks.
"""
