"""What a PNG file says of itself, read from its chunks."""

import struct


def png_facts(content: bytes) -> tuple[int, float]:
    """The width in pixels (IHDR) and the dots per inch (pHYs)."""
    width = struct.unpack(">I", content[16:20])[0]
    per_metre, _, unit = struct.unpack(">IIB", content.partition(b"pHYs")[2][:9])
    assert unit == 1  # metre
    return width, per_metre * 0.0254
