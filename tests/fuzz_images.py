"""Coverage-guided fuzzing of the decoder: any bytes give pixels or an ImageError.

python -m tests.fuzz_images [seconds]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

SECONDS = 600
# Bytes. Larger inputs slow the search down and reach nothing new.
MAX_BYTES = 4096
# Seconds that one input may take.
TIMEOUT = 10
# Megabytes of the whole process. Above it the search has found a decompression bomb.
MEMORY = 1024
# The function imports these at the first image of a format. The search imports them earlier, to trace their lines.
_READERS = [
    f"PIL.{name}" for name in ("JpegImagePlugin", "PngImagePlugin", "WebPImagePlugin", "TiffImagePlugin", "Image")
]


def seeds() -> list[bytes]:
    """Return small valid images of every format and mode, and the small bad ones."""
    # Imported here, since modules imported before the search are not traced.
    import numpy as np
    from PIL import Image

    from serving.formats import FORMATS
    from tests.function.bad_images import bad_images, saved

    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        levels = np.arange(576, dtype=np.uint16).reshape(24, 24)
        image = Image.fromarray(levels * 113) if mode == "I;16" else Image.fromarray(levels.astype(np.uint8))
        image = image if mode == "I;16" else image.convert(mode)
        for kind in FORMATS:
            try:
                found.append(saved(image, kind, exif=exif))
            except (OSError, ValueError):
                # not every format has every kind of pixel
                continue
    found.append(saved(Image.new("RGB", (24, 24)), "JPEG", progressive=True))
    return found + [bad.data for bad in bad_images() if len(bad.data) <= MAX_BYTES]


def fuzz(seconds: int) -> subprocess.CompletedProcess[str]:
    """Search for `seconds` in a separate process. Its return code is 0 if nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed-{number:03d}").write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-timeout={TIMEOUT}"]
        options = [*limits, f"-rss_limit_mb={MEMORY}", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
        search = [sys.executable, "-m", "tests.fuzz_images", "--search", *options, folder]
        # A child process inherits its parent's peak memory, which libFuzzer counts. A shell in between has a small one.
        command = ["sh", "-c", '"$@"; exit $?', "sh", *search]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        for finding in [*Path(folder).glob("crash-*"), *Path(folder).glob("timeout-*"), *Path(folder).glob("oom-*")]:
            done.stdout += f"\n{finding.name}: {finding.read_bytes().hex()}"
    return done


def _search() -> None:
    """Run libFuzzer's loop, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["PIL", "serving"]):
        for module in _READERS:
            import_module(module)
        from serving import images

    def decode(data: bytes) -> None:
        try:
            pixels = images.decode(data, 32)
        except images.ImageError as error:
            _report_own_errors(error.__cause__)
            return
        if pixels.shape != (32, 32, 3):
            raise AssertionError(pixels.shape)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], decode)
    atheris.Fuzz()


def _report_own_errors(cause: BaseException | None) -> None:
    """Report an error of the function's own code, which the decoder would turn into an ImageError."""
    from serving.formats import CostlyFileError, MalformedFileError

    frames = traceback.extract_tb(cause.__traceback__) if cause else []
    if (
        frames
        and "serving" in Path(frames[-1].filename).parts
        and not isinstance(cause, CostlyFileError | MalformedFileError)
    ):
        raise AssertionError("raised by the function itself") from cause


def main() -> int:
    """Print the search's output, and return its exit code."""
    if find_spec("atheris") is None:
        sys.exit("atheris cannot be imported; it supports Linux and CPython only")
    done = fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        _search()
    sys.exit(main())
