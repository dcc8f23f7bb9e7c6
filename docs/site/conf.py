"""How Sphinx builds the site from what `build.py` has gathered. Nothing is executed, and nothing is fetched later."""

import latex2mathml.converter
from docutils import nodes

project, author, copyright = "minivl", "the minivl authors", "the minivl authors"
extensions = ["myst_nb", "sphinx_copybutton"]
exclude_patterns = ["downloads"]  # offered as files, not shown as pages

nb_execution_mode = "off"  # notebooks are committed with their outputs
nb_render_markdown_format = "myst"  # live source has its equation above it
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

html_theme = "furo"
html_title = "minivl"
html_static_path = ["_static"]
html_css_files = ["minivl.css", "live/live.css"]
html_js_files = ["scrolling.js"]
html_copy_source, html_show_sphinx = False, False
html_math_renderer = "mathml"


def _mathml(display):
    def visit(translator, node):
        translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit, None


def _levels_of_captions(app, page, template, context, doctree):
    """Sphinx calls captions of tables of contents headings, and does not say of which level."""
    for part in ("body", "furo_navigation_tree"):
        if part in context:
            context[part] = context[part].replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app):
    """MathML is drawn by browsers themselves: no script, no fonts to fetch, and screen readers read it."""
    app.add_html_math_renderer("mathml", _mathml("inline"), _mathml("block"))
    app.connect("html-page-context", _levels_of_captions, priority=900)  # after the theme has made its navigation
