#!/usr/bin/env bash
# Puts what the tests and the benchmark need and pip does not have into .services, without root and
# without changing the system. What cannot be had is named; the exit status stays 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
services=$PWD/.services
launcher=$services/bin/chromium
lists=/var/lib/apt/lists

starts() {
    [ -x "$launcher" ] && "$launcher" --version 2>/dev/null | grep -i chrom >/dev/null
}

write_launcher() { # $1: its path; stdin: the script
    mkdir -p "$services/bin"
    cat >"$1"
    chmod +x "$1"
}

installed() {
    local name path
    for name in chromium chromium-browser google-chrome; do
        path=$(command -v "$name") || continue
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$path" | write_launcher "$launcher"
        starts && return
    done
    return 1
}

apt() { # apt-get that writes below .services only
    apt-get -qq -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" \
        -o "Dir::Cache=$services/apt" -o "Dir::State::Lists=$lists" "$@"
}

own_lists() {
    lists=$services/apt/lists
    mkdir -p "$lists/partial"
    apt update
}

# Chromium, libatomic1 (which Playwright's driver wants), and those of their dependencies that this
# machine lacks; nothing is upgraded.
download() (
    packages=$(apt -s install --no-install-recommends chromium fontconfig-config libatomic1 |
        awk '/^Inst/ && $3 !~ /^\[/ {print $2}')
    mkdir -p "$services/debs" && cd "$services/debs"
    # shellcheck disable=SC2086  # one word a package
    [ -n "$packages" ] && apt download $packages
)

unpack() {
    local deb
    mkdir -p "$services/root"
    for deb in "$services"/debs/*.deb; do dpkg-deb -x "$deb" "$services/root"; done
    mkdir -p "$services/lib"
    find "$services/root" -name 'libatomic.so.1*' -exec cp -P {} "$services/lib" \;
    cat >"$services/fonts.conf" <<'END'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir prefix="relative">root/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
END
    write_launcher "$launcher" <<'END'
#!/bin/sh
services=$(cd "$(dirname "$0")/.." && pwd)
for folder in "$services"/root/usr/lib/*-linux-gnu "$services"/root/lib/*-linux-gnu; do
    LD_LIBRARY_PATH=$folder:$folder/pulseaudio${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
FONTCONFIG_FILE=$services/fonts.conf
XKB_CONFIG_ROOT=$services/root/usr/share/X11/xkb
export LD_LIBRARY_PATH FONTCONFIG_FILE XKB_CONFIG_ROOT
exec "$services/root/usr/lib/chromium/chromium" "$@"
END
}

# nginx and its libraries, for the benchmark alone; the scripts in its packages never run.
fetch_nginx() (
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
    packages=$(apt -s install --no-install-recommends nginx-light | awk '/^Inst/ && $3 !~ /^\[/ {print $2}')
    mkdir -p "$services/nginx/debs" && cd "$services/nginx/debs" || exit 1
    # shellcheck disable=SC2086  # one word a package
    [ -n "$packages" ] && apt download $packages || exit 1
    for deb in *.deb; do dpkg-deb -x "$deb" .. || exit 1; done
    write_launcher "$services/bin/nginx" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")/../nginx" && pwd)
for folder in "$root"/usr/lib/*-linux-gnu; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root/usr/sbin/nginx" "$@"
END
    "$services/bin/nginx" -e stderr -v
)

provide_nginx() {
    local path log
    for path in "$services/bin/nginx" "$(PATH=$PATH:/usr/sbin command -v nginx)"; do
        [ -x "$path" ] && "$path" -e stderr -v 2>&1 && return
    done
    echo "nginx: fetching the distribution's packages into .services"
    mkdir -p "$services/apt"
    log=$services/apt/nginx.log
    if { fetch_nginx || { own_lists && fetch_nginx; }; } >"$log" 2>&1; then
        tail -1 "$log"
        rm -rf "$services/apt" "$services/nginx/debs"
        return
    fi
    rm -rf "$services/nginx" "$services/bin/nginx"
    echo "nginx: not available: $(grep '^E:' "$log" | tail -1); the benchmark goes without tiny answers"
}

# Prometheus and its companions: programs that need no library. Their services stay away. Debian has them
# read /usr/share/prometheus, which is not there: the copies read descriptor 9, which the launcher opens.
fetch_prometheus() ( # the packages, each called like its program
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
    mkdir -p "$services/prometheus/debs" "$services/prometheus/usr/share/prometheus"
    cd "$services/prometheus/debs" || exit 1
    apt download "$@" || exit 1
    for deb in *.deb; do dpkg-deb -x "$deb" .. || exit 1; done
    for name in "$@"; do # as many letters, so that nothing else in the program moves
        LC_ALL=C sed -i "s|/usr/share/prometheus|/proc/self/fd/9//////|g" "../usr/bin/$name" || exit 1
        write_launcher "$services/bin/$name" <<END
#!/bin/sh
root=\$(dirname "\$0")/../prometheus/usr
exec "\$root/bin/$name" "\$@" 9<"\$root/share/prometheus"
END
        "$services/bin/$name" --version || exit 1
    done
)

version_of() { # $1: a program, as Debian calls it
    local path
    for path in "$services/bin/$1" "$(command -v "$1")"; do
        [ -x "$path" ] && "$path" --version 2>&1 | head -1 && return
    done
    return 1
}

provide_prometheus() {
    local name log missing=()
    for name in prometheus prometheus-node-exporter prometheus-alertmanager prometheus-pushgateway; do
        version_of "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "prometheus: fetching the distribution's packages into .services: ${missing[*]}"
    mkdir -p "$services/apt"
    log=$services/apt/prometheus.log
    if { fetch_prometheus "${missing[@]}" || { own_lists && fetch_prometheus "${missing[@]}"; }; } >"$log" 2>&1; then
        for name in "${missing[@]}"; do version_of "$name"; done
        rm -rf "$services/apt" "$services/prometheus/debs"
        return
    fi
    for name in "${missing[@]}"; do rm -f "$services/bin/$name" "$services/prometheus/usr/bin/$name"; done
    rm -rf "$services/prometheus/debs"
    echo "prometheus: not available: ${missing[*]}: $(grep '^E:' "$log" | tail -1); tests that need it are skipped, and fail with CI=1"
}

unavailable() {
    rm -rf "$services"
    echo "chromium: not available: $1; tests that need a browser are skipped, and fail with CI=1"
    provide_nginx
    provide_prometheus
    exit 0
}

if ! starts && ! installed; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || unavailable "no browser and no apt here"
    rm -rf "$services"
    echo "chromium: fetching the distribution's packages into .services (up to 200 MB)"
    mkdir -p "$services/apt"
    download 2>"$services/apt/log" || { own_lists && download; } 2>"$services/apt/log" ||
        unavailable "$(grep '^E:' "$services/apt/log" | tail -1)"
    unpack
    starts || unavailable "the distribution's package does not start"
    rm -rf "$services/apt" "$services/debs"
fi
echo "chromium: $("$launcher" --version 2>/dev/null | head -1)"
provide_nginx
provide_prometheus
