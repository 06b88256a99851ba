#!/bin/sh
# Push, sign and move the image of the project. CI calls it, and people may:
#   deploy/image.sh push IMAGE TAG         build and push it with its list of libraries (SBOM) and provenance; prints the digest
#   deploy/image.sh sign IMAGE DIGEST      sign it in the name of whoever runs this
#   deploy/image.sh move IMAGE DIGEST TAG  move a tag to it, if $COSIGN_IDENTITY of $COSIGN_ISSUER has signed it
# It needs docker with buildx, jq and cosign, and a login to the registry.
set -eu
cd "$(dirname "$0")/.."
usage() {
  echo "usage: deploy/image.sh push IMAGE TAG | sign IMAGE DIGEST | move IMAGE DIGEST TAG" >&2
  exit 2
}
require_digest() {
  if ! printf '%s\n' "$1" | grep -qxE 'sha256:[0-9a-f]{64}'; then
    echo "not a digest: '$1'; write sha256: and 64 hexadecimal digits" >&2
    exit 1
  fi
}
case "${1:-} $#" in
  "push 3")
    artifact=$(cat artifact.sha256)
    metadata=$(mktemp)
    docker buildx create --use >&2  # the default builder makes no SBOM
    docker buildx build --sbom=true --provenance=mode=max --push --metadata-file "$metadata" \
      --build-arg ARTIFACT_DIGEST="$artifact" -t "$2:$3" . >&2
    jq -er '."containerimage.digest"' "$metadata"
    ;;
  "sign 3")
    require_digest "$3"
    cosign sign --yes "$2@$3"
    ;;
  "move 4")
    require_digest "$3"
    cosign verify --certificate-identity "$COSIGN_IDENTITY" --certificate-oidc-issuer "$COSIGN_ISSUER" "$2@$3" >/dev/null
    docker buildx imagetools create -t "$2:$4" "$2@$3"
    ;;
  *) usage ;;
esac
