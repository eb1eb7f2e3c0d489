"""The pages and the card, filled in."""

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


def render(template: str, **values: object) -> str:
    """Fill in a file of training/templates/."""
    return _ENVIRONMENT.get_template(template).render(**values)


def data_uri(figure: Figure) -> str:
    """A plot as a PNG inside the page itself."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
