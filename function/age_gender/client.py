"""The typed client of a deployed function; it needs nothing but the standard library.

client = Client("https://faces.example", api_key=os.environ.get("AGE_GENDER_API_KEY"))
(answer,) = client.predict([Path("face.jpg").read_bytes()])
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from age_gender.prediction import Prediction, failure, parse
from age_gender.transport import RETRIED, Reply, ServerError, Transport

# Statuses that speak of the images sent; every other failure speaks of the request or the server.
OF_IMAGES = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


class Client:
    """Asks one deployed function; may be used from many threads."""

    # What one request carries at most: images, and bytes of them. A server that allows less is sent less.
    max_images = 16
    max_bytes = 8 * 2**20

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 60.0, attempts: int = 5) -> None:
        """Prepare, without connecting.

        Args:
            url: where the function is, without `/predict`.
            api_key: sent as `X-API-Key`, for a deployment that asks for one.
            timeout: seconds that connecting and each read may take.
            attempts: tries of one request; 429, 502, 503, 504 and broken connections are tried again.

        Raises:
            ServerError: `url` is none.
        """
        self._transport = Transport(url, {"X-API-Key": api_key} if api_key else {}, timeout, attempts)
        self._url = url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._transport.close()

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """One answer an image, in the order given; an image that cannot be answered has an `error`.

        Raises:
            ServerError: the server is not reached, does not allow it, or is not this function.
        """
        return [prediction for some in self._portions(images) for prediction in self._ask(some)]

    def _portions(self, images: Sequence[bytes]) -> Iterator[list[bytes]]:
        portion: list[bytes] = []
        for image in images:
            full = len(portion) == self.max_images or sum(map(len, portion)) + len(image) > self.max_bytes
            if portion and full:
                yield portion
                portion = []
            portion.append(image)
        if portion:
            yield portion

    def _ask(self, images: list[bytes]) -> list[Prediction]:
        reply = self._transport.post("/predict", *_form(images))
        if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(images) > 1:
            half = len(images) // 2
            return self._ask(images[:half]) + self._ask(images[half:])
        try:
            predictions = self._read(reply, len(images))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ServerError(f"{self._url} answers {reply.status}, but not as this function does") from error
        if len(predictions) != len(images):
            raise ServerError(f"{self._url} gave {len(predictions)} answers for {len(images)} images")
        return self._without_late(images, predictions)

    def _without_late(self, images: list[bytes], predictions: list[Prediction]) -> list[Prediction]:
        """The server had no time for some of a batch, while it had for others: they are asked again."""
        late = [number for number, each in enumerate(predictions) if each.error and each.error.status in RETRIED]
        if not late or len(late) == len(images):
            return predictions
        again = iter(self._ask([images[number] for number in late]))
        return [next(again) if number in late else each for number, each in enumerate(predictions)]

    def _read(self, reply: Reply, count: int) -> list[Prediction]:
        body: Any = json.loads(reply.body)
        if reply.status == HTTPStatus.OK:
            return [parse(prediction) for prediction in body["predictions"]]
        if reply.status in OF_IMAGES:
            problems = body.get("errors", [body]) if count > 1 else [body]
            return [Prediction(error=failure(problem)) for problem in problems]
        detail = failure(body).detail or failure(body).title
        raise ServerError(f"{self._url} answers {reply.status}: {detail}")


def _form(images: Sequence[bytes]) -> tuple[bytes, str]:
    """The images as `multipart/form-data` (RFC 7578), a quarter smaller than base64; and its content type."""
    boundary = secrets.token_hex(16)
    parts = []
    for number, image in enumerate(images):
        disposition = f'Content-Disposition: form-data; name="image"; filename="{number}"'
        parts += [f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()]
        parts += [image, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
