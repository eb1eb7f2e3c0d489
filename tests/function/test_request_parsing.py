"""Images as clients send them: content types, base64, forms."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import tracemalloc
from typing import Any

import httpx
import pytest

from serving.request_parsing import decode_base64
from tests.server import Server
from training.faces import draw

# Its base64 has padding, + and /.
FACE = draw(30, 1, 2, seed=7) + b"\xfb\xff\xbe\0"
TEXT = base64.b64encode(FACE).decode()
PLUSES = TEXT.count("+")


def predictions(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def post_json(server: Server, *texts: object) -> httpx.Response:
    content = json.dumps({"instances": [{"b64": text} for text in texts]})
    return server.post(content.encode(), "application/json")


@pytest.fixture(scope="module")
def expected(server: Server) -> Any:
    return predictions(server.post(FACE))


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "application/x-www-form-urlencoded", "image/*", "image/jpg"]
)
def test_an_image_is_known_by_its_bytes_under_any_type(server: Server, expected: Any, content_type: str) -> None:
    assert predictions(server.post(FACE, content_type)) == expected


def test_an_image_needs_no_content_type(server: Server, expected: Any) -> None:
    response = httpx.post(f"{server.url}/predict", content=FACE, timeout=30)
    assert "Content-Type" not in response.request.headers
    assert predictions(response) == expected


def test_the_shortest_command_of_curl_works(server: Server, expected: Any) -> None:
    command = ["curl", "-sS", "--data-binary", "@-", f"{server.url}/predict"]
    done = subprocess.run(command, input=FACE, capture_output=True, check=True)
    assert json.loads(done.stdout)["predictions"] == expected


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/octet-stream", "application/octet-stream, and the body is not a JPEG, PNG, WebP or AVIF"),
        ("", "Content-Type is missing, and the body"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded, and the body"),
        ("text/plain", "Content-Type is text/plain; send one of image/jpeg"),
    ],
)
def test_other_bytes_of_an_unspecific_type_are_refused(server: Server, content_type: str, said: str) -> None:
    response = server.post(b"a=b", content_type)
    assert response.status_code == 415
    assert said in response.json()["detail"]


def wrapped(text: str, width: int, end: str) -> str:
    return end.join(text[begin : begin + width] for begin in range(0, len(text), width))


VARIANTS = {
    "lines of 76": wrapped(TEXT, 76, "\n"),
    "lines of MIME": base64.encodebytes(FACE).decode(),
    "CR LF": wrapped(TEXT, 64, "\r\n"),
    "indented": wrapped(TEXT, 60, "\n    "),
    "blanks": wrapped(TEXT, 76, " "),
    "tabs": wrapped(TEXT, 8, "\t"),
    "line break at the end": TEXT + "\n",
    "space around": f"  {TEXT} ",
    "no padding": TEXT.rstrip("="),
    "too much padding": TEXT.rstrip("=") + "====",
    "url-safe": base64.urlsafe_b64encode(FACE).decode(),
    "url-safe without padding": base64.urlsafe_b64encode(FACE).decode().rstrip("="),
    "data URI": f"data:image/jpeg;base64,{TEXT}",
    "data URI in capitals": f"DATA:image/jpeg;charset=utf-8;BASE64,{TEXT}",
    "data URI without a type, in lines": "data:;base64," + wrapped(TEXT, 76, "\r\n"),
}


@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS.keys())
def test_base64_as_clients_write_it(server: Server, expected: Any, text: str) -> None:
    assert decode_base64(text) == FACE
    assert predictions(post_json(server, text)) == expected


def test_base64_of_any_length_in_any_variant_is_the_same() -> None:
    for seed in range(300):
        dice = random.Random(seed)  # noqa: S311
        data = dice.randbytes(dice.randint(0, 70))
        text = dice.choice([base64.b64encode, base64.urlsafe_b64encode])(data).decode()
        text = dice.choice([text, text.rstrip("=")])
        text = wrapped(text, dice.randint(1, 30), dice.choice(["", "\n", "\r\n", "\t"]))
        assert decode_base64(text) == data, f"seed {seed}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%%%", "other characters"),
        ("A", "is incomplete"),
        ("AA=A", "is incomplete"),
        ("héé", "other characters"),
        ("data:image/jpeg,AAAA", "does not say ;base64"),
        (TEXT.replace("+", " "), "was each + turned into a space?"),
    ],
)
def test_what_is_not_base64_says_why(server: Server, text: str, said: str) -> None:
    response = post_json(server, text)
    assert response.status_code == 400
    assert "instance 0 is not base64: " in response.json()["detail"]
    assert said in response.json()["detail"]


def test_a_lost_plus_never_gives_another_image() -> None:
    for seed in range(200):
        dice = random.Random(seed)  # noqa: S311
        text = base64.b64encode(dice.randbytes(600)).decode()
        if text.count("+") > 1 and text.replace("+", " ").strip() == text.replace("+", " "):
            with pytest.raises(ValueError, match="space"):
                decode_base64(text.replace("+", " "))


@pytest.mark.parametrize("bad", ["***", None, 7])
def test_a_bad_instance_among_others_fails_alone(server: Server, expected: Any, bad: object) -> None:
    found = predictions(post_json(server, TEXT, bad, TEXT))
    assert [found[0], found[2]] == expected * 2
    assert found[1]["error"]["status"] == 400
    assert found[1]["error"]["detail"].startswith("instance 1 ")
    assert post_json(server, bad).status_code == 400


def part(data: bytes, disposition: str, content_type: str = "") -> bytes:
    head = f"--XyZ\r\nContent-Disposition: form-data; {disposition}\r\n"
    return (head + (f"Content-Type: {content_type}\r\n" if content_type else "") + "\r\n").encode() + data + b"\r\n"


FILE = part(FACE, 'name="f"; filename="a.jpg"', "image/jpeg")
BARE = part(FACE, 'name="f"', "image/jpeg")
FIELD = part(b"some notes", 'name="notes"')
END = b"--XyZ--\r\n"
BOUNDARY = "multipart/form-data; boundary=XyZ"


@pytest.mark.parametrize(
    ("parts", "count"),
    [
        (FILE, 1),
        (BARE, 1),
        (FILE + BARE, 2),
        (FIELD + BARE + FIELD, 1),
        (b"a preamble\r\n" + FILE.replace(b"\r\n--", b"\n--") + FILE, 2),
        (part(FACE, 'name="f"; filename=""'), 1),
        (part(FACE, "name=\"f\"; filename*=UTF-8''%e8%84%b8.jpg"), 1),
    ],
)
def test_every_image_of_a_form_counts(server: Server, expected: Any, parts: bytes, count: int) -> None:
    assert predictions(server.post(parts + END, BOUNDARY)) == expected * count


@pytest.mark.parametrize(
    ("content", "content_type", "said"),
    [
        (FILE + END, "multipart/form-data", "has no boundary"),
        (FILE + END, "multipart/form-data; boundary=other", "does not contain the boundary"),
        (FILE, BOUNDARY, "closing boundary is missing"),
        (FILE + FILE, BOUNDARY, "closing boundary is missing"),
        (FILE + FILE[:-1500], BOUNDARY, "closing boundary is missing"),
        (FILE + FILE + b"--XyZ\r\n", BOUNDARY, "closing boundary is missing"),
        (FIELD + END, BOUNDARY, "field 'notes' has no filename"),
        (part(FACE, 'name="image"') + END, BOUNDARY, "field 'image' has no filename"),
        # An image beside another one would be lost.
        (FILE + part(FACE, 'name="second"') + END, BOUNDARY, "field 'second' has no filename"),
        (FILE.replace(b"Content-Disposition", b"X") + END, BOUNDARY, "the form is malformed"),
    ],
)
def test_a_form_that_loses_an_image_says_what_is_missing(
    server: Server, content: bytes, content_type: str, said: str
) -> None:
    response = server.post(content, content_type)
    assert response.status_code == 400
    assert said in response.json()["detail"]


def test_forms_in_any_pieces_are_never_read_as_fewer_images(server: Server, expected: Any) -> None:
    whole = FILE + BARE + FILE + END
    for length in range(len(FILE), len(whole) - len(END), 997):
        assert server.post(whole[:length], BOUNDARY).status_code == 400
    assert predictions(server.post(whole, BOUNDARY)) == expected * 3


@pytest.mark.parametrize("path", ["/predict/", "/health/", "/v2/"])
def test_a_path_with_a_slash_at_its_end_names_the_path_without_it(server: Server, path: str) -> None:
    response = server.post(FACE, path=path)
    assert response.status_code == 404
    assert f"use {path[:-1]}, without the slash at its end" in response.json()["detail"]


@pytest.mark.parametrize("line", ["AAAA\n", "A\n", "AAAA \r\n"])
def test_short_lines_take_little_more_memory_than_the_text(line: str) -> None:
    count = 400_000
    text = line * count
    tracemalloc.start()
    try:
        found = decode_base64(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == bytes(len(line.strip()) * count * 3 // 4)
    # A list of the lines would take fourteen times the text.
    assert peak < 4 * len(text)


def test_what_is_not_ascii_is_not_base64() -> None:
    for text in ("AAA\ud800", "AAA\u00e9", "AAAA\u00a0"):
        with pytest.raises(ValueError, match="other characters than A-Z"):
            decode_base64(text)
