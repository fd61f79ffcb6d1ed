#!/usr/bin/env bash
# compute-sanitizer over every kernel, each forced (KernelSweep), from an unpacked bundle; all that any tool says is an error.
#
#   kernels-cuda/sanitize.sh BUNDLE [TOOL...]     racecheck, memcheck and synccheck, or those named
#
# One line a process; exit 0 where all ended and no tool found anything. For Hopper; some three minutes on one card.
#
#   PTX=DIR   what build.sh --racecheck DIR made, or the same files as machine code; without it that is made first, and wants nvcc
#   OUT=DIR   what each process printed (default: a folder that is deleted where all is well)
#   JOBS=N    processes at a time (default 10): racecheck works on the CPU as much as on the GPU
#   PART=I/N  every Nth process from the Ith on, for several cards (CUDA_VISIBLE_DEVICES)
#   LIMIT=S   seconds for the whole (default 1800): what has not ended by then has failed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(cd "${1:?sanitize.sh: wants the folder of an unpacked bundle}" && pwd)
shift
tools=("$@")
[[ $# -gt 0 ]] || tools=(racecheck memcheck synccheck)
command -v compute-sanitizer >/dev/null || { echo "sanitize.sh: no compute-sanitizer: install the CUDA toolkit and put it on the PATH" >&2; exit 2; }
[[ -x $bundle/runtime/bin/java ]] || { echo "sanitize.sh: $bundle is no unpacked bundle: it has no runtime/bin/java" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OUT=${OUT:-$work/out} END=$(($(date +%s) + ${LIMIT:-1800})) JAVA=$bundle/runtime/bin/java MACHINE=$work/machine
export CLASSES="$bundle/tests/classes:$bundle/tests/lib/*:$bundle/lib/*"
mkdir -p "$OUT"

# For racecheck the files are machine code, under the names that the library asks for: the driver would compile each in every process.
assemble() {
    local kernels=io/lowbit/cuda/kernels
    if [[ -z ${PTX:-} ]]; then
        PTX=$work/ptx
        "$here/build.sh" --racecheck "$PTX" >/dev/null
    fi
    mkdir -p "$MACHINE/$kernels"
    # shellcheck disable=SC2016
    printf '%s\n' "$PTX/$kernels"/*.sm_90a.ptx | xargs -P "$(nproc)" -I{} sh -c '
        if head -c 4 "$2" | grep -q ELF; then cp "$2" "$1"; else said=$(ptxas -arch=sm_90a -o "$1/${2##*/}" "$2" 2>&1) || { echo "$said" >&2; exit 255; }; fi' _ "$MACHINE/$kernels" {}
}

# NUMBER, TOOL, the folder of kernels, then arguments of KernelSweep.
check() {
    local number=$1 tool=$2 kernels=$3 begin=$SECONDS status=0 left=$((END - $(date +%s))) log
    shift 3
    log=$OUT/$tool-$number.txt
    ((left > 1)) || { echo "$tool $*: NOT RUN, FAILED for want of time" | tee "$log"; return 1; }
    local options=(--show-backtrace no)
    # Its threads beside those of as many other processes stand in each other's way.
    [[ $tool != racecheck ]] || options+=(--racecheck-num-workers 1)
    timeout -k 2 "$left" compute-sanitizer --port $((53000 + 40 * number)) --tool "$tool" "${options[@]}" --error-exitcode 9 --print-limit 20 \
        "$JAVA" -Xmx3g -XX:+UseSerialGC -XX:ActiveProcessorCount=2 --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
        -cp "$kernels${kernels:+:}$CLASSES" io.lowbit.cuda.KernelSweep quick fast SM90 times "$@" >"$log" 2>&1 || status=$?
    local swept=$(grep -oE '^[1-9][0-9]* products swept' "$log" || echo 'not ended') summary=$(sed -nE 's/^=+ .*SUMMARY: //p' "$log" | tail -1)
    [[ $swept != 'not ended' ]] && grep -qE 'SUMMARY: 0 (errors|hazards)' "$log" || status=${status/#0/8}
    echo "$tool $*: $swept, ${summary:-no summary}, $((SECONDS - begin)) s$([[ $status == 0 ]] || echo ", FAILED with $status")"
    return $((status > 0))
}
export -f check

number=0
add() {
    number=$((number + 1))
    if ((number % ${PART#*/} == ${PART%/*} % ${PART#*/})); then
        printf '%s\n' "$(printf '%q ' "$number" "$@")" >>"$work/list"
    fi
}

PART=${PART:-1/1}
for tool in "${tools[@]}"; do
    case $tool in
    racecheck)
        assemble
        while IFS=$'\t' read -r kernels schemes; do
            add racecheck "$MACHINE" products "kernels=$kernels" "schemes=$schemes"
        done < <(grep -v '^#' "$here/sanitize.tsv")
        ;;
    memcheck | synccheck)
        add "$tool" "" records
        add "$tool" "" canonical
        ;;
    *) echo "sanitize.sh: no tool $tool: racecheck, memcheck, synccheck" >&2; exit 2 ;;
    esac
done
status=0
tr '\n' '\0' <"$work/list" | xargs -0 -P "${JOBS:-10}" -I{} bash -c 'eval "check $1"' _ {} | tee "$OUT/lines" || status=1
awk -v seconds=$SECONDS -F: '
    { processes++; if (/FAILED/) failed++; if (match($0, /[0-9]+ products swept/)) products += substr($0, RSTART) }
    END { printf "%d processes, %d failed, %d products, %d s\n", processes, failed, products, seconds }' "$OUT/lines"
exit $status
