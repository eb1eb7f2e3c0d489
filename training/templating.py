"""Rendering of the templates of pages and the model card."""

from __future__ import annotations

import base64
import io

import jinja2
from matplotlib.figure import Figure

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("training", "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["percent"] = lambda share: f"{100 * share:.0f} %"


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
