#!/usr/bin/env bash
# Make the image that the steps of the tasks run in, on the stand-in base or on BASE_IMAGE, and print its tag.
#
#   scripts/steps-image.sh [BASE_IMAGE]
#
# For tests: the packages come through pip on this machine, as it is configured here, and the build itself
# has no network and reads them as Konflux would have it (/cachi2). The tag holds a digest of what goes in.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# shellcheck source=scripts/engine-settings.sh
source "$here/engine-settings.sh"

base=${1:-$("$here/standin-steps-base.sh")}
python=${PYTHON:-python3}

inputs() {
    cd "$root"
    find docs factory templates tekton -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum
    sha256sum pyproject.toml README.md LICENSE .containerignore
    echo "$base"
}

digest=$(inputs | sha256sum | cut -c 1-12)
tag="localhost/universal-image-factory:$digest"
if podman image exists "$tag"; then
    echo "$tag"
    exit 0
fi

find_uv() {
    local candidate
    for candidate in "${UV:-}" "$root/.venv/bin/uv" "$(command -v uv || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            realpath "$candidate"
            return
        fi
    done
    echo "error: uv is missing; run scripts/venv.sh .venv first" >&2
    return 1
}

fetch() {
    local machine version uv lock
    machine=$(uname -m)
    # Of the base image, since markers tell even 3.11.4 from 3.11.5.
    version=$(podman run --rm --network none --entrypoint python3 "$base" -c \
        'import platform; print(platform.python_version())')
    uv=$(find_uv)
    for lock in requirements.txt requirements-build.txt; do
        "$uv" pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header --python-version "$version" \
            --python-platform "$machine-manylinux_2_28" --output-file "$1/$lock" "$root/tekton/image/$lock" >&2
        "$python" -m pip download -qq --disable-pip-version-check --dest "$1/output/deps/pip" --no-deps \
            --require-hashes --only-binary :all: --python-version "$version" --implementation cp \
            --abi cp311 --abi abi3 --abi none --platform "manylinux_2_28_$machine" \
            --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" --requirement "$1/$lock" >&2
        rm "$1/$lock"
    done
    printf 'export PIP_FIND_LINKS=/cachi2/output/deps/pip\nexport PIP_NO_INDEX=true\n' >"$1/cachi2.env"
}

locks=$({ cat "$root"/tekton/image/requirements*.txt && echo "$base"; } | sha256sum | cut -c 1-12)
prefetched="$root/.work/steps-wheels/$locks"
if [ ! -d "$prefetched" ]; then
    echo "image of the steps: PyPI's packages (pip)" >&2
    mkdir -p "$root/.work/steps-wheels"
    fetching=$(mktemp -d "$root/.work/steps-wheels/tmp.XXXXXX")
    trap 'rm -rf "$fetching"' EXIT
    fetch "$fetching"
    chmod 0755 "$fetching"
    # Another run may have been faster.
    mv -T "$fetching" "$prefetched" 2>/dev/null || [ -d "$prefetched" ]
fi

echo "image of the steps: the image (podman)" >&2
podman build --quiet --network none --pull=never --timestamp 0 --layers --tag "$tag" \
    --build-arg "BASE_IMAGE=$base" --volume "$prefetched:/cachi2:ro" \
    --file "$root/tekton/image/Containerfile" "$root" >&2
echo "$tag"
