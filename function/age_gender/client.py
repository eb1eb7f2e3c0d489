"""Typed client for a deployed function. It needs nothing but the standard library.

with Client("https://faces.example", api_key=os.environ.get("AGE_GENDER_API_KEY")) as client:
    (detection,) = client.detect("photo.jpg")
    (prediction,) = client.predict("face.jpg")
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from age_gender.detection import Detection, Result, detect_all
from age_gender.image_files import Image, contents
from age_gender.prediction import Prediction, PredictionError, parse_problem
from age_gender.transport import RETRIED, Response, ServerError, Transport, check_header
from serving.prediction import PROBABILITIES

# Statuses that concern an image. Other failures concern the request or the server.
_IMAGE_STATUSES = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_TOO_LARGE = PredictionError(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase,
    "the server accepts no image of this size; send a smaller one",
)
# The function may be set to find faces unless a request says otherwise.
_PREDICT, _DETECT = "/predict?detect=false", "/detect"
_ROUTES = ("/predict", "/detect")
_WITHOUT_DETECT = "an older function has no POST /detect: update it, or send aligned faces to be predicted"
# Characters of a foreign `Location` that a message repeats.
_QUOTED = 200


class Client:
    """Client for one deployed function. Safe for several threads."""

    max_images = 16
    """Images in one request, at most. A server with a lower limit gets smaller requests."""
    max_bytes = 8 * 2**20
    """Bytes of images in one request, at most; a larger image has a request to itself."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 60.0,
        attempts: int = 5,
        *,
        headers: Mapping[str, str] | None = None,
        identity_token: str | Callable[[], str] | None = None,
        probabilities: bool = False,
    ) -> None:
        """Prepare without connecting. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment apply.

        Args:
            url: URL of the function, with or without `/predict` or `/detect` at its end.
            api_key: value of `X-API-Key`, for a deployment that requires one.
            timeout: seconds for connecting, and for each read.
            attempts: attempts at one request; 429, 502, 503, 504 and broken connections are retried.
            headers: more headers of every request.
            probabilities: ask for what each prediction was chosen from, which `age-gender summarize` needs.
            identity_token: sent as `Authorization: Bearer`, for a private Cloud Run service; or a function that returns
                a valid one for each attempt, such as `age_gender.identity.IdentityTokens(url)`.

        Raises:
            ServerError: the URL or the proxy's is invalid.
            ValueError: a header is invalid.
        """
        self._headers = {**(headers or {}), **({"X-API-Key": api_key} if api_key else {})}
        self._token = identity_token
        self._probabilities = probabilities
        for name, value in self._headers.items():
            check_header(name, value)
        if isinstance(identity_token, str):
            check_header("Authorization", identity_token)
        url = _without_route(url.rstrip("/"))
        self._transport = Transport(url, self._request_headers, timeout, attempts)
        self._url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def predict(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """Return one prediction an image of one aligned face, in order; an image without one has an `error`.

        Args:
            images: one image or several. Each is its bytes, the path of its file, or a file opened in binary mode.

        Raises:
            ServerError: the server is unreachable, refuses the request, or is not this function.
            TypeError: something is no image.
            OSError: a file cannot be read.
        """
        portions = self._portions(contents(images))
        return [each for portion in portions for each in self._request(portion, _PREDICT, Prediction)]

    def detect(self, images: Image | Iterable[Image]) -> list[Detection]:
        """Return the faces of each image, in order; an image that could not be searched has an `error`.

        An image without a face is no error: its `faces` are empty.

        Args:
            images: one image or several. Each is its bytes, the path of its file, or a file opened in binary mode.

        Raises:
            ServerError: the server is unreachable, refuses the request, or is not this function.
            TypeError: something is no image.
            OSError: a file cannot be read.
        """
        portions = self._portions(contents(images))
        return [each for portion in portions for each in detect_all(portion, self._detect)]

    def _detect(self, images: list[bytes]) -> list[Detection]:
        return self._request(images, _DETECT, Detection)

    def _request_headers(self) -> dict[str, str]:
        if self._token is None:
            return self._headers
        token = self._token if isinstance(self._token, str) else self._token()
        return {**self._headers, "Authorization": f"Bearer {token}"}

    def _portions(self, images: Iterable[bytes]) -> Iterator[list[bytes]]:
        portion: list[bytes] = []
        for image in images:
            full = len(portion) == self.max_images or sum(map(len, portion)) + len(image) > self.max_bytes
            if portion and full:
                yield portion
                portion = []
            portion.append(image)
        if portion:
            yield portion

    def _request(self, images: list[bytes], path: str, kind: type[Result]) -> list[Result]:
        query = f"{'&' if '?' in path else '?'}{PROBABILITIES}=true" if self._probabilities else ""
        response = self._transport.post(path + query, *_form(images))
        if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(images) > 1:
            half = len(images) // 2
            return self._request(images[:half], path, kind) + self._request(images[half:], path, kind)
        try:
            results = [kind.parse(result) for result in self._read(response, len(images), path)]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                # A front end with a lower limit than the function's.
                return [kind(error=_TOO_LARGE)]
            raise ServerError(f"{self._url} returned {response.status} {_foreign(response)}") from error
        if len(results) != len(images):
            raise ServerError(f"{self._url} returned {len(results)} predictions for {len(images)} images")
        return self._repeat_late(images, results, path, kind)

    def _repeat_late(self, images: list[bytes], results: list[Result], path: str, kind: type[Result]) -> list[Result]:
        """Repeat the images that a busy server left out, as long as it had time for others."""
        late = [number for number, each in enumerate(results) if each.error and each.error.status in RETRIED]
        if not late or len(late) == len(images):
            return results
        repeated = iter(self._request([images[number] for number in late], path, kind))
        return [next(repeated) if number in late else each for number, each in enumerate(results)]

    def _read(self, response: Response, count: int, path: str) -> list[Any]:
        """Return the result of each image as JSON."""
        body: Any = json.loads(response.body)
        if response.status == HTTPStatus.OK:
            return list(body["predictions"])
        if response.status in _IMAGE_STATUSES:
            problems = body.get("errors", [body]) if count > 1 else [body]
            return [{"error": problem} for problem in problems]
        problem = parse_problem(body)
        if reason := problem.detail or problem.title:
            hint = f"; {_WITHOUT_DETECT}" if response.status == HTTPStatus.NOT_FOUND and path == _DETECT else ""
            raise ServerError(f"{self._url} returned {response.status}: {reason}{hint}")
        raise ValueError("no problem details")


def _without_route(url: str) -> str:
    for route in _ROUTES:
        url = url.removesuffix(route)
    return url


def _foreign(response: Response) -> str:
    """Explain a response that is not the function's."""
    if response.location:
        target = _without_route(response.location.partition("?")[0][:_QUOTED])
        return f"and redirects to {target!r}; use that URL if it is the function's"
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "from the proxy of the environment; it needs a user, as in http://name:password@host:port"
    if response.status in _REFUSALS:
        return (
            "before the function was reached. A private service needs an identity token of a member with "
            "roles/run.invoker: use --identity-token, or `gcloud run services proxy` and its local address"
        )
    return "and no response of this function; check the URL"


def _form(images: Sequence[bytes]) -> tuple[bytes, str]:
    """Return the images as `multipart/form-data` (RFC 7578), a quarter smaller than base64, and its content type."""
    boundary = secrets.token_hex(16)
    parts = []
    for number, image in enumerate(images):
        disposition = f'Content-Disposition: form-data; name="image"; filename="{number}"'
        parts += [f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()]
        parts += [image, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
