"""Stand-ins for images that cannot be pulled: the same programs from Debian's packages, or from our wheels.

An image that is there already is taken as it is; so whoever has the published ones (`podman pull postgres:18`) tries
those. A stand-in says by its label what it is made of.
"""

import sysconfig
from collections.abc import Iterable
from pathlib import Path

from tests.compose.podman import BUILD_S, podman, run, succeeds

FILES = Path(__file__).with_name("standins")
BASE = "localhost/sluice-standin-base"
SUITE = "trixie"
PACKAGES = ("ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata")
LABEL = "sluice.standin"
MADE_OF = {
    "docker.io/library/python": "python",
    "docker.io/library/postgres": "postgres",
    "docker.io/citusdata/citus": "citus",
    "docker.io/valkey/valkey": "valkey",
    "docker.io/library/eclipse-mosquitto": "mosquitto",
    "docker.io/prom/prometheus": "prometheus",
    "docker.io/library/nginx": "nginx",
}
"""Repository of an image → the file of its stand-in."""
NEEDS = {"citus": ["docker.io/library/postgres:18"]}
"""What a stand-in is built upon, besides the base."""


def full_name(image: str) -> str:
    """`postgres:18` → `docker.io/library/postgres:18`."""
    return f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}"


def provide(images: Iterable[str], scratch: Path) -> tuple[dict[str, str], list[str]]:
    """See to it that the images are there: what each is, and those that cannot be had."""
    there, missing = {}, []
    for name in map(full_name, images):
        recipe = MADE_OF.get(name.rpartition(":")[0])
        if not succeeds("image", "exists", name):
            if recipe is None:
                missing.append(name)
                continue
            provide(NEEDS.get(recipe, ()), scratch)
            build(name, recipe, scratch)
        label = podman("image", "inspect", "--format", f'{{{{ index .Labels "{LABEL}" }}}}', name).strip()
        there[name] = f"stand-in: {label}" if label else "as published"
    return there, missing


def build(name: str, recipe: str, scratch: Path) -> None:
    """Make one stand-in."""
    if not succeeds("image", "exists", BASE):
        make_base(scratch)
    wheels = f"--build-context=wheels={sysconfig.get_path('purelib')}"
    file = FILES / f"{recipe}.Containerfile"
    podman("build", "--network=host", wheels, "--tag", name, "--file", file, FILES, patience_s=BUILD_S)


def make_base(scratch: Path) -> None:
    """A small Debian: what all stand-ins are built upon."""
    archive = scratch / f"{SUITE}.tar"
    run("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, archive, patience_s=BUILD_S)
    podman("import", "--change", 'CMD ["bash"]', archive, BASE, patience_s=BUILD_S)
    archive.unlink()


def remove() -> None:
    """Take the stand-ins away again, and what was built upon them."""
    labelled = podman("images", "--quiet", "--no-trunc", "--filter", f"label={LABEL}").split()
    for image in {*labelled, *podman("images", "--quiet", "--no-trunc", BASE).split()}:
        succeeds("rmi", "--force", image)
    podman("image", "prune", "--force")
