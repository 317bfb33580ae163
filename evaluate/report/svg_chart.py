"""A chart as SVG in the page: text in both languages, every colour doubled by a dash or marker.

Owns the mapping from a plot's coordinates to pixels. Writes presentation attributes and no style
attribute, which the page's security policy would refuse. `ecgpipe.drawing.plot_rendering` draws the
same chart into a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from ecgpipe.drawing.plot import Axis, Mark, Plot, Series
from ecgpipe.drawing.shapes import width_of
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.words import LANGUAGES, Words

_WIDTH, _WIDE = 460.0, 760.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 12.0, 42.0
_LABEL_PX = 11.5
_FAINT = "#c3c8ce"
_RULE = "#e3e6e9"

_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

# Corners of a marker of size 1, y downwards.
_CORNERS = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "diamond": ((0, -1.3), (1, 0), (0, 1.3), (-1, 0)),
    "wedge": ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    "pentagon": ((0, -1.15), (1.1, -0.35), (0.7, 0.95), (-0.7, 0.95), (-1.1, -0.35)),
}


def svg_chart(plot: Plot) -> str:
    """The chart's SVG element, without the legend (`svg_key`)."""
    width = _WIDTH if plot.aspect == 1 else _WIDE
    area = _Area(plot, width, (width - _LEFT - _RIGHT) * plot.aspect + _TOP + _BOTTOM)
    parts = [
        f'<svg class="plot" viewBox="0 0 {area.width:g} {area.height:.0f}" role="img"'
        f" {both_labels(plot.title, plot.about)}>",
        *area.frame(),
        *area.bars(),
        *area.diagonal(),
    ]
    for series in plot.series:
        parts += area.series(series)
    parts += area.labels()
    return "".join([*parts, "</svg>"])


def svg_key(series: Series) -> str:
    """The line or dot shown with a series' name in the legend."""
    look = series.look
    line = f'<line x1="1" y1="7" x2="31" y2="7" {_stroke(look, 2)}/>' if series.line else ""
    dot = _dot(16, 7, look, series.hollow, 3.6, series.faint) if series.dots else ""
    return f'<svg class="key" viewBox="0 0 32 14" aria-hidden="true">{line}{dot}</svg>'


def svg_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A metric between 0 and 1 as a dot with its interval."""
    if value is None:
        return '<svg class="bar" viewBox="0 0 100 12" aria-hidden="true"></svg>'
    parts = ['<line class="track" x1="0" y1="6" x2="100" y2="6"/>']
    if low is not None and high is not None:
        parts.append(
            f'<line class="span" x1="{100 * _unit(low):.1f}" y1="6" x2="{100 * _unit(high):.1f}"'
            ' y2="6"/>'
        )
    parts.append(f'<circle class="dot" cx="{100 * _unit(value):.1f}" cy="6" r="3"/>')
    return f'<svg class="bar" viewBox="-4 0 108 12" aria-hidden="true">{"".join(parts)}</svg>'


def svg_versus(metric: Metric | None, baseline: Metric | None) -> str:
    """A metric above its best baseline, on the same scale from 0 to 1."""
    rows = []
    for entry, y, line, dot in ((metric, 9, "span", "dot"), (baseline, 21, "base", "base-dot")):
        if entry is None or entry["value"] is None:
            continue
        low, high = entry["low"], entry["high"]
        if low is not None and high is not None:
            x1, x2 = 200 * _unit(low), 200 * _unit(high)
            rows.append(f'<line class="{line}" x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}"/>')
        rows.append(
            f'<circle class="{dot}" cx="{200 * _unit(entry["value"]):.1f}" cy="{y}" r="3.6"/>'
        )
    track = "".join(f'<path class="track" d="M{x} 2v26"/>' for x in (0, 50, 100, 150, 200))
    inner = track + "".join(rows)
    return f'<svg viewBox="-5 0 210 30" aria-hidden="true">{inner}</svg>'


def both_labels(words: Words, about: Words | None = None) -> str:
    """An aria-label with its text in each language, for the page's switch."""
    texts = {
        language: words[language] + (f". {about[language]}" if about else "")
        for language in LANGUAGES
    }
    each = " ".join(f'data-{lang}="{escape(text)}"' for lang, text in texts.items())
    return f'aria-label="{escape(texts["en"])}" {each}'


