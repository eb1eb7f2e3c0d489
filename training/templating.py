"""Rendering of the templates of pages and the model card."""

from __future__ import annotations

import base64
import io
import re

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("training", "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _code(text: str) -> Markup:
    """Return HTML of a sentence with `commands` in backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


_ENVIRONMENT.filters["code"] = _code


def render(template: str, **values: object) -> str:
    """Render a file of training/templates/."""
    return _ENVIRONMENT.get_template(template).render(**values)


def data_uri(file: bytes, media_type: str) -> str:
    """Return a data: URI with the contents of a file."""
    return f"data:{media_type};base64,{base64.b64encode(file).decode()}"


def plot_uri(figure: Figure) -> str:
    """Return a data: URI with a plot as PNG."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90, bbox_inches="tight")
    return data_uri(png.getvalue(), "image/png")
