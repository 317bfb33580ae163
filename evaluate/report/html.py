"""Results -> report.html: one file that opens from a file share and fetches nothing.

Owns that the page is closed: style, script and font are inside it, and its own security policy (a
CSP of hashes) refuses everything else, so a value of the results can neither run nor fetch.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from functools import partial
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ecgpipe.drawing.plot import Plot
from ecgpipe.drawing.plot_rendering import DrawnPlots
from ecgpipe.drawing.web_font import embedded_font
from ecgpipe.evaluate.report.markdown import cell_text
from ecgpipe.evaluate.report.page import page_view
from ecgpipe.evaluate.report.verdict import Verdict
from ecgpipe.evaluate.results import Metric, Results
from ecgpipe.evaluate.table import shown
from ecgpipe.evaluate.words import LANGUAGES, Words, word


def render_html(
    results: Results,
    pictures: Mapping[str, bytes] | None = None,
    drawn: DrawnPlots | None = None,
) -> str:
    """The whole report as one HTML page.

    Args:
        results: of an evaluation.
        pictures: by record id, a PNG of each example ECG; an ECG may have none.
        drawn: keeps the charts that are also written to files, so that none is drawn twice.
    """
    language = results["config"]["text"]["language"]
    style, script = _shipped("page.css"), _shipped("page.js")
    view = page_view(results, pictures or {}, language)
    slot = secrets.token_hex()  # a placeholder for what depends on the rest of the page
    page = _template(drawn or DrawnPlots()).render(
        **view, style=Markup(style), script=Markup(script), font_style=slot, policy=slot
    )
    font_style = _font_style(page)
    policy = (
        "default-src 'none'; "
        f"style-src {_hash(style)}{' ' + _hash(font_style) if font_style else ''}; "
        f"script-src {_hash(script)}; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    before, middle, after = page.split(slot)
    return str(before + policy + middle + font_style + after)


def _template(drawn: DrawnPlots) -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        t=_both, w=lambda *names, **parts: _both(word(*names, **parts)), word=word,
        labels=_labels, heads=_heads, chart_images=partial(_chart_images, drawn),
        interval=_interval_bar, versus=_versus_bars, shown_value=_value, shown_interval=_interval,
        shown_number=_bare,
        count=lambda value: cell_text("count", value, "en"), sort_value=_sort_value,
    )  # fmt: skip
    return environment.from_string(_shipped("page.html"))


def _shipped(name: str) -> str:
    file = resources.files("ecgpipe.evaluate") / "report" / name
    return file.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _font_style(page: str) -> str:
    """A font with the Japanese letters of this page, for a computer without one."""
    font = embedded_font(page)
    if font is None:
        return ""
    source = base64.b64encode(font).decode()
    return (
        '@font-face{font-family:"ecgpipe-ja";'
        f'src:url("data:font/woff;base64,{source}") format("woff")}}'
    )


def _both(words: Words) -> Markup:
    """Words in both languages, of which the page shows one."""
    if words["ja"] == words["en"]:
        return Markup(escape(words["en"]))
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format(language, words[language])
        for language in LANGUAGES
    )


def _heads(words: Words) -> Markup:
    return Markup('data-head-ja="{}" data-head-en="{}"').format(words["ja"], words["en"])


def _labels(words: Words) -> Markup:
    """An aria-label with its text in each language, for the page's switch."""
    return Markup('aria-label="{}" data-ja="{}" data-en="{}"').format(
        words["en"], words["ja"], words["en"]
    )


def _chart_images(drawn: DrawnPlots, plot: Plot) -> Markup:
    """A chart as an image in each language, of which the page shows one.

    An image is a document by itself: its ids and styles meet neither the page's nor its policy.
    """
    return Markup("").join(
        Markup('<img class="plot" lang="{}" alt="{}. {}" src="data:image/svg+xml,{}">').format(
            language,
            plot.title[language],
            plot.about[language],
            quote(b" ".join(drawn.bytes_of(plot, language, "svg").split()), " /:;=,()"),
        )
        for language in LANGUAGES
    )


def _interval_bar(metric: Metric) -> Markup:
    """A metric between 0 and 1 as a dot with its interval."""
    parts = ['<path class="track" d="M0 6H100"/>', *_dot_and_span(metric, 100, 6, "span", "dot")]
    return Markup(
        f'<svg class="bar" viewBox="-4 0 108 12" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _versus_bars(said: Verdict) -> Markup:
    """A metric above its best baseline, on the same scale from 0 to 1."""
    parts = [f'<path class="track" d="M{x} 2v26"/>' for x in (0, 50, 100, 150, 200)]
    parts += _dot_and_span(said.metric, 200, 9, "span", "dot")
    parts += _dot_and_span(said.baseline_metric, 200, 21, "base", "base-dot")
    return Markup(f'<svg viewBox="-5 0 210 30" aria-hidden="true">{"".join(parts)}</svg>')


def _dot_and_span(metric: Metric | None, width: int, y: int, span: str, dot: str) -> Iterator[str]:
    """SVG of a metric and its interval, 0 to 1 drawn from 0 to `width`; CSS classes as given."""
    if metric is None or metric["value"] is None:
        return
    value, low, high = (
        None if each is None else width * min(max(each, 0.0), 1.0)
        for each in (metric["value"], metric["low"], metric["high"])
    )
    if low is not None and high is not None:
        yield f'<path class="{span}" d="M{low:.1f} {y}H{high:.1f}"/>'
    yield f'<circle class="{dot}" cx="{value:.1f}" cy="{y}" r="3.3"/>'


def _value(kind: str, metric: Metric) -> str:
    return shown(kind, metric, interval=False)


def _bare(kind: str, value: float | None) -> str:
    return _value(kind, {"value": value, "low": None, "high": None})


def _interval(kind: str, metric: Metric) -> str:
    ends = (metric["low"], metric["high"])
    return "–".join(_bare(kind, end).removesuffix(" %") for end in ends)


def _sort_value(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("value")
    return "" if value is None else f"{value:.6g}"
