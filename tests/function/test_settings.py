"""Settings: what each variable takes, and README.md's table of them."""

from __future__ import annotations

import re

import pytest

from serving.settings import BUNDLED_RELEASE, RENAMED, Settings, SettingsError, from_environment, variables
from tests.conftest import FUNCTION, ROOT
from tests.server import refusal


def rows() -> list[tuple[str, ...]]:
    """The cells of README.md's table of settings."""
    _, _, rest = (ROOT / "README.md").read_text().partition("| setting | default | |\n|---|---|---|\n")
    lines = re.match(r"(\|.*\n)+", rest)
    assert lines is not None
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines[0].splitlines()]


def test_readme_lists_every_setting_with_its_default_and_meaning_and_no_other() -> None:
    known = [
        (f"`{variable.name}`", f"`{variable.default}`" if variable.default else "", variable.meaning)
        for variable in variables()
    ]
    assert rows() == known


def test_every_variable_read_from_the_environment_is_a_setting() -> None:
    deployed = (FUNCTION / "main.py", *(FUNCTION / "serving").rglob("*.py"))
    sources = "\n".join(path.read_text() for path in deployed)
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z0-9_]+)\"", sources))
    # The emulator of cloud storage is for tests; Google's own clients read the same name.
    assert read - {variable.name for variable in variables()} <= {"STORAGE_EMULATOR_HOST"}


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = from_environment({})
    assert settings == Settings()
    assert settings.model_uri == str(BUNDLED_RELEASE)
    assert settings.heads == ("age", "gender")
    assert settings.limits.max_pixels == 50_000_000
    assert (settings.api_key, settings.cors_origins, settings.http_port) == ("", (), None)
    blank = {variable.name: " " for variable in variables() if variable.name != "MODEL_URI"}
    assert from_environment(blank) == settings


def test_values_are_read() -> None:
    settings = from_environment(
        {
            "HEADS": "ethnicity, age",
            "MODEL_SHA256": "AB" * 32,
            "MIN_IMAGE_SIDE": "40",
            "CORS_ORIGINS": "https://a.example, http://localhost:3000",
            "LOG_LEVEL": "warning",
            "AIP_HTTP_PORT": "8085",
            "AIP_PREDICT_ROUTE": "/v1/endpoints/1:predict",
        }
    )
    assert settings.heads == ("age", "ethnicity")
    assert settings.model_sha256 == "ab" * 32
    assert settings.limits.min_image_side == 40
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.log_level == "WARNING"
    assert settings.http_port == 8085
    assert settings.predict_route == "/v1/endpoints/1:predict"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADS", "age,mood", "'age,mood'"),
        ("HEADS", ",", "one or more of age, gender, ethnicity"),
        ("MAX_IMAGES", "0", "above 0"),
        ("MAX_IMAGES", "-1", "above 0"),
        ("MAX_PIXELS", "1e6", "whole number"),
        ("MIN_IMAGE_SIDE", "٣", "whole number"),
        ("MODEL_SHA256", "abc", "64 hexadecimal digits"),
        ("MANIFEST_SHA256", "x" * 64, "64 hexadecimal digits"),
        ("MODEL_URI", "", "no empty text: unset it"),
        ("MODEL_URI", "s3://bucket/1", "a folder or gs://bucket/path"),
        ("API_KEY", "short", "16 or more"),
        ("API_KEY", "a key with spaces in it", "without spaces"),
        ("CORS_ORIGINS", "*", "https://app.example"),
        ("CORS_ORIGINS", "https://app.example/", "'https://app.example/'"),
        ("LOG_LEVEL", "LOUD", "INFO, WARNING, ERROR"),
        ("AIP_HTTP_PORT", "70000", "1 to 65535"),
        ("AIP_HEALTH_ROUTE", "health", "a path such as"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_can(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is .*; it takes ") as error:
        from_environment({name: value})
    assert said in str(error.value)


def test_a_key_that_cannot_be_used_is_not_repeated() -> None:
    message = refusal(FUNCTION, API_KEY="to-o-short")
    assert message == (
        "cannot start: API_KEY is no usable value; it takes 16 or more printable ASCII characters without spaces"
    )


@pytest.mark.parametrize(("former", "name"), RENAMED.items())
def test_a_variable_of_a_former_version_is_refused_with_its_new_name(former: str, name: str) -> None:
    assert name in {variable.name for variable in variables()}
    with pytest.raises(SettingsError, match=f"^{former} is now {name}: rename it$"):
        from_environment({former: "1"})


def test_the_function_does_not_start_with_a_former_variable() -> None:
    assert refusal(FUNCTION, REQUEST_SECONDS="5") == "cannot start: REQUEST_SECONDS is now REQUEST_TIMEOUT: rename it"
