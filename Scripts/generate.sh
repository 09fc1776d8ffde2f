#!/bin/bash
# Generates the Swift code of the .proto files of this package, with protoc and the two plugins
# that `make generate` builds.
#
#     Scripts/generate.sh            writes the code
#     Scripts/generate.sh --check    writes nothing, and fails when the code is not up to date
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

plugins=${MICRO_TEST_BIN:-.build/debug}

# Folders with .proto files in Protos (bench: those of all peers), and the code in Generated.
folders=(Sources/Interop Sources/MicroEtcd Tests/MicroProtobufTests Tests/ProtobufNames
    bench/codecs bench/echo)

# generate FOLDER OUTPUT
generate() {
    local protos=$1/Protos options=Visibility=Internal
    [[ $1 != bench/echo ]] || protos=bench/proto
    [[ $1 != Tests/ProtobufNames ]] || options=Visibility=Public,UseAccessLevelOnImports=true
    mkdir -p "$2"
    (cd "$protos" && find . -name '*.proto' -printf '%P\n' | sort) | xargs protoc -I "$protos" \
        --plugin="$plugins/protoc-gen-swift" --swift_out="$options:$2" \
        --plugin="$plugins/protoc-gen-micro-swift" --micro-swift_out="$options:$2"
}

case "${1:-}" in
"")
    for folder in "${folders[@]}"; do
        rm -rf "$folder/Generated"
        generate "$folder" "$folder/Generated"
    done
    ;;
--check)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    status=0
    for folder in "${folders[@]}"; do
        generate "$folder" "$scratch/$folder"
        diff -r "$folder/Generated" "$scratch/$folder" || status=1
    done
    ((status == 0)) || echo 'generate: the generated code is not up to date: make generate' >&2
    exit "$status"
    ;;
*)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac
