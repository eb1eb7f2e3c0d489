"""Coverage-guided fuzzing of the decoder: whatever the bytes, only pixels or an ImageError come out.

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
# bytes; larger inputs make the search slow and reach nothing new
MAX_BYTES = 4096
# seconds that one input may take
TIMEOUT = 10
# megabytes, of the whole process; past it the search has found a bomb
MEMORY = 1024
# Imported by the function at the first image of a kind; here before, to watch which of their lines are reached.
_READERS = [
    f"PIL.{name}" for name in ("JpegImagePlugin", "PngImagePlugin", "WebPImagePlugin", "TiffImagePlugin", "Image")
]


def seeds() -> list[bytes]:
    """Small good images of every format and kind of pixel: what the search begins with."""
    # Imported here, since what is imported before the search begins is not watched.
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
    """Search for `seconds` in a process of its own; its return code is 0 when nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed-{number:03d}").write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-timeout={TIMEOUT}"]
        options = [*limits, f"-rss_limit_mb={MEMORY}", "-print_final_stats=1", f"-artifact_prefix={folder}/"]
        search = [sys.executable, "-m", "tests.fuzz_images", "--search", *options, folder]
        # A process inherits its starter's peak of memory, which libFuzzer would take for its own; the shell is small.
        command = ["sh", "-c", '"$@"; exit $?', "sh", *search]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        for finding in [*Path(folder).glob("crash-*"), *Path(folder).glob("timeout-*"), *Path(folder).glob("oom-*")]:
            done.stdout += f"\n{finding.name}: {finding.read_bytes().hex()}"
    return done


def _search() -> None:
    """libFuzzer's loop, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["PIL", "serving"]):
        for module in _READERS:
            import_module(module)
        from serving import images

    def decode(data: bytes) -> None:
        try:
            pixels = images.decode(data, 32)
        except images.ImageError as error:
            _blame(error.__cause__)
            return
        if pixels.shape != (32, 32, 3):
            raise AssertionError(pixels.shape)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], decode)
    atheris.Fuzz()


def _blame(cause: BaseException | None) -> None:
    """Everything that decoding raises becomes an ImageError; what the function's own code raises would hide in it."""
    from serving.formats import CostlyFileError

    frames = traceback.extract_tb(cause.__traceback__) if cause else []
    if frames and "serving" in Path(frames[-1].filename).parts and not isinstance(cause, CostlyFileError):
        raise AssertionError("raised by the function itself") from cause


def main() -> int:
    """Print what the search says, and end as it ended."""
    if find_spec("atheris") is None:
        sys.exit("atheris cannot be imported here; it is made for Linux and CPython")
    done = fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
    sys.stdout.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        _search()
    sys.exit(main())
