#!/usr/bin/env bash
# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

# Checks that every source file of the repository begins with the licence header in its language's comment form,
# followed by an empty line; a script's `#!` line may stand before it. With `--fix`, puts the header where it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."

header=('Copyright 2024 Function Stream Org.' 'SPDX-License-Identifier: Apache-2.0')

# The comment sign of a file, or nothing when the file needs no header.
comment_of() {
    case $1 in
    wit/*/deps/*) ;; # not ours: the interfaces of WASI, as they were published
    *.rs | *.go | *.wit | *.proto | *.js | *.ts | *.c | *.h | *.java) echo '//' ;;
    *.py | *.sh | *.mk | Makefile | */Makefile | *.yml) echo '#' ;;
    *) [[ $(head -c 2 "$1" | tr -d '\0') != '#!' ]] || echo '#' ;;
    esac
}

has_header() {
    local file=$1 comment=$2 lines
    mapfile -n 4 -t lines <"$file"
    [[ ${lines[0]:-} != '#!'* ]] || lines=("${lines[@]:1}")
    [[ ${lines[0]:-} == "$comment ${header[0]}" && ${lines[1]:-} == "$comment ${header[1]}" && -z ${lines[2]:-} ]]
}

add_header() {
    local file=$1 comment=$2 temporary
    temporary=$(mktemp)
    if [[ $(head -c 2 "$file") == '#!' ]]; then
        { head -n 1 "$file" && printf "$comment %s\n" "${header[@]}" && echo && tail -n +2 "$file"; } >"$temporary"
    else
        { printf "$comment %s\n" "${header[@]}" && echo && cat "$file"; } >"$temporary"
    fi
    # Into the same file, so that its rights stay.
    cat "$temporary" >"$file"
    rm -f "$temporary"
}

fix=no
case ${1:-} in
'') ;;
--fix) fix=yes ;;
*) echo "usage: $0 [--fix]" >&2 && exit 2 ;;
esac

checked=0 lacking=0
while IFS= read -r -d '' file; do
    # A link, and a file that was just removed.
    [[ -f $file && ! -L $file ]] || continue
    comment=$(comment_of "$file")
    [[ -n $comment ]] || continue
    checked=$((checked + 1))
    ! has_header "$file" "$comment" || continue
    if [[ $fix == yes ]]; then
        add_header "$file" "$comment"
        echo "licence header added: $file"
    else
        echo "licence header missing: $file" >&2
        lacking=$((lacking + 1))
    fi
done < <(git ls-files -z --cached --others --exclude-standard)

if [[ $lacking -gt 0 ]]; then
    echo "$lacking of $checked files lack the licence header; 'make licence-fix' adds it" >&2
    exit 1
fi
echo "licence headers: $checked files checked"
