"""The guard process. Everything in this folder runs in it, so it imports the standard library and itself, no more.

    session (kernel, command) ──socketpair── launcher ──fork── guard ──fork── tool
                └───────────────── socket of its own ────────────┘

The *launcher* (``launcher.py``) is one small process per session. For every socket that it receives it forks a guard:
quicker than a new interpreter, and the memory is shared. The *guard* (``guard.py``) takes its order from that socket,
starts the tool, writes its output to disk (``disk.py``), passes it on to the sessions (``client.py``), and ends it,
with everything it started, as soon as nobody wants it any more.

On Linux a guard is a *child subreaper*: what the tool starts, daemons included, is and stays a descendant of the
guard, so "no children left" proves that nothing is left. macOS has no such thing: there the guard looks for
descendants with ``ps`` before it signals, and a daemon may escape. That path has never been tested.
"""
