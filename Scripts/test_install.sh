#!/bin/bash
# Installs the C library into a folder, and uses it as a program elsewhere would: by pkg-config,
# shared and static, with gcc and (where it is) clang, from C and from C++.
#
#     Scripts/test_install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL CFLAGS CPPFLAGS LDFLAGS LD_LIBRARY_PATH PKG_CONFIG_SYSROOT_DIR

work=$(mktemp -d)
prefix=$work/usr
started=()

clean_up() {
    for process in "${started[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT

fail() {
    echo "install: FAILED: $*" >&2
    exit 1
}

# quietly COMMAND...: shows what it prints only when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$*"; }
}

# ---- What is installed ---------------------------------------------------------------------------

files_below() { (cd "$1" && find . -type f -o -type l | sort); }

# What a packager takes is the same, and knows nothing of where it was staged.
check_staged() {
    quietly make install "DESTDIR=$work/stage" PREFIX=/opt/micro
    diff <(files_below "$prefix") <(files_below "$work/stage/opt/micro") || fail "DESTDIR"
    ! grep -rq "$work" "$work/stage/opt/micro/lib/pkgconfig" || fail "mcore.pc knows DESTDIR"
    grep -qx 'prefix=/opt/micro' "$work/stage/opt/micro/lib/pkgconfig/mcore.pc" || fail "prefix"
    quietly make uninstall "DESTDIR=$work/stage" PREFIX=/opt/micro
    [[ -z $(files_below "$work/stage") ]] || fail "left behind: $(files_below "$work/stage")"
}

# The symbols of both libraries are the functions that the headers declare, but for the one that a
# plugin defines.
check_symbols() {
    local library
    for library in "$prefix"/include/mcore/*.h; do echo "#include \"$library\""; done >"$work/all.c"
    gcc "-I$prefix/include" -fsyntax-only -aux-info "$work/declarations" "$work/all.c"
    grep -F "$prefix/include" "$work/declarations" | grep -F ' extern ' |
        grep -oE '\bmcore_[a-z0-9_]+ \([^*]' | sed 's/ .*//' |
        grep -vx mcore_transport_plugin_v1 | sort -u >"$work/declared"
    nm -D --defined-only "$prefix/lib/libmcore.so" | awk '{ print $3 }' | sort >"$work/shared"
    nm -g --defined-only "$prefix/lib/libmcore.a" | awk 'NF == 3 { print $3 }' | sort >"$work/static"
    for library in shared static; do
        diff "$work/declared" "$work/$library" ||
            fail "< is declared only, > is visible only, in the $library library"
    done
    echo "install: $(wc -l <"$work/declared") functions are declared, and nothing else is visible"
}

check_pkg_config() {
    local version
    version=$(awk '$2 == "MCORE_VERSION_TEXT" { print $3 }' include/mcore/version.h | tr -d '"')
    [[ $(pkg-config --modversion mcore) == "$version" ]] || fail "the version in mcore.pc"
    [[ -f $prefix/lib/libmcore.so.$version ]] || fail "there is no libmcore.so.$version"
    [[ $(pkg-config --libs mcore) == *-lmcore* && $(pkg-config --libs mcore) != *-luv* ]] ||
        fail "pkg-config --libs mcore: $(pkg-config --libs mcore)"
    [[ $(pkg-config --libs --static mcore) == *-luv* ]] || fail "pkg-config --libs --static mcore"
    [[ -e $prefix/lib/$(readelf -d "$prefix/lib/libmcore.so" |
        sed -nE 's/.*SONAME.*\[(.*)\]/\1/p') ]] || fail "nothing is called as the soname says"
}

# ---- What is built with it -----------------------------------------------------------------------

static_libraries() { pkg-config --libs --static mcore | sed 's/-lmcore/-l:libmcore.a/g'; }

# Starts a node of `program`, and sets `node`, its process, and `address`.
start_node() {
    local line fifo=$work/fifo
    mkfifo "$fifo"
    "$program" serve "$1" 127.0.0.1:0 >"$fifo" &
    node=$!
    started+=("$node")
    read -r -t 20 line <"$fifo" || fail "$program: $1 does not start"
    rm "$fifo"
    address=${line##* }
}

# One of two nodes is killed while they are called; no call fails. The other one ends when asked.
run_example() {
    local program=$1 anna bert anna_address caller line seen=""
    start_node Anna
    anna=$node anna_address=$address
    start_node Bert
    bert=$node
    mkfifo "$work/calls"
    "$program" call "$anna_address" "$address" >"$work/calls" &
    caller=$!
    started+=("$caller")
    while read -r -t 20 line; do
        seen+=${line##* }
        [[ $seen == *Bert.*Bert. && -n $bert ]] || continue
        kill -KILL "$bert"
        wait "$bert" 2>/dev/null || true
        bert=""
        seen=""
    done <"$work/calls"
    rm "$work/calls"
    wait "$caller" || fail "$program: a call failed"
    [[ $line == "" && $seen == *Anna.*Anna.* ]] || fail "$program: it printed '$seen'"
    kill -TERM "$anna"
    wait "$anna" || fail "$program: the node did not end well"
    started=()
}

check_compiler() {
    local c=$1 cpp=$2 source=Examples/c-greeter/greeter.c flags
    # shellcheck disable=SC2207 # options have no spaces
    flags=($(pkg-config --cflags mcore) -O1 -g -Wall -Wextra -Werror)

    quietly make -C Examples/c-greeter "CC=$c" "BUILD=$work/$c" "CFLAGS=${flags[*]}"
    ldd "$work/$c/greeter" | grep -q "$prefix/lib/libmcore.so" || fail "$c: not the shared library"
    run_example "$work/$c/greeter"

    # gcc always has AddressSanitizer, which looks for what is not freed.
    # shellcheck disable=SC2046
    quietly "$c" "${flags[@]}" $([[ $c != gcc ]] || echo -fsanitize=address) "$source" \
        $(static_libraries) -o "$work/$c/static"
    ! ldd "$work/$c/static" | grep -q libmcore || fail "$c: not the static library"
    run_example "$work/$c/static"

    # A program in C++, whose own names are those of the core's inside.
    printf '%s\n' '#include <cstdio>' 'extern "C" int mcore__alloc(void) { return 7; }' \
        'int main() { std::puts(mcore_status_text(mcore__alloc() - 7)); }' |
        cat "$work/all.c" - >"$work/own.cpp"
    # shellcheck disable=SC2046
    quietly "$cpp" -std=c++17 -Wpedantic "${flags[@]}" "$work/own.cpp" $(static_libraries) \
        -o "$work/$c/own"
    [[ $("$work/$c/own") == success ]] || fail "$cpp: a program in C++"
    echo "install: $c and $cpp: a program runs, shared and static"
}

# ---- All -----------------------------------------------------------------------------------------

quietly make install "PREFIX=$prefix"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
check_staged
check_symbols
check_pkg_config
check_compiler gcc g++
if command -v clang >/dev/null; then check_compiler clang clang++; fi
quietly make uninstall "PREFIX=$prefix"
[[ -z $(files_below "$prefix") ]] || fail "left behind: $(files_below "$prefix")"
echo "install: nothing is left of it"
