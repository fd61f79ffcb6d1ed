# Sourced by lowbit and run-tests, which have set $home to the bundle's folder: the flags that every JVM gets, and its start.

case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
    '' | C | POSIX) export LC_ALL=C.UTF-8 ;;
esac

terminal=false
[ -t 2 ] && terminal=true

# Starts java with Lowbit's flags, those of LOWBIT_JAVA_OPTS (split at spaces on purpose) and the arguments given.
start() {
    # shellcheck disable=SC2086
    set -- --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED \
        -XX:+UseParallelGC -Xlog:disable -Xlog:all=warning:stderr -Dstdout.encoding=UTF-8 -Dstderr.encoding=UTF-8 \
        -Dlowbit.stderr.terminal=$terminal ${LOWBIT_JAVA_OPTS:-} "$@"
    # The JVM always says that the Vector API is an incubator module: that one line is kept from standard error, all
    # others pass. Without a place for a pipe the line is shown.
    pipe=$(mktemp -d "${TMPDIR:-/tmp}/lowbit.XXXXXX" 2>/dev/null) && mkfifo "$pipe/stderr" 2>/dev/null || exec "$home/runtime/bin/java" "$@"
    (
        trap '' INT TERM HUP
        exec <"$pipe/stderr"
        rm -rf "$pipe"
        while IFS= read -r line; do
            [ "$line" = 'WARNING: Using incubator modules: jdk.incubator.vector' ] && exec cat
            printf '%s\n' "$line"
        done
        [ -z "$line" ] || printf '%s\n' "$line"
    ) >&2 &
    exec "$home/runtime/bin/java" "$@" 2>"$pipe/stderr"
}
