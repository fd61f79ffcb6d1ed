#!/bin/sh
# For continuous integration: a container engine where there is none. Starts podman's Docker-compatible service in FOLDER,
# with a local base image for the CPU image, and prints what the container tests need to know as shell assignments:
#   eval "$(docker/engine.sh start FOLDER)" ... docker/engine.sh stop FOLDER
# Where an engine is there already (DOCKER_HOST or /var/run/docker.sock) it does nothing. Where podman is missing it installs
# it, as root on Debian and nowhere else. What it cannot do it says, and the tests then say what they skip.
set -eu
command=${1:-}
folder=${2:?usage: engine.sh start|stop FOLDER}
base=localhost/lowbit-base:local

note() {
    echo "engine.sh: $*" >&2
}

start() {
    if [ -n "${DOCKER_HOST:-}" ] || [ -S /var/run/docker.sock ]; then
        note "using the engine that is there"
        return
    fi
    if ! command -v podman >/dev/null || ! command -v runc >/dev/null; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            note "no container engine, and no right to install one: container tests will be skipped"
            return
        fi
        # DPkg::Lock::Timeout: another installation may be running.
        { apt-get update && apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=60 podman runc; } \
            >"$folder/apt.log" 2>&1 </dev/null || {
            note "podman cannot be installed: $(tail -n 1 "$folder/apt.log"); container tests will be skipped"
            return
        }
    fi
    # Limits that a container may have inside of another one; podman's own are above them.
    cat >"$folder/containers.conf" <<END
[containers]
default_ulimits=["nofile=20000:20000","nproc=4096:4096"]
[engine]
runtime="runc"
END
    export CONTAINERS_CONF="$folder/containers.conf"
    podman system service --time=0 "unix://$folder/podman.sock" >"$folder/podman.log" 2>&1 </dev/null &
    echo $! >"$folder/podman.pid"
    waited=0
    until [ -S "$folder/podman.sock" ]; do
        waited=$((waited + 1))
        if [ $waited -gt 100 ]; then
            note "podman's service does not come up: $(tail -n 1 "$folder/podman.log"); container tests will be skipped"
            return
        fi
        sleep 0.1
    done
    if ! "$(dirname "$0")/local-base.sh" "$base" >&2; then
        note "no local base image: the CPU image will be built on the one its Dockerfile names"
        echo "export DOCKER_HOST=unix://$folder/podman.sock"
    elif podman run --rm "$base" true 2>"$folder/run.log"; then
        echo "export DOCKER_HOST=unix://$folder/podman.sock"
        echo "export LOWBIT_CONTAINER_BASE=$base"
    else
        # For example inside of a container that may not make more of them.
        note "podman cannot run a container here: $(tail -n 1 "$folder/run.log"); container tests will be skipped"
        stop
    fi
}

stop() {
    if [ -s "$folder/podman.pid" ]; then
        kill "$(cat "$folder/podman.pid")" 2>/dev/null || true
        rm -f "$folder/podman.pid"
    fi
}

mkdir -p "$folder"
case $command in
    start) start ;;
    stop) stop ;;
    *)
        note "usage: engine.sh start|stop FOLDER"
        exit 2
        ;;
esac
