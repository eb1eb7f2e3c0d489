"""Settings: accepted values, and their table in the reference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import httpx
import pytest

from docs.site import reference
from serving.settings import BUNDLED_RELEASE, RENAMED, Settings, SettingsError, from_environment, variables
from tests.conftest import FUNCTION, ROOT
from tests.function.test_logs import RUNTIME
from tests.ports import free_port
from tests.server import refusal, serve, start


def test_the_reference_lists_every_setting_with_default_and_meaning() -> None:
    assert "<!-- generated: settings -->" in (ROOT / "docs" / "reference" / "settings.md").read_text()
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in reference.settings().splitlines()[2:]]
    assert rows == [
        (f"`{variable.name}`", f"`{variable.default}`" if variable.default else "", variable.meaning)
        for variable in variables()
    ]


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
        ("REQUEST_TIMEOUT", "10000000000", "1 to 3600"),
        ("REQUEST_TIMEOUT", "0", "1 to 3600"),
        ("KEEPALIVE_TIMEOUT", "1.5", "1 to 3600"),
        ("THREADS", "abc", "1 to 999"),
        ("THREADS", "1000", "1 to 999"),
        ("WORKERS", "0", "1 to 999"),
        ("CLOUD_RUN_TIMEOUT_SECONDS", "abc", "0 for none, or whole seconds"),
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


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"THREADS": "abc"}, "THREADS is 'abc'; it takes a whole number, 1 to 999"),
        ({"WORKERS": "0"}, "WORKERS is '0'; it takes a whole number, 1 to 999"),
        (
            {"CLOUD_RUN_TIMEOUT_SECONDS": "abc"},
            "CLOUD_RUN_TIMEOUT_SECONDS is 'abc'; it takes 0 for none, or whole seconds, 1 to 3600",
        ),
        ({"SCRIPT_NAME": "/x"}, "SCRIPT_NAME is set, and the function has no paths below a prefix: unset it"),
    ],
)
def test_a_wrong_setting_of_the_server_is_one_line(environment: dict[str, str], said: str) -> None:
    assert all_errors(free_port(), environment) == f"cannot start: {said}\n"


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_does_not_exist_is_one_line(port: int) -> None:
    assert all_errors(port, {}) == f"cannot start: PORT is {port}; it takes a port, 1 to 65535\n"


def test_a_system_without_a_folder_for_temporary_files_is_one_line() -> None:
    # No file may have a byte, so no folder passes Python's own test.
    none = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); {RUN}"
    assert all_errors(free_port(), {"PYTHONDONTWRITEBYTECODE": "1"}, none) == (
        "cannot start: there is no writable folder for temporary files; set TMPDIR to one, such as /dev/shm\n"
    )


RUN = "runpy.run_module('functions_framework', run_name='__main__', alter_sys=True)"


def all_errors(port: int, environment: dict[str, str], code: str = f"import runpy; {RUN}") -> str:
    """Start the function, which must fail, and return everything that it writes."""
    arguments = ["--source", FUNCTION / "main.py", "--target", "predict", "--host", "127.0.0.1", "--port", port]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = (done.stdout + done.stderr).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() != RUNTIME)


def test_empty_settings_of_the_server_are_the_defaults() -> None:
    with serve(FUNCTION, THREADS="", WORKERS="", CLOUD_RUN_TIMEOUT_SECONDS="") as server:
        assert server.get("/health").is_success


def test_an_ipv6_host_needs_no_brackets(face: bytes) -> None:
    port = free_port()
    process = start(FUNCTION, port, {}, host="::1")
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                assert httpx.get(f"http://[::1]:{port}/health", timeout=30).is_success
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(process.communicate()[1])
    finally:
        process.terminate()
        process.communicate(timeout=30)
