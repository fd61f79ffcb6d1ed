#!/usr/bin/env bash
# Builds the PTX that rides in the library jar. Users never need this: the result is committed.
#
#   kernels-cuda/build.sh            compiles every .cu for sm_89 and sm_90a and writes the PTX into the library's resources
#   kernels-cuda/build.sh --check    writes nothing: compares the committed PTX with what the sources give, assembles each
#                                    file, prints registers, shared memory and spills of every kernel, fails on a spill
#   kernels-cuda/build.sh --racecheck DIR   writes PTX for compute-sanitizer's racecheck (arrive.cuh says why) of the kernels for
#                                    sm_90a into DIR, which goes before the library on the class path (sanitize.sh)
#
# NVCC and PTXAS name the tools (default: on the PATH). Made with CUDA 13.0.88; another release may print other PTX for the
# same sources, so --check refuses it.
#
# A source that is for one architecture alone says so in a line "// architectures: 90a".
#
# The .version of each file is set to the lowest PTX ISA that ptxas takes for its instructions, so that the oldest driver
# that can run a kernel may load it; nvcc itself writes the newest it knows.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
resources=$here/../java-src/lowbit/src/main/resources/io/lowbit/cuda/kernels
# The harness's own kernels are no part of the library: they ride with the command line.
harness=$here/../java-src/lowbit-cli/src/main/resources/io/lowbit/cli/bench/gpu
# Nor are the kernels that tests launch: they lie beside their source.
probes=$here/../tests/src/test/resources/io/lowbit/cuda
nvcc=${NVCC:-nvcc}
ptxas=${PTXAS:-ptxas}
release=13.0.88
versions=(7.8 8.0 8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8 9.0)

for tool in "$nvcc" "$ptxas"; do
    command -v "$tool" >/dev/null || { echo "build.sh: no $tool: install the CUDA toolkit $release or set NVCC and PTXAS" >&2; exit 2; }
done
found=$("$nvcc" --version | sed -n 's/.*, V\([0-9.]*\).*/\1/p')
[[ $found == "$release" ]] || { echo "build.sh: nvcc is $found; the committed PTX is made with $release" >&2; exit 2; }

check=false
racecheck=false
flags=()
case ${1:-} in
--check) check=true ;;
--racecheck)
    resources=${2:?build.sh: --racecheck wants a directory}/io/lowbit/cuda/kernels
    racecheck=true
    flags=(-DLOWBIT_RACECHECK)
    ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# One source for one architecture: $work/FILE.ptx, its table in FILE.table; 1 where it cannot be built, 3 where it spills.
build() {
    local source=$1 arch=$2 name file lowest= version own
    name=$(basename "$source" .cu)
    file=${name}.sm_$arch.ptx
    own=$work/$file.tmp
    mkdir "$own"
    # No FMA contraction and no fast-math: what is fused is written as fused.
    "$nvcc" -std=c++17 -O3 -fmad=false -I"$here" "${flags[@]}" -DARCH="sm${arch%a}" -gencode "arch=compute_$arch,code=compute_$arch" \
        --ptx -o "$own/raw.ptx" "$source" || return 1
    for version in "${versions[@]}"; do
        # Comments name the compiler's build, nothing a reader needs.
        sed -e "s/^\.version .*/.version $version/" -e '/^\/\//d' "$own/raw.ptx" >"$own/$file"
        if "$ptxas" -v "-arch=sm_$arch" -o /dev/null "$own/$file" >"$own/log" 2>&1; then
            lowest=$version
            break
        fi
    done
    [[ -n $lowest ]] || { cat "$own/log" >&2; echo "build.sh: ptxas refuses $file" >&2; return 1; }
    mv "$own/$file" "$work/$file"
    awk -v file="$name" -v arch="sm_$arch" -v ptx="$lowest" '
        /Compiling entry function/ { kernel = $0; sub(/^[^\x27]*\x27/, "", kernel); sub(/\x27.*/, "", kernel) }
        /spill stores/ { match($0, /[0-9]+ bytes spill stores/); spills = substr($0, RSTART) + 0 }
        /Used [0-9]+ registers/ {
            match($0, /Used [0-9]+/); regs = substr($0, RSTART + 5) + 0
            shared = 0; if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART) + 0
            printf "%-16s %-8s %-5s %-46s %5d %7d %7d\n", file, arch, ptx, kernel, regs, shared, spills
            if (spills > 0) bad = 3
        }
        END { exit bad }' "$own/log" >"$work/$file.table" || { echo "build.sh: $file spills registers" >&2; return 3; }
}

printf '%-16s %-8s %-5s %-46s %5s %7s %7s\n' file arch PTX kernel regs shared spills
jobs=()
for source in "$here"/*.cu "$probes"/*.cu; do
    ! $racecheck || [[ $source != "$probes"/* && $source != */bench.cu ]] || continue
    architectures=$(sed -n 's|^// architectures: ||p' "$source")
    for arch in ${architectures:-89 90a}; do
        ! $racecheck || [[ $arch == 90a ]] || continue
        while (($(jobs -rp | wc -l) >= $(nproc))); do
            sleep 0.1
        done
        # The status in a file: bash forgets a job whose number another process has been given since.
        (
            trap 'echo $? >"$work/$(basename "$source" .cu).$arch.status"' EXIT
            build "$source" "$arch"
        ) &
        jobs+=("$(basename "$source" .cu) $arch")
    done
done
for job in "${jobs[@]}"; do
    read -r name arch <<<"$job"
    file=${name}.sm_$arch.ptx
    until [[ -s $work/$name.$arch.status ]]; do
        sleep 0.1
    done
    status=$(<"$work/$name.$arch.status")
    [[ ! -f $work/$file.table ]] || cat "$work/$file.table"
    if ((status == 1)); then
        exit 1
    fi
    ((status == 0)) || failed=1
    folder=$resources
    [[ $name == bench ]] && folder=$harness
    [[ -f $probes/$name.cu ]] && folder=$probes
    if $check; then
        cmp -s "$work/$file" "$folder/$file" || { echo "build.sh: $file is not what the sources give: run kernels-cuda/build.sh" >&2; failed=1; }
    else
        mkdir -p "$folder"
        cp "$work/$file" "$folder/$file"
    fi
done
if $check; then
    for file in "$resources"/*.ptx "$harness"/*.ptx "$probes"/*.ptx; do
        [[ -f $work/$(basename "$file") ]] || { echo "build.sh: $(basename "$file") has no source" >&2; failed=1; }
    done
fi
exit $failed
