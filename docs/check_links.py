"""Check the links between built pages, anchors and pictures included: check_links.py FOLDER."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Collects what a page links to, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note links, pictures and identifiers."""
        attrs = dict(attrs)
        self.anchors.update(attrs[key] for key in ("id", "name") if attrs.get(key))
        self.links.update(attrs[key] for key in ("href", "src") if attrs.get(key))


folder = Path(sys.argv[1]).resolve()
# What the theme brings along in _static are templates.
pages = {
    path: Page(path) for path in folder.rglob("*.html") if "_static" not in path.parts
}
broken = []
for path, page in pages.items():
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchor = unquote(parts.fragment)
        if not target.exists():
            broken.append(f"{path.relative_to(folder)}: {link}")
        elif anchor and target in pages and anchor not in pages[target].anchors:
            broken.append(
                f"{path.relative_to(folder)}: {link} (no such place on that page)"
            )
print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")
sys.exit("\n".join(["Broken:", *sorted(broken)]) if broken else 0)
