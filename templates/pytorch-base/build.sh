#!/usr/bin/env bash
# Compile the wheel, without a network: build.sh cuda|rocm SOURCES MADE
# MADE gets the wheel, source.json (its sources) and SHA256SUMS.
set -euo pipefail

accelerator=$1 sources=$2 made=$3
wheels=$PWD/wheels layers=$PWD/layers

for toolset in /opt/rh/gcc-toolset-*/enable; do
    # Such a file may use variables that are not set.
    # shellcheck source=/dev/null
    [ ! -f "$toolset" ] || { set +u && . "$toolset" && set -u; }
done
export PATH="/build/venv/bin:$PATH"
pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" --no-deps --require-hashes \
    --requirement "$layers/build/requirements.txt" --requirement "$layers/rest/requirements.txt"

# The version is exactly that of the tag; without these two it would carry the commit and ask git for more.
export PYTORCH_BUILD_VERSION=$PYTORCH_VERSION PYTORCH_BUILD_NUMBER=1
export BUILD_TEST=0 CMAKE_PREFIX_PATH=/build/venv
SOURCE_DATE_EPOCH=$(git -C "$sources" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
case "$accelerator" in
    cuda)
        export USE_CUDA=1 USE_ROCM=0 TORCH_CUDA_ARCH_LIST
        architectures=$TORCH_CUDA_ARCH_LIST
        ;;
    rocm)
        export USE_CUDA=0 USE_ROCM=1 PYTORCH_ROCM_ARCH
        architectures=$PYTORCH_ROCM_ARCH
        ;;
    *)
        echo "error: $accelerator is neither cuda nor rocm" >&2
        exit 1
        ;;
esac
if [ -z "${MAX_JOBS:-}" ]; then
    MAX_JOBS=$(nproc)
fi
export MAX_JOBS
# Compiled objects are kept between builds if DEVEL_IMAGE has ccache and a folder is mounted at /ccache.
if command -v ccache >/dev/null && [ -d /ccache ]; then
    export CCACHE_DIR=/ccache CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    export CMAKE_CUDA_COMPILER_LAUNCHER=ccache CMAKE_HIP_COMPILER_LAUNCHER=ccache
fi

cd "$sources"
if [ "$accelerator" = rocm ] && [ -f tools/amd_build/build_amd.py ]; then
    python tools/amd_build/build_amd.py
fi
echo "compiling PyTorch $PYTORCH_VERSION for $architectures, $MAX_JOBS jobs at once" >&2
# Checked before the hours of compiling: the lock has what this release needs to be built.
pip wheel --disable-pip-version-check --no-index --no-deps --no-build-isolation --check-build-dependencies \
    --wheel-dir "$made" .

triton=.ci/docker/triton_version.txt
python - "$made" "$architectures" "$([ -f $triton ] && cat $triton)" <<'PYTHON'
import hashlib, json, os, pathlib, platform, sys

made, architectures, triton = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
(wheel,) = made.glob("torch-*.whl")
source = {
    "version": os.environ["PYTORCH_VERSION"],
    "tag": os.environ["PYTORCH_TAG"],
    "commit": os.environ["PYTORCH_COMMIT"],
    "architectures": architectures,
    "python": platform.python_version(),
    "triton": triton.strip() or None,
    "wheel": wheel.name,
    "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
}
(made / "source.json").write_text(json.dumps(source, indent=2, sort_keys=True) + "\n")
(made / "SHA256SUMS").write_text("%s  %s\n" % (source["sha256"], wheel.name))
PYTHON
