"""Take the pictures of the report that report.md shows: python docs/report_figures.py.

The report is the one of tutorial.md, whose code is run. The pictures are taken by Chromium.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
from PIL import Image

DOCS = Path(__file__).parent
# The size of the window, and the sections that are visible.
PICTURES = {
    "report_desktop": ((1100, 1250), ["summary", "data"]),
    "report_labels": ((1100, 1400), ["labels", "curves", "mistakes"]),
    "report_phone": ((390, 1400), ["summary", "labels"]),
}

browser = shutil.which("chromium") or shutil.which("google-chrome")
if browser is None:
    sys.exit("chromium must be on the path, for example by: apt install chromium")
matplotlib.use("agg")
tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
code = "\n".join(re.findall(r"^```python\n(.*?)^```", tutorial, re.S | re.M))
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    exec(compile(code, "tutorial.md", "exec"), {"__name__": "tutorial"})
    report = Path("report.html").read_text(encoding="utf-8")
    for name, ((width, height), sections) in PICTURES.items():
        others = "section" + "".join(f":not(#{section})" for section in sections)
        style = f"<style>{others} {{ display: none }}</style>"
        page, picture = Path(folder, "page.html"), Path(folder, "page.png")
        page.write_text(report.replace("</head>", style + "</head>"), encoding="utf-8")
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--hide-scrollbars"),
                *(f"--window-size={width},{height}", f"--screenshot={picture}"),
                page.as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        target = DOCS / "images" / f"{name}.png"
        # 128 colours are enough, and make the file half as large.
        Image.open(picture).convert("RGB").quantize(128).save(target, optimize=True)
        print(target.name, target.stat().st_size // 1000, "kB")
