"""How the site is built: ``sphinx-build -W -n docs OUT``."""  # noqa: INP001 - Sphinx reads it as a file

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "dxforge"
author = "the dxforge developers"
version = release = version_of("dxforge")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_ext.from_code"]
exclude_patterns = ["_build", "_ext"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "dxforge"
html_static_path = ["_static"]
html_css_files = ["dxforge.css"]
html_copy_source = False
html_show_copyright = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Public names must be found. The network is not asked where other projects document theirs, and what is behind the
# public names is not documented here.
nitpick_ignore_regex = [(r"py:.*", r"(?!dxforge\.\w+$).*")]
