"""Draws the comparison of benches/network.py from the figures that it recorded, without measuring anything.

    python3 benches/chart.py [PATH]

The picture is one SVG for light and dark pages, without a script or anything from outside.
"""

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benches/network.json"
CHART = ROOT / "docs/images/network.svg"

WIDTH, MARGIN = 800, 24
# Where bars begin, and the longest one; what is left of them is for names, what is right for figures.
LEFT, LONGEST = 312, 250
ROW, BAR = 30, 18

# Each colour on its background has a contrast of 4.5 or more where it is text, and of 3 where it is a bar.
STYLE = """\
    text { font: 13px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
    .head { font-size: 17px; font-weight: 600 }
    .panel { font-size: 14px; font-weight: 600 }
    .note { font-size: 12px; fill: #59636e }
    .own { font-weight: 600 }
    .page { fill: #ffffff; stroke: #d1d9e0 }
    .bar { fill: #818b98 }
    .bar.own { fill: #1a7f37 }
    .floor { stroke: #1f2328; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .note { fill: #9198a1 }
      .page { fill: #0d1117; stroke: #3d444d }
      .bar { fill: #656c76 }
      .bar.own { fill: #3fb950 }
      .floor { stroke: #f0f6fc }
    }"""


def shown(name, value):
    """A figure as it stands in the tables and in the picture."""
    return str(value) if name == "connections" else f"{value:.{2 if name == 'times_the_floor' else 1}f}"


def text(x, y, words, kind=None):
    return f'  <text x="{x}" y="{y}"' + (f' class="{kind}"' if kind else "") + f">{escape(words)}</text>"


def bars(top, programs, name, told):
    """A bar for each program from here on, with what is told of it."""
    scale = LONGEST / max(row[name] for row in programs)
    for number, row in enumerate(programs):
        y, length = top + number * ROW, row[name] * scale
        kind = "own" if number == 0 else None
        bar = "bar own" if row["name"].startswith("equinix-wif") else "bar"
        yield text(MARGIN, y + 14, row["name"], kind)
        yield f'  <rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" class="{bar}"/>'
        yield text(f"{LEFT + length + 8:.1f}", y + 14, told(row), kind)


def draw(told):
    """The picture as SVG."""
    delayed, loopback = told["delayed"], told["loopback"]
    wall = lambda row: f"{shown('ms', row['ms'])} ms, {shown('round_trips', row['round_trips'])} round trips"
    processor = lambda row: f"{shown('processor_ms', row['processor_ms'])} ms"
    # The floor's line is as long as the bars of the first panel.
    first = 122
    last = first + len(delayed["programs"]) * ROW
    floor = LEFT + LONGEST * delayed["floor_ms"] / max(row["ms"] for row in delayed["programs"])
    second = last + 64
    height = second + len(loopback["programs"]) * ROW + 34
    title = "What a job waits for its access token"
    waits = f"With {told['delay_ms']} ms there and back on every packet"
    works = "Processor time, without delay"
    lowest = f"the floor: four round trips, {shown('floor_ms', delayed['floor_ms'])} ms"
    made = f"{told['machine']} · {told['date']} · medians of {told['rounds']} runs · benches/network.py"
    description = [f"{row['name']}: {wall(row)}" for row in delayed["programs"]]
    description += [f"{row['name']}: {processor(row)} of processor time" for row in loopback["programs"]]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title description">',
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="description">{escape(f"{waits}, {lowest}. " + "; ".join(description) + f". {made}")}</desc>',
        f"  <style>\n{STYLE}\n  </style>",
        f'  <rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6" class="page"/>',
        text(MARGIN, 36, title, "head"),
        text(MARGIN, 58, made, "note"),
        text(MARGIN, first - 20, waits, "panel"),
        *bars(first, delayed["programs"], "ms", wall),
        f'  <line x1="{floor:.1f}" y1="{first - 8}" x2="{floor:.1f}" y2="{last}" class="floor"/>',
        text(f"{floor + 8:.1f}", last + 4, lowest, "note"),
        text(MARGIN, second - 16, works, "panel"),
        *bars(second, loopback["programs"], "processor_ms", processor),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else CHART).write_text(draw(json.loads(FIGURES.read_text())))
