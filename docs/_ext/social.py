"""Describe each page to search engines and link previews, by its first paragraph."""

from html import escape

from docutils import nodes

LENGTH = 200


def add_tags(app, pagename, templatename, context, doctree):
    """Add the title and the description of a page to its head."""
    if doctree is None:
        return
    paragraph = next(doctree.findall(nodes.paragraph), None)
    text = " ".join(paragraph.astext().split()) if paragraph else ""
    if len(text) > LENGTH:
        text = text[: LENGTH - 1].rsplit(" ", 1)[0].rstrip(",.:;") + "…"
    title = app.env.titles[pagename].astext()
    tags = {
        'name="description"': text,
        'property="og:title"': title,
        'property="og:description"': text,
        'property="og:type"': "website",
        'property="og:site_name"': app.config.project,
        'name="twitter:card"': "summary",
    }
    if app.config.html_baseurl:
        base = app.config.html_baseurl.rstrip("/")
        tags['property="og:url"'] = f"{base}/{pagename}.html"
        tags['property="og:image"'] = f"{base}/_images/search.png"
    context["metatags"] = context.get("metatags", "") + "".join(
        f'\n<meta {name} content="{escape(value)}">' for name, value in tags.items()
    )


def setup(app):
    """Register the tags with Sphinx."""
    app.connect("html-page-context", add_tags)
    return {"parallel_read_safe": True}
