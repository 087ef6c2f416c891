"""What comes from outside into a spec, checked: versions, image references, index URLs, platforms."""

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from factory.errors import SpecError

# The grammar of image references: github.com/distribution/reference, which podman, docker, buildah and skopeo
# parse them with.
PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
"""One component of a repository's path in a registry, as a pattern: an image's name has to be one."""
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{PATH_COMPONENT}(?:/{PATH_COMPONENT})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}|sha384:[0-9a-f]{{96}}|sha512:[0-9a-f]{{128}}))?"
)
# A first component is a host only if it could be no part of a path on Docker's own registry.
_HOST = re.compile(r".*[.:A-Z].*|localhost")
# What engines read before a colon as a place of images, a folder of this machine for one
# (containers-transports(5)), also where the colon would be that of a port.
TRANSPORTS = frozenset(
    {"containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci", "oci-archive", "ostree"}
    | {"sif", "tarball", "atomic"}
)
_NAME_CHARACTERS = 255
_MOST_CHARACTERS = 1024
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
# RFC 3986's characters, without those that mean something to a shell or end a string.
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]!&()*+,;=%-]+")

PLATFORMS = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""The platforms that flavors are built for, and the machine that each names in wheel tags."""
_MAX_REQUIREMENT = 4_000
_MAX_BRACKETS = 64


def parse_requirement(text: str) -> Requirement:
    """Return a PEP 508 requirement that others wrote.

    Raises:
        InvalidRequirement: it is none, or one that would be a traceback later: `packaging` reads numbers of
            4,300 digits and markers in many brackets until Python gives up.
    """
    if len(text) > _MAX_REQUIREMENT or text.count("(") > _MAX_BRACKETS:
        raise InvalidRequirement(f"longer than {_MAX_REQUIREMENT} characters, or nested too deep")
    return Requirement(text)


def check_version(version: str, *, of: str) -> str:
    """Return a PEP 440 version in its normal form, which names, labels and pins use.

    Raises:
        SpecError: it is not one, or not in its normal form, such as ``v2.11.0``.
    """
    try:
        normal = str(Version(version))
    except ValueError as error:
        raise SpecError(
            f"{version!r} is not a PEP 440 version (given for {of})",
            solution="Write a version such as 2.11.0; a range belongs into [project] dependencies.",
        ) from error
    if normal != version:
        raise SpecError(
            f"{version!r} is not how PEP 440 writes that version (given for {of})",
            solution=f"Write {normal}.",
        )
    return version


def check_accelerator_version(version: str) -> str:
    """Return the version of an accelerator's toolkit, such as ``13.0`` or ``6.4.3``.

    Raises:
        SpecError: it is not two or three numbers.
    """
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}", check_version(version, of="the accelerator")):
        raise SpecError(
            f"{version!r} is not an accelerator version",
            solution="Give the full version, such as 13.0 for CUDA or 7.14 for ROCm.",
        )
    return version


def check_template_set(name: str) -> str:
    """Return the name of a template set: a plain name, never a path.

    Raises:
        SpecError: it could lead out of the folder of template sets.
    """
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name):
        raise SpecError(
            f"{name!r} is not the name of a template set",
            solution="Use lower-case letters, digits and hyphens between them, such as universal.",
        )
    return name


def check_python(version: str) -> str:
    """Return a Python minor version, such as ``3.12``.

    Raises:
        SpecError: it is not one: flavors follow a Python minor version, whatever its patch.
    """
    check_version(version, of="python")
    if not re.fullmatch(r"3\.[0-9]{1,2}", version):
        raise SpecError(
            f"{version!r} is not a Python minor version",
            solution="Give major and minor only, such as 3.12: the base image decides the patch.",
        )
    return version


def check_glibc(version: str) -> str:
    """Return a version of the GNU C library, such as ``2.34``, as in manylinux tags.

    Raises:
        SpecError: it is not one.
    """
    if not re.fullmatch(r"2\.[0-9]{1,2}", version):
        raise SpecError(
            f"{version!r} is not a version of the GNU C library (given for glibc)",
            solution="Give major and minor, such as 2.34: what `ldd --version` prints in the base image.",
        )
    return version


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """An image reference in its parts.

    ``domain`` is the registry's host with its port, empty if the reference names none; ``digest`` begins with
    its algorithm, such as ``sha256:``.
    """

    domain: str
    path: str
    tag: str | None
    digest: str | None

    @property
    def repository(self) -> str:
        """``HOST/PATH``, or the path alone if the reference names no host."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def name(self) -> str:
        """The last component of the path: what people call the image."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.repository}{tag}" + ("" if self.digest is None else f"@{self.digest}")


def find_reference(text: str) -> ImageReference | None:
    """Return the parts of an image reference; None if the text is not one.

    The grammar is that of github.com/distribution/reference. 64 hex digits are an image's ID, not its name.
    ``dir:5000/name`` and ``oci:name`` are none either: engines take them for the folders ``5000/name`` and
    ``name``.
    """
    match = _REFERENCE.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
    if match is None or _IMAGE_ID.fullmatch(text):
        return None
    domain, path = match["domain"] or "", match["path"]
    if ":" in domain and domain.partition(":")[0] in TRANSPORTS:
        return None
    if domain and not _HOST.fullmatch(domain):
        # Such as library/python: any host of that name would be written with a dot, a port or a capital.
        domain, path = "", f"{domain}/{path}"
    if match["tag"] is not None and not domain and path in TRANSPORTS:
        return None
    found = ImageReference(domain=domain, path=path, tag=match["tag"], digest=match["digest"])
    return found if len(found.repository) <= _NAME_CHARACTERS else None


def parse_reference(text: str, *, of: str) -> ImageReference:
    """Return the parts of an image reference, as `find_reference` does.

    Raises:
        SpecError: it is not one.
    """
    found = find_reference(text)
    transport = text.partition(":")[0]
    if found is None and transport in TRANSPORTS:
        raise SpecError(
            f"{text!r} is not an image reference: {transport}: is how engines name another place "
            f"(given for {of})",
            solution=f"Write localhost/{text} if that is the image's name.",
        )
    if found is None:
        raise SpecError(
            f"{text!r} is not an image reference (given for {of})",
            solution="Write it as registry/path:tag or registry/path@sha256:digest, without a scheme.",
        )
    return found


def is_image_id(text: str) -> bool:
    """Return whether a text is a full image ID: 64 hex digits, ``sha256:`` optional."""
    return _IMAGE_ID.fullmatch(text) is not None


def check_image(reference: str, *, of: str) -> str:
    """Return an image reference that says which image of which registry it means, by tag or by digest.

    Raises:
        SpecError: it cannot be parsed, names no registry, has neither tag nor digest (which would mean
            ``latest``), or has a digest that is no SHA-256, the only kind that registries have to know.
    """
    found = _check_says_which(reference, of=of)
    if not found.domain:
        path = found.path if "/" in found.path else f"library/{found.path}"
        raise SpecError(
            f"{of} {reference} is a short name: each machine's engine has its own setting for its registry",
            solution=f"Write {replace(found, domain='docker.io', path=path)} if it is on Docker Hub.",
        )
    return reference


def _check_says_which(reference: str, *, of: str) -> ImageReference:
    found = parse_reference(reference, of=of)
    if found.tag is None and found.digest is None:
        raise SpecError(
            f"{of} {reference} has neither a tag nor a digest",
            solution="Add the tag or, better, the digest; without one it would mean whatever is latest.",
        )
    if found.digest is not None and not found.digest.startswith("sha256:"):
        raise SpecError(
            f"{of} {reference} has a digest that is not a SHA-256",
            solution="Give the digest that the registry lists, which begins with sha256:.",
        )
    return found


def check_pullable(reference: str, *, of: str) -> str:
    """Return an image reference as tools pull it: without its tag if it has a digest.

    ``NAME:TAG@DIGEST`` is what MintMaker and Renovate write, and a FROM may have it; `buildah pull` and
    skopeo refuse it. The digest says which image it is.

    Raises:
        SpecError: as `check_image`, but for a name without a registry, which a FROM may have.
    """
    found = _check_says_which(reference, of=of)
    return str(found if found.digest is None else replace(found, tag=None))


def check_tag(reference: str) -> str:
    """Return the name of a built image: a reference without a digest.

    Raises:
        SpecError: it is not one.
    """
    found = find_reference(reference)
    if found is None or found.digest is not None:
        raise SpecError(
            f"{reference!r} is not a name that an image can be given",
            solution="Write it as name, name:tag or registry/path:tag; the digest follows from the build.",
        )
    return reference


def check_index_url(url: str) -> str:
    """Return the URL of a PEP 503/691 index.

    Raises:
        SpecError: it is not an http(s) URL, or carries credentials. The message does not repeat them.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise SpecError(
            "the index URL cannot be parsed", solution="Write it as https://host/path/simple/."
        ) from error
    if "@" in parts.netloc:
        raise SpecError(
            f"the index URL for {host} carries credentials",
            solution="Leave them out: they would be committed. Put them into ~/.netrc, which uv, pip, "
            "Hermeto and the factory read.",
        )
    if parts.query or parts.fragment:
        raise SpecError(
            f"the index URL for {host} has a query or a fragment, which may hold a token",
            solution="Write the address alone; credentials go into ~/.netrc.",
        )
    if parts.scheme not in {"http", "https"} or not host or not _URL_CHARACTERS.fullmatch(url):
        raise SpecError(
            f"{url!r} is not the URL of a package index",
            solution="Write it as https://host/path/simple/ (http or https).",
        )
    return url


def check_host(host: str, *, of: str) -> str:
    """Return the name of a host in lower case, without scheme, port or path.

    Raises:
        SpecError: it is not one.
    """
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", host):
        raise SpecError(
            f"{host!r} is not the name of a host (given for {of})",
            solution="Write the name alone, such as files.example.com.",
        )
    return host


def check_platform(platform: str) -> str:
    """Return one of the platforms that flavors are built for.

    Raises:
        SpecError: it is none of them.
    """
    if platform not in PLATFORMS:
        raise SpecError(
            f"{platform!r} is not a platform that flavors are built for",
            solution=f"Use one of {', '.join(PLATFORMS)}.",
        )
    return platform
