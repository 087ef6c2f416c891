#!/usr/bin/env bash
# Fetch PyTorch's sources: sources.sh FOLDER. The tag is fetched, and has to be the commit.
# Submodules are pinned by that commit; they come from SUBMODULE_MIRROR, which stands for https://github.com/.
set -euo pipefail

folder=$1
if [ -z "${PYTORCH_VERSION:-}" ] || ! [[ "${PYTORCH_COMMIT:-}" =~ ^[0-9a-f]{40}$ ]]; then
    echo "error: the build arguments PYTORCH_VERSION and PYTORCH_COMMIT (40 hex digits) say what is compiled" >&2
    echo "  what to do: give them as build-args of the image in factory.toml" >&2
    exit 1
fi

# A mirror may be a mounted folder, from which git takes submodules only if that is allowed.
export GIT_CONFIG_COUNT=3 \
    GIT_CONFIG_KEY_0=url.$SUBMODULE_MIRROR.insteadOf GIT_CONFIG_VALUE_0=https://github.com/ \
    GIT_CONFIG_KEY_1=protocol.file.allow GIT_CONFIG_VALUE_1=always \
    GIT_CONFIG_KEY_2=advice.detachedHead GIT_CONFIG_VALUE_2=false
git init --quiet "$folder"
cd "$folder"
git fetch --quiet --depth 1 "$PYTORCH_SOURCE" "refs/tags/$PYTORCH_TAG:refs/tags/$PYTORCH_TAG"
found=$(git rev-parse "refs/tags/$PYTORCH_TAG^{commit}")
if [ "$found" != "$PYTORCH_COMMIT" ]; then
    echo "error: the tag $PYTORCH_TAG of $PYTORCH_SOURCE is the commit $found, not $PYTORCH_COMMIT" >&2
    echo "  what to do: a release's tag does not move. Find out why it has, before the other commit is built" >&2
    exit 1
fi
git checkout --quiet "$found"
git submodule --quiet update --init --recursive --depth 1 --jobs 8
# A first character says what is wrong: not fetched (-), another commit (+), in conflict (U).
astray=$(git submodule status --recursive | grep '^[-+U]' || true)
if [ -n "$astray" ] || [ -n "$(git status --porcelain)" ]; then
    echo "error: the sources are not what $PYTORCH_COMMIT says:" >&2
    printf '%s\n' "$astray" >&2
    git status --short >&2
    exit 1
fi
