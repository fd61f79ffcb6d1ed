#!/bin/sh
# Makes a base image for the CPU image out of this machine's own Debian (or Ubuntu) packages, for machines that reach no
# registry: docker/local-base.sh NAME. Uses podman or docker, whichever is there.
set -eu
name=${1:?usage: local-base.sh NAME}

engine=$(command -v podman || command -v docker) || {
    echo "local-base.sh: neither podman nor docker is in PATH; install one" >&2
    exit 1
}
command -v dpkg-query >/dev/null || {
    echo "local-base.sh: no dpkg here; build the CPU image on a base from a registry instead" >&2
    exit 1
}

# What the bundle needs of a system: the C library, a shell and its tools. The closure of their dependencies.
want="base-files libc6 libgcc-s1 libstdc++6 dash coreutils"
have=
while [ -n "$want" ]; do
    next=
    for package in $want; do
        case " $have " in *" $package "*) continue ;; esac
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || continue
        have="$have $package"
        next="$next $(dpkg-query -W -f '${Depends}, ${Pre-Depends}' "$package" | tr ',|' '\n\n' | sed 's/^ *//; s/[ :(].*//' | sort -u | tr '\n' ' ')"
    done
    want=$(echo $next)
done

list=$(mktemp)
trap 'rm -f "$list"' EXIT
# Where /bin and the like are links into /usr they come first, and files are named by where they really are. dash's link sh
# is made by its installation and is no file of the package.
merged='s|^/||'
[ -L /bin ] && merged='s|^/||; s@^\(bin\|sbin\|lib\|lib64\)/@usr/\1/@'
{
    printf '%s\n' usr bin sbin lib lib64 etc tmp usr/bin usr/lib usr/lib64
    {
        # shellcheck disable=SC2086
        dpkg-query -L $have
        echo /bin/sh
    } | grep '^/[^.]' | grep -v -e '^/usr/share/doc/.*/' -e '^/usr/share/\(man\|locale\|info\)/' | sed "$merged" | sort -u
} | awk '!seen[$0]++' | while IFS= read -r path; do
    if [ -e "/$path" ] || [ -L "/$path" ]; then printf '%s\n' "$path"; fi
done >"$list"
tar -C / --no-recursion -cf - -T "$list" | "$engine" import - "$name" >/dev/null
echo "local-base.sh: $name from $(echo $have | wc -w) packages of this machine"