@dataclass(frozen=True)
class _Area:
    plot: Plot
    width: float
    height: float

    def x(self, value: float) -> float:
        return self._place(value, self.plot.x, _LEFT, self.width - _RIGHT)

    def y(self, value: float) -> float:
        return self._place(value, self.plot.y, self.height - _BOTTOM, _TOP)

    def frame(self) -> Iterator[str]:
        left, right = _LEFT, self.width - _RIGHT
        top, bottom = _TOP, self.height - _BOTTOM
        for tick, text in zip(self.plot.x.ticks, self.plot.x.tick_texts, strict=True):
            at = self.x(tick)
            yield f'<path d="M{at:.1f} {top}V{bottom:.1f}" stroke="{_RULE}"/>'
            yield _text(at, bottom + 15, text, "tick", "middle")
        for tick, text in zip(self.plot.y.ticks, self.plot.y.tick_texts, strict=True):
            at = self.y(tick)
            yield f'<path d="M{left} {at:.1f}H{right}" stroke="{_RULE}"/>'
            yield _text(left - 6, at + 3.5, text, "tick", "end")
        yield f'<path d="M{left} {top}V{bottom:.1f}H{right}" fill="none" stroke="#8a929a"/>'
        yield from _words((left + right) / 2, self.height - 7, self.plot.x.label, "axis", "middle")
        middle = (top + bottom) / 2
        yield f'<g transform="translate(12 {middle:.1f}) rotate(-90)">'
        yield from _words(0, 0, self.plot.y.label, "axis", "middle")
        yield "</g>"

    def bars(self) -> Iterator[str]:
        for left, right, height in self.plot.bars:
            x, wide = self.x(left), self.x(right) - self.x(left)
            y = self.y(height)
            yield (
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{max(wide - 2, 1):.1f}"'
                f' height="{self.y(0) - y:.1f}" fill="#dfe3e7"/>'
            )

    def diagonal(self) -> Iterator[str]:
        if self.plot.diagonal:
            axes = self.plot.x, self.plot.y
            (x1, x2), (y1, y2) = ((a.low, a.high) for a in axes)
            yield (
                f'<path d="M{self.x(x1):.1f} {self.y(y1):.1f}L{self.x(x2):.1f} {self.y(y2):.1f}"'
                ' stroke="#8a929a" stroke-dasharray="2 4"/>'
            )

    def series(self, series: Series) -> Iterator[str]:
        look = series.look
        points = [(self.x(x), self.y(y)) for x, y in series.points]
        if series.line and points:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            stroke = f'stroke="{_FAINT}"' if series.faint else _stroke(look, 2)
            yield f'<path d="{path}" fill="none" {stroke}/>'
        if series.dots:
            size = 3.2 if series.line else 2.5
            yield from (_dot(x, y, look, series.hollow, size, series.faint) for x, y in points)

    def labels(self) -> Iterator[str]:
        """Crosses with their words, each on the side where it covers the least."""
        points = [(self.x(label.x), self.y(label.y)) for label in self.plot.labels]
        for x, y in points:
            yield f'<path class="cross" d="M{x - 5:.1f} {y:.1f}h10M{x:.1f} {y - 5:.1f}v10"/>'
        taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
        for (x, y), label in zip(points, self.plot.labels, strict=True):
            room = max(width_of(label.text[language], _LABEL_PX) for language in LANGUAGES)
            sides = [
                (x + dx, y + dy, anchor, left)
                for dx, anchor, left in ((8, "start", x + 8), (-8, "end", x - 8 - room))
                for dy in (-4, 13)
            ]
            boxes = [(left, at - 10, left + room, at + 3) for _, at, _, left in sides]
            best = min(range(4), key=lambda n: self._covered(boxes[n], taken))
            taken.append(boxes[best])
            at_x, at_y, anchor, _ = sides[best]
            yield from _words(at_x, at_y, label.text, "label", anchor)

    def _covered(self, box: _Box, taken: list[_Box]) -> float:
        """The area of other labels that a box would cover, and how far it would cross the edge."""
        left, top, right, bottom = box
        beyond = max(0.0, _LEFT - left) + max(0.0, right - self.width + _RIGHT)
        overlaps = (
            max(0.0, min(right, r) - max(left, le)) * max(0.0, min(bottom, b) - max(top, t))
            for le, t, r, b in taken
        )
        return 100 * beyond + sum(overlaps)

    def _place(self, value: float, axis: Axis, start: float, end: float) -> float:
        return start + (end - start) * (value - axis.low) / (axis.high - axis.low)


def _words(x: float, y: float, words: Words, kind: str, anchor: str) -> Iterator[str]:
    for language in LANGUAGES:
        yield _text(x, y, words[language], kind, anchor, f' lang="{language}"')


def _text(x: float, y: float, text: str, kind: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>'
        f"{escape(text)}</text>"
    )


def _stroke(look: Mark, width: float) -> str:
    dashes = " ".join(f"{part:g}" for part in look.dash)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{look.colour}" stroke-width="{width:g}"{dash}'


def _dot(x: float, y: float, look: Mark, hollow: bool, size: float, faint: bool = False) -> str:
    colour = _FAINT if faint else look.colour
    s = size
    if look.marker == "circle":
        path = f"M{x - s:.1f} {y:.1f}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z"
    else:
        corners = ((x + size * dx, y + size * dy) for dx, dy in _CORNERS[look.marker])
        path = "M" + "L".join(f"{left:.1f} {top:.1f}" for left, top in corners) + "z"
    fill = "none" if hollow else colour
    return f'<path d="{path}" fill="{fill}" stroke="{colour}" stroke-width="0.9"/>'


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)
