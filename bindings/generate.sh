#!/usr/bin/env bash
# Generates the Java bindings of the CUDA driver, cuBLASLt and NVML with jextract.
#
#   bindings/generate.sh [output]     default output: bindings/src/main/java
#
# JEXTRACT       the tool (default: jextract on the PATH; built from github.com/openjdk/jextract, commit f9866df)
# CUDA_INCLUDE   folder of cuda.h (default: /usr/local/cuda/include; made with CUDA 13.0)
# CUBLAS_INCLUDE folder of cublasLt.h (default: CUDA_INCLUDE; made with the wheel nvidia-cublas 13.1.1.3)
# NVML_INCLUDE   folder of nvml.h (default: CUDA_INCLUDE; made with NVML API 13, as in github.com/NVIDIA/go-nvml, gen/nvml)
# CLANG_INCLUDE  folder of clang's own headers, where jextract does not bring them
#
# NVIDIA's headers are read, never copied. The result is committed and not edited by hand.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/src/main/java}
jextract=${JEXTRACT:-jextract}
cuda=${CUDA_INCLUDE:-/usr/local/cuda/include}
cublas=${CUBLAS_INCLUDE:-$cuda}
nvml=${NVML_INCLUDE:-$cuda}
clang=(${CLANG_INCLUDE:+-I "$CLANG_INCLUDE"})

command -v "$jextract" >/dev/null || { echo "generate.sh: no jextract: set JEXTRACT or put it on the PATH" >&2; exit 2; }
[[ -f $cuda/cuda.h ]] || { echo "generate.sh: no cuda.h in $cuda: set CUDA_INCLUDE" >&2; exit 2; }
[[ -f $cublas/cublasLt.h ]] || { echo "generate.sh: no cublasLt.h in $cublas: set CUBLAS_INCLUDE" >&2; exit 2; }
[[ -f $nvml/nvml.h ]] || { echo "generate.sh: no nvml.h in $nvml: set NVML_INCLUDE" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# $1 package, $2 class, $3 argument file, $4 header, then more options
bind() {
    local package=$1 class=$2 includes=$3 header=$4
    shift 4
    grep -v '^#' "$here/$includes" >"$work/$includes"
    "$jextract" "${clang[@]}" "$@" --output "$work/out" --target-package "$package" --header-class-name "$class" \
        "@$work/$includes" "$header" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    # A library is found at run time by the caller, who has several names to try and an error to word: the generated
    # lookup in the class loader is replaced by the one that the caller installs.
    local folder=$work/out/${package//.//}
    sed -i -e 's/SymbolLookup SYMBOL_LOOKUP = SymbolLookup.loaderLookup()/SymbolLookup SYMBOL_LOOKUP = Symbols.lookup();/' \
        -e '/^ *\.or(Linker.nativeLinker().defaultLookup());$/d' "$folder"/*.java
    grep -q 'SYMBOL_LOOKUP = Symbols.lookup();' -r "$folder" || { echo "generate.sh: jextract's lookup has another form now" >&2; exit 1; }
    cat >"$folder/Symbols.java" <<JAVA
package $package;

import java.lang.foreign.SymbolLookup;

/** Where {@link $class} finds its functions. Written by generate.sh. */
public final class Symbols {
    private static volatile SymbolLookup lookup;

    private Symbols() {}

    /** Sets the library; to be called before the first touch of {@link $class}, which keeps what it finds then. */
    public static void install(SymbolLookup library) {
        lookup = library;
    }

    static SymbolLookup lookup() {
        SymbolLookup library = lookup;
        if (library == null) {
            throw new IllegalStateException("no library is installed for $package.$class: call Symbols.install first");
        }
        return library;
    }
}
JAVA
}

bind io.lowbit.bindings.cuda Cuda cuda.includes "$cuda/cuda.h" -D __CUDA_API_VERSION_INTERNAL
bind io.lowbit.bindings.cublaslt CublasLt cublaslt.includes "$cublas/cublasLt.h" -I "$cublas" -I "$cuda"
bind io.lowbit.bindings.nvml Nvml nvml.includes "$nvml/nvml.h" -D NVML_NO_UNVERSIONED_FUNC_DEFS

# No path or date of the machine that generated it, no blanks at line ends.
find "$work/out" -name '*.java' -exec sed -i -e 's/[ \t]*$//' {} +
rm -rf "$out/io/lowbit/bindings"
mkdir -p "$out"
cp -r "$work/out/." "$out/"
