"""How Sphinx builds the pages: `make docs`, or `make docs GALLERY=0` to run no example."""

import os
import sys
from importlib import metadata
from pathlib import Path

import mathjax

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("MPLBACKEND", "agg")
# One thread: a page that runs beside others must not fight them for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "sklearn_mlloss"
author = copyright = "the sklearn_mlloss developers"
version = release = metadata.version("sklearn_mlloss")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_tables",
    "search_words",
    "social",
]
root_doc = "index"
exclude_patterns = ["_build", "auto_examples/*.ipynb", "sg_execution_times.rst"]
templates_path = ["templates"]

# -- Markdown: the pages are also read as they stand, so headings are the anchors.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# -- Docstrings. Words in single backticks are parameters, or names that become links.
default_role = "py:obj"
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
nitpicky = True
nitpick_ignore_regex = [
    # Other packages' names: without a network there is nothing to look them up in.
    (r"py:.*", r"(?!sklearn_mlloss\.).*"),
]

# -- Links to other packages' pages need the network, and are therefore asked for.
if os.environ.get("SKLEARN_MLLOSS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# -- The gallery: examples/plot_*.py
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "backreferences_dir": "api/backreferences",
    "within_subsection_order": "gallery_order.Order",
    "doc_module": ("sklearn_mlloss",),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1,
}

# -- Looks
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_mlloss"
html_favicon = "_static/logo.svg"
# MathJax is part of the site: formulas need no network, and, drawn as SVG, no fonts.
MATHJAX = Path(mathjax.__file__).parent / "static/mathjax/es5/tex-svg-full.js"
html_static_path = ["_static", str(MATHJAX)]
mathjax_path = MATHJAX.name
html_css_files = ["pages.css"]
# Pages of the first level that have none below them.
html_sidebars = {
    name: []
    for name in ("tutorial", "folklore", "coming_from", "contributing", "changelog")
}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "sklearn_mlloss",
        "image_light": html_favicon,
        "image_dark": html_favicon,
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    # Pages made from docstrings and examples have no file of their own to edit.
    "secondary_sidebar_items": {
        "*": ["page-toc", "edit-this-page"],
        "api/**": ["page-toc"],
        "auto_examples/**": ["page-toc"],
    },
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- Where the pages, their source and other versions are, for those who publish them.
html_baseurl = os.environ.get("SKLEARN_MLLOSS_DOCS_URL", "")
if repository := os.environ.get("SKLEARN_MLLOSS_REPOSITORY"):
    html_theme_options |= {
        "use_edit_page_button": True,
        "icon_links": [
            {"name": "Repository", "url": repository, "icon": "fa-brands fa-git-alt"}
        ],
    }
    html_context = {
        "edit_page_url_template": f"{repository}/edit/main/docs/{{{{ file_name }}}}"
    }
# A list of versions as JSON, in the form of the theme: a URL, or a path in docs.
if versions := os.environ.get("SKLEARN_MLLOSS_DOCS_VERSIONS"):
    html_theme_options |= {
        "switcher": {"json_url": versions, "version_match": version},
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
    }
